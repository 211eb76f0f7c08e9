#![deny(unused_must_use)]

use snakebridge::{Bridge, Result};

fn main() -> Result<()> {
    let py = Bridge::new()?;
    py.exec("gc", "collect", ());
    Ok(())
}
