//! Calls Python: a library of its own, and one function of this project.

use snakebridge::{Bridge, Ref, Result, args};

fn main() -> Result<()> {
    // Your own Python files lie in the folder `python`.
    let py = Bridge::builder().module_path(concat!(env!("CARGO_MANIFEST_DIR"), "/python")).build()?;

    // Values arrive in the types that you ask for.
    let mean: f64 = py.call("statistics", "mean", ([3, 1, 4, 1, 5],)).wait()?;
    let text: String = py.call("builtins", "format", args![mean, ".2f"]).wait()?;
    println!("The mean is {text}.");

    // What is no value stays in Python, and you hold a ref to it.
    let path: Ref = py.call("pathlib", "PurePosixPath", ("/home/ada/notes.txt",)).wait()?;
    let suffix: String = path.attr("suffix").wait()?;
    println!("The suffix is {suffix}.");

    // A function of python/hello.py; what it raises is an error here.
    let greeting: String = py.call("hello", "greet", args!["Ada", excited = true]).wait()?;
    println!("{greeting}");
    Ok(())
}
