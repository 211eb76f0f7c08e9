use snakebridge::{Bridge, Result};

fn main() -> Result<()> {
    let py = Bridge::new()?;
    let _root: f64 = py.call("math", "sqrt", 16).wait()?;
    Ok(())
}
