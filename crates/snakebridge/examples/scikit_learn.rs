//! Trains a model of scikit-learn on data from Rust, and applies it.
//!
//! Run it with `cargo run --release --example scikit_learn`. It needs a Python with scikit-learn
//! (`pip install scikit-learn`; see `SNAKEBRIDGE_PYTHON`), and says so where that is missing.

#![expect(clippy::print_stdout, reason = "it is a report")]

use snakebridge::{Array, ArrayMut, ArrayView, Bridge, Ref, Result, args};

const ROWS: usize = 2000;
const FEATURES: usize = 3;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let py = Bridge::new()?;
    if !is_installed(&py)? {
        println!("skipped: scikit-learn is not installed for {}", py.ready()?.origin);
        return Ok(());
    }
    // Filled where Python will read them, so that nothing is copied.
    let (mut rows, mut prices) = (ArrayMut::zeros(&[ROWS, FEATURES])?, Vec::with_capacity(ROWS));
    for (n, row) in rows.as_mut_slice().chunks_mut(FEATURES).enumerate() {
        row.copy_from_slice(&[40.0 + (n % 97) as f64, (n % 31) as f64, (n % 5) as f64]);
        prices.push(price(row));
    }
    let rows = rows.freeze();

    let model: Ref = py.call("sklearn.linear_model", "LinearRegression", ()).wait()?;
    model.method::<Ref>("fit", (&rows, ArrayView::from(&prices))).wait()?;
    let score: f64 = model.method("score", (&rows, ArrayView::from(&prices))).wait()?;
    let weights: Array<f64> = model.attr("coef_").wait()?;
    println!(
        "{ROWS} flats: price = {:.1?} * (area, age, rooms), R2 = {score:.3}",
        weights.as_slice()
    );

    let wanted = [75.0, 10.0, 3.0, 120.0, 2.0, 4.0];
    let guesses: Array<f64> =
        model.method("predict", (ArrayView::new(&[2, 3], &wanted)?,)).wait()?;
    for (row, guess) in wanted.chunks(FEATURES).zip(guesses.as_slice()) {
        println!("{row:?}: {guess:.0}, really {:.0}", price(row));
    }

    // Trees know no straight lines. Each of them is made in Python's own threads.
    let forest = args![n_estimators = 20, random_state = 0, n_jobs = 2];
    let forest: Ref = py.call("sklearn.ensemble", "RandomForestRegressor", forest).wait()?;
    forest.method::<Ref>("fit", (&rows, ArrayView::from(&prices))).wait()?;
    let importances: Array<f64> = forest.attr("feature_importances_").wait()?;
    println!("a forest looks at area, age, rooms: {:.2?}", importances.as_slice());
    Ok(())
}

fn is_installed(py: &Bridge) -> Result<bool> {
    let found: Option<Ref> = py.call("importlib.util", "find_spec", ("sklearn",)).wait()?;
    Ok(found.is_some())
}

/// What is to be learned.
fn price(row: &[f64]) -> f64 {
    3000.0 * row[0] - 1500.0 * row[1] + 10_000.0 * row[2]
}
