//! On which cores a measurement runs.

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;
use crate::report::Report;

/// Where the processes of a measurement run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Both on the same core. No wake-up goes across cores, so this is what the work itself costs,
    /// and the same from run to run: the bars are judged here.
    One,
    /// Wherever the scheduler puts them.
    All,
}

impl Cores {
    pub(crate) const BOTH: [Self; 2] = [Self::One, Self::All];

    /// The name of a figure that was measured here.
    pub(crate) fn name(self, name: &str) -> String {
        match self {
            Self::One => name.to_owned(),
            Self::All => format!("{name}_unpinned"),
        }
    }

    /// Reports a ratio that was measured here. The bar is for one core.
    pub(crate) fn ratio(self, report: &mut Report, name: &str, value: f64, bar: f64) {
        match self {
            Self::One => report.barred(self.name(name), value, bar),
            Self::All => report.number(self.name(name), value),
        }
    }

    /// Keeps this thread, and the threads and processes that it starts from now on, on these cores
    /// until the guard is dropped.
    pub(crate) fn hold(self) -> Result<Held> {
        #[cfg(target_os = "linux")]
        return Held::on(|cores| {
            if self == Self::One {
                let one = last(cores);
                cores.clear();
                cores.set(one);
            }
        });
        #[cfg(not(target_os = "linux"))]
        Ok(Held {})
    }
}

/// The first core has most of the machine's interrupts.
#[cfg(target_os = "linux")]
fn last(cores: &CpuSet) -> usize {
    (0..CpuSet::MAX_CPU).rev().find(|core| cores.is_set(*core)).unwrap_or(0)
}

/// Keeps a thread on its cores.
pub(crate) struct Held {
    #[cfg(target_os = "linux")]
    before: CpuSet,
}

#[cfg(target_os = "linux")]
impl Held {
    /// The same for all cores but one, which is left to others and comes along.
    pub(crate) fn off_one() -> Result<(Self, usize)> {
        let one = last(&sched_getaffinity(None)?);
        Ok((Self::on(|cores| cores.unset(one))?, one))
    }

    fn on(choose: impl FnOnce(&mut CpuSet)) -> Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut cores = before;
        choose(&mut cores);
        sched_setaffinity(None, &cores)?;
        Ok(Self { before })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Held {
    fn drop(&mut self) {
        // The cores that it had before cannot be refused.
        let _ = sched_setaffinity(None, &self.before);
    }
}
