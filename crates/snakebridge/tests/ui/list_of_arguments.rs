use snakebridge::{Bridge, Result};

fn main() -> Result<()> {
    let py = Bridge::new()?;
    let _largest: i64 = py.call("builtins", "max", vec![1, 2]).wait()?;
    Ok(())
}
