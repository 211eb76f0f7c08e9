//! Tensors of the real torch. Its wheels take five gigabytes, so these tests are run on request only; those of
//! the worker, which have a stand-in for it, run everywhere.
//!
//! `SNAKEBRIDGE_TORCH_PYTHON=.../bin/python cargo test -p snakebridge-testkit --test tensors -- --ignored`

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use half::f16;
use snakebridge::{Array, Bridge, Element, Output, Ref, Result};

const FIXTURE: &str = r#"
import torch

def made(kind):
    grid = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    return {
        "plain": lambda: grid,
        "transposed": lambda: grid.T,
        "stepped": lambda: grid[:, ::2],
        "learned": lambda: torch.nn.Parameter(grid),
        "scalar": lambda: torch.tensor(2.5),
        "empty": lambda: torch.zeros(0, 3),
        "integers": lambda: torch.tensor([1, -2], dtype=torch.int64),
        "truths": lambda: torch.tensor([True, False]),
        "halves": lambda: torch.tensor([0.5, -1.5], dtype=torch.float16),
        "complex": lambda: torch.tensor([1 + 2j], dtype=torch.complex64),
        "conjugate": lambda: torch.tensor([1 + 2j]).conj(),
        "bfloat16": lambda: torch.zeros(2, dtype=torch.bfloat16),
        "sparse": lambda: torch.eye(2).to_sparse(),
        "elsewhere": lambda: torch.zeros(2, device="meta"),
    }[kind]()

def halves(count):
    return torch.full((count,), 0.5)

def is_view_of(tensor, array):
    return tensor.data_ptr() == array.__array_interface__["data"][0]

def total(array):
    tensor = torch.from_numpy(array)
    return [tensor.data_ptr() == array.__array_interface__["data"][0], float(tensor.sum())]
"#;

fn torch() -> (Bridge, tempfile::TempDir) {
    let python = std::env::var("SNAKEBRIDGE_TORCH_PYTHON").expect("it names a Python with torch");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fixture.py"), FIXTURE).unwrap();
    let builder = Bridge::builder().output(Output::Discard).python(&python);
    (builder.module_path(folder.path()).build().unwrap(), folder)
}

fn made<T: Element + 'static>(py: &Bridge, kind: &str) -> Result<(Vec<usize>, Vec<T>)> {
    let array: Array<T> = py.call("fixture", "made", (kind,)).wait()?;
    Ok((array.shape().to_vec(), array.as_slice().to_vec()))
}

#[test]
#[ignore = "needs a Python with torch"]
fn tensors_are_arrays() {
    let (py, _folder) = torch();
    let grid = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    for kind in ["plain", "learned"] {
        assert_eq!(made::<f32>(&py, kind).unwrap(), (vec![2, 3], grid.to_vec()), "{kind}");
    }
    let transposed = vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0];
    assert_eq!(made::<f32>(&py, "transposed").unwrap(), (vec![3, 2], transposed));
    assert_eq!(made::<f32>(&py, "stepped").unwrap(), (vec![2, 2], vec![0.0, 2.0, 3.0, 5.0]));
    assert_eq!(made::<f32>(&py, "scalar").unwrap(), (vec![], vec![2.5]));
    assert_eq!(made::<f32>(&py, "empty").unwrap(), (vec![0, 3], vec![]));
    assert_eq!(made::<i64>(&py, "integers").unwrap(), (vec![2], vec![1, -2]));
    assert_eq!(made::<bool>(&py, "truths").unwrap(), (vec![2], vec![true, false]));
    let halves = [0.5, -1.5].map(f16::from_f32).to_vec();
    assert_eq!(made::<f16>(&py, "halves").unwrap(), (vec![2], halves));
    assert_eq!(made::<[f32; 2]>(&py, "complex").unwrap(), (vec![1], vec![[1.0, 2.0]]));
}

#[test]
#[ignore = "needs a Python with torch"]
fn large_tensors_are_exact_and_cost_no_more_than_one_copy() {
    let (py, _folder) = torch();
    let count = 1 << 20;
    let before = py.status().unwrap().memory;
    let array: Array<f32> = py.call("fixture", "halves", (count,)).wait().unwrap();
    assert!(array.as_slice().len() == count && array.as_slice().iter().all(|item| *item == 0.5));
    let after = py.status().unwrap().memory;
    assert_eq!(after.copied - before.copied, 4 << 20);
}

#[test]
#[ignore = "needs a Python with torch"]
fn an_array_of_rust_is_a_tensor_without_a_copy() {
    let (py, _folder) = torch();
    let items = vec![0.5_f32; 1 << 20];
    let array = Array::new(&[1 << 20], items).unwrap();
    let found: (bool, f64) = py.call("fixture", "total", (&array,)).wait().unwrap();
    assert_eq!(found, (true, f64::from(1 << 19)));
}

#[test]
#[ignore = "needs a Python with torch"]
fn what_is_no_array_says_what_to_do() {
    let (py, _folder) = torch();
    let said = |kind: &str| made::<f32>(&py, kind).unwrap_err().to_string();
    for (kind, words) in [
        ("elsewhere", "a tensor on meta cannot be sent as an array: `.cpu()` copies it"),
        ("bfloat16", "a torch.bfloat16 tensor cannot be sent as an array"),
        ("conjugate", "a torch.complex64 tensor cannot be sent as an array"),
        ("sparse", "a torch.float32 tensor cannot be sent as an array"),
    ] {
        let error = said(kind);
        assert!(error.contains(words), "{kind}: {error}");
    }
    let kept: Ref = py.call("fixture", "made", ("elsewhere",)).by_ref().wait().unwrap();
    assert!(kept.attr::<bool>("is_meta").wait().unwrap());
}
