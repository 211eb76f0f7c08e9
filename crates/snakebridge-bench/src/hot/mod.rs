//! The second gear: calls that follow each other closely, on a machine with a free core; and that it does no harm
//! where there is none, or where calls are rare.

mod costs;
mod harmless;

use snakebridge::{Bridge, Pool, Spin};

use crate::report::Report;
use crate::{Result, Setup};

/// Two bridges, one in the gear that it chooses itself, one in first gear.
struct Gears {
    hot: Bridge,
    pipe: Bridge,
}

/// Calls after which a lane has found its gear.
const WARM: usize = 2000;

impl Gears {
    fn new(setup: &Setup) -> Result<Self> {
        let bridge = |spin| {
            let pool = Pool::new().spin(spin).module_path(setup.folder.path());
            setup.bridge().pool("default", pool).build()
        };
        Ok(Self { hot: bridge(Spin::Auto)?, pipe: bridge(Spin::Off)? })
    }
}

/// The call that is measured.
fn call(py: &Bridge) -> Result<()> {
    let root: f64 = py.call("math", "sqrt", (16,)).wait()?;
    if root == 4.0 { Ok(()) } else { Err(format!("Python gave {root}, expected 4").into()) }
}

pub(crate) fn run(setup: &Setup, report: &mut Report) -> Result<()> {
    costs::run(setup, report)?;
    harmless::run(setup, report)
}
