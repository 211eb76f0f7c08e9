//! Arrays, between Rust and numpy.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde::Deserialize;
use snakebridge::{
    Array, ArrayMut, ArrayView, Bridge, Confine, Element, ErrorKind, Output, Pool, RawArray, Ref,
    Value, args,
};
use snakebridge_testkit::environment;

const FIXTURE: &str = r#"
import array
import os
import numpy

def describe(a):
    return [type(a).__name__, a.dtype.name, a.shape, a.flags.writeable, a.flags.c_contiguous]

def made(kind):
    grid = numpy.arange(12, dtype="<i4").reshape(3, 4)
    return {
        "fortran": numpy.asfortranarray(grid),
        "strided": grid[::2, ::-1],
        "transposed": grid.T,
        "scalar": numpy.array(7, dtype="<i4"),
        "empty": numpy.zeros((0, 3), dtype="<i4"),
        "big endian": grid.astype(">i4"),
        "object": numpy.array([{}, None]),
        "masked": numpy.ma.masked_array(grid, grid > 3),
        "dates": numpy.array(["2024-02-29"], dtype="datetime64[D]"),
        "memoryview": memoryview(bytes(range(6))).cast("B", (2, 3)),
        "array": array.array("i", [1, 2]),
    }[kind]

def unusual(kind):
    return {
        "dates": numpy.array(["2024-02-29", "NaT"], dtype="datetime64[D]"),
        "spans": numpy.array([1, -1], dtype="timedelta64[us]"),
        "big endian": numpy.array([1, 258], dtype=">i2"),
        "text": numpy.array([b"abc", b"d"]),
        "unicode": numpy.array(["a", "\xe4"]),
        "records": numpy.array([(1.5, 2), (2.5, -1)], dtype=[("x", "<f8"), ("y", "<i4", (1,))]),
        "padded": numpy.zeros(2, dtype=numpy.dtype([("a", "u1"), ("b", "<i4")], align=True)),
        "nested": numpy.zeros((2, 1), dtype=[("p", [("q", ">f4")]), ("s", "S3")]),
        "empty": numpy.zeros((0, 3), dtype=[("x", "<f8")]),
        "scalar": numpy.array(numpy.datetime64("2024-02-29T12", "h")),
        "wide": numpy.zeros(2, dtype="longdouble"),
    }[kind]

def is_unusual(array, kind):
    wanted = unusual(kind)
    return [
        array.dtype == wanted.dtype, array.shape == wanted.shape, array.tobytes() == wanted.tobytes(),
    ]

def viewed(dtype, shape, order, steps, axes):
    count = 1
    for many in shape:
        count *= many
    array = numpy.arange(count).reshape(shape).astype(dtype)
    array = numpy.array(array, order=order)
    array = array[(..., *(slice(None, None, step) for step in steps))].transpose(axes)
    return {"array": array, "items": numpy.ravel(array).astype("f8").tolist(), "shape": array.shape}

def record():
    return {"name": "grid", "grid": numpy.eye(2), "rest": [numpy.arange(3)]}

held = []

def hold_and_call(array, callback):
    callback()
    held.append(array[1:])

children = {}

def forked_sum(array):
    begin, end = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(begin[1])
        os.read(begin[0], 1)
        os.write(end[1], str(int(array.sum())).encode())
        os._exit(0)
    os.close(begin[0])
    children[pid] = begin[1], end[0]
    return pid

def sum_of(pid):
    begin, end = children.pop(pid)
    os.close(begin)
    found = int(os.read(end, 100))
    os.close(end)
    os.waitpid(pid, 0)
    return found

def held_is(value):
    return bool((held.pop() == value).all())

def several(n):
    for i in range(n):
        yield numpy.full(2, float(i))
"#;

/// A bridge on a Python with numpy.
fn numpy() -> &'static Bridge {
    static PY: OnceLock<Bridge> = OnceLock::new();
    PY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
        let modules = folder.join("arrays");
        std::fs::create_dir_all(&modules).unwrap();
        std::fs::write(modules.join("fixture.py"), FIXTURE).unwrap();
        Bridge::builder()
            .output(Output::Discard)
            .python(python.to_str().unwrap())
            .module_path(modules)
            .build()
            .unwrap()
    })
}

fn made(kind: &str) -> snakebridge::Call<Array<i32>> {
    numpy().call("fixture", "made", (kind,))
}

/// What comes back is what was sent, and numpy agrees on what it is.
fn round_trip<T: Element + 'static>(shape: &[usize], items: &[T], name: &str) {
    let py = numpy();
    let view = ArrayView::new(shape, items).unwrap();
    let described: Value = py.call("fixture", "describe", (&view,)).wait().unwrap();
    let expected = format!("['ndarray', '{name}', {}, False, True]", tuple(shape));
    assert_eq!(format!("{described:?}"), expected);
    let back: Array<T> = py.call("numpy", "copy", (&view,)).wait().unwrap();
    assert_eq!((back.shape(), back.as_slice()), (shape, items));
}

fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        shape => format!("{shape:?}").replace('[', "(").replace(']', ")"),
    }
}

macro_rules! round_trips {
    ($($test:ident: $type:ty, $name:literal;)*) => {
        $(proptest! {
            #![proptest_config(ProptestConfig::with_cases(24))]
            #[test]
            fn $test(shape in prop::collection::vec(0usize..4, 0..4), seed: $type) {
                let count: usize = shape.iter().product();
                round_trip::<$type>(&shape, &vec![seed; count], $name);
            }
        })*
    };
}

round_trips! {
    i8_is_exact: i8, "int8";
    i16_is_exact: i16, "int16";
    i32_is_exact: i32, "int32";
    i64_is_exact: i64, "int64";
    u8_is_exact: u8, "uint8";
    u16_is_exact: u16, "uint16";
    u32_is_exact: u32, "uint32";
    u64_is_exact: u64, "uint64";
    f32_is_exact: f32, "float32";
    f64_is_exact: f64, "float64";
    bool_is_exact: bool, "bool";
    complex64_is_exact: [f32; 2], "complex64";
    complex128_is_exact: [f64; 2], "complex128";
}

#[test]
fn order_and_strides_are_made_c_order() {
    let all: Vec<i32> = (0..12).collect();
    let array = made("fortran").wait().unwrap();
    assert_eq!((array.shape(), array.as_slice()), ([3, 4].as_slice(), &all[..]));
    let array = made("strided").wait().unwrap();
    assert_eq!(array.shape(), [2, 4]);
    assert_eq!(array.as_slice(), [3, 2, 1, 0, 11, 10, 9, 8]);
    let array = made("transposed").wait().unwrap();
    assert_eq!((array.get(&[3, 2]), array.get(&[2, 3]), array.get(&[1])), (Some(&11), None, None));
}

/// Views of arrays in either order, with steps forwards and backwards, their axes in any order.
fn views() -> impl Strategy<Value = (Vec<usize>, char, Vec<i64>, Vec<usize>)> {
    prop::collection::vec(0..5_usize, 0..5).prop_flat_map(|shape| {
        let steps =
            prop::collection::vec(prop::sample::select(vec![-2_i64, -1, 1, 2]), shape.len());
        let axes = Just((0..shape.len()).collect::<Vec<_>>()).prop_shuffle();
        (Just(shape), prop::sample::select(vec!['C', 'F']), steps, axes)
    })
}

#[derive(Deserialize)]
#[serde(bound = "")]
struct Viewed<T: Element> {
    array: Array<T>,
    items: Vec<f64>,
    shape: Vec<usize>,
}

fn compare<T: Element>(
    dtype: &str,
    (shape, order, steps, axes): &(Vec<usize>, char, Vec<i64>, Vec<usize>),
    number: impl Fn(&T) -> f64,
) {
    let args = (dtype, shape, order, steps, axes);
    let viewed: Viewed<T> = numpy().call("fixture", "viewed", args).wait().unwrap();
    let items: Vec<f64> = viewed.array.as_slice().iter().map(number).collect();
    assert_eq!((viewed.array.shape(), items), (&viewed.shape[..], viewed.items));
    // It is the same once more, from here.
    let back: Array<T> = numpy().call("numpy", "asarray", (&viewed.array,)).wait().unwrap();
    assert_eq!(back, viewed.array);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn views_of_any_kind_are_exact(view in views()) {
        compare::<i8>("i1", &view, |item| f64::from(*item));
        compare::<u16>("<u2", &view, |item| f64::from(*item));
        compare::<i64>("<i8", &view, |item| *item as f64);
        compare::<f32>("<f4", &view, |item| f64::from(*item));
        compare::<half::f16>("<f2", &view, |item| f64::from(*item));
        compare::<bool>("?", &view, |item| f64::from(u8::from(*item)));
        compare::<[f32; 2]>("<c8", &view, |item| f64::from(item[0]));
    }
}

#[test]
fn arrays_of_any_dtype_are_bytes_with_its_description() {
    let py = numpy();
    let kinds = [
        "dates",
        "spans",
        "big endian",
        "text",
        "unicode",
        "records",
        "padded",
        "nested",
        "empty",
        "scalar",
        "wide",
    ];
    let dtypes = kinds.map(|kind| {
        let raw: RawArray = py.call("fixture", "unusual", (kind,)).wait().unwrap();
        let same: [bool; 3] = py.call("fixture", "is_unusual", (&raw, kind)).wait().unwrap();
        assert_eq!(same, [true; 3], "{kind}");
        format!("{kind}: {}", raw.dtype())
    });
    insta::assert_snapshot!(dtypes.join("\n"));
    let error = py.call::<()>("builtins", "len", (RawArray::new("S4", &[2], vec![0; 6]).unwrap(),));
    let error = error.wait().unwrap_err().to_string();
    assert!(error.contains("6 bytes are no array of shape (2,)"), "{error}");
    for dtype in ["<f8", "<M8[ns]", "S4"] {
        assert!(RawArray::new(dtype, &[2], vec![0; 7]).is_err());
    }
    assert!(RawArray::new("<c8", &[2], vec![0; 32]).is_err());
    assert!(RawArray::new("<f8", &[0], vec![0; 7]).is_err());
    let object = py.call::<RawArray>("fixture", "made", ("object",)).wait().unwrap_err();
    assert_eq!(object.kind(), ErrorKind::Decode);
}

#[test]
fn dates_are_counted_in_their_unit() {
    let py = numpy();
    let dates: RawArray = py.call("fixture", "unusual", ("dates",)).wait().unwrap();
    assert_eq!((dates.dtype(), dates.shape()), ("<M8[D]", [2].as_slice()));
    let counts: Array<i64> = dates.to_array().unwrap();
    assert_eq!(counts.as_slice(), [19_782, i64::MIN]);
    assert!(dates.to_array::<i32>().is_none());
    assert_eq!(RawArray::from_array("<M8[D]", counts), dates);
    let swapped: RawArray = py.call("fixture", "unusual", ("big endian",)).wait().unwrap();
    assert!(swapped.to_array::<i16>().is_none());
    // Many are in shared memory, and stay there.
    let many: RawArray =
        py.call("numpy", "arange", args![0, 100_000, dtype = "datetime64[ns]"]).wait().unwrap();
    assert_eq!(many.to_array::<i64>().unwrap().as_slice()[99_999], 99_999);
    let back: Array<i64> = py.method(&many, "astype", ("int64",)).wait().unwrap();
    assert_eq!(back, many.to_array().unwrap());
}

#[test]
fn arrays_without_dimensions_and_without_items() {
    let array = made("scalar").wait().unwrap();
    assert_eq!((array.shape(), array.as_slice()), ([].as_slice(), [7].as_slice()));
    assert_eq!(array.get(&[]), Some(&7));
    let array = made("empty").wait().unwrap();
    assert_eq!((array.shape(), array.len()), ([0, 3].as_slice(), 0));
}

#[test]
fn what_does_not_fit_says_what_it_is() {
    let told: Vec<String> = ["big endian", "object", "masked", "dates"]
        .map(|kind| {
            let error = made(kind).wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode);
            error.to_string()
        })
        .into();
    insta::assert_snapshot!(told.join("\n"));
    let error = numpy().call::<Array<f64>>("math", "sqrt", (4,)).wait().unwrap_err();
    assert!(error.to_string().contains("expected an array of float64, found float"), "{error}");
}

#[test]
fn arrays_are_found_anywhere_in_a_result() {
    #[derive(Deserialize)]
    struct Record {
        name: String,
        grid: Array<f64>,
        rest: Vec<Array<i64>>,
    }
    let record: Record = numpy().call("fixture", "record", ()).wait().unwrap();
    assert_eq!((record.name.as_str(), record.grid.shape()), ("grid", [2, 2].as_slice()));
    assert_eq!(record.rest[0].as_slice(), [0, 1, 2]);
    let some: Option<Array<f64>> = numpy().call("numpy", "eye", (1,)).wait().unwrap();
    assert_eq!(some.unwrap().as_slice(), [1.0]);
}

#[test]
fn arrays_stay_where_nothing_else_is_asked_for() {
    let py = numpy().session().open().unwrap();
    let array: Ref = py.call("numpy", "eye", (2,)).wait().unwrap();
    assert!(matches!(py.call("numpy", "eye", (2,)).wait().unwrap(), Value::Ref(_)));
    let copied: Array<f64> = array.method("__mul__", (3.0,)).wait().unwrap();
    assert_eq!(copied.as_slice(), [3.0, 0.0, 0.0, 3.0]);
    // Nothing is left of the tries to read them as values.
    drop(array);
    assert_eq!(py.session_refs(py.id()).unwrap().len(), 0);
}

#[test]
fn streams_pipelines_and_callbacks_have_arrays() {
    let py = numpy();
    let items = py.call::<Array<f64>>("fixture", "several", (50,)).iter();
    let sum: f64 = items.map(|item| item.unwrap().as_slice()[1]).sum();
    assert_eq!(sum, 1225.0);
    let mut calls = py.pipeline();
    let eye = calls.call::<Array<f64>>("numpy", "eye", (2,));
    let twice = calls.call::<Array<f64>>("numpy", "multiply", (eye, 2));
    assert_eq!(calls.wait().unwrap().take(twice).unwrap().as_slice(), [2.0, 0.0, 0.0, 2.0]);
    let total = py.callback(|array: Array<f64>| Ok(array.as_slice().iter().sum::<f64>()));
    let eye: Ref = py.call("numpy", "eye", (3,)).wait().unwrap();
    let partial: Ref = py.call("functools", "partial", (&total, &eye)).wait().unwrap();
    assert_eq!(partial.call::<f64>(()).wait().unwrap(), 3.0);
}

#[test]
fn other_objects_with_a_buffer_are_arrays() {
    let py = numpy();
    let view: Array<u8> = py.call("fixture", "made", ("memoryview",)).wait().unwrap();
    assert_eq!((view.shape(), view.as_slice()), ([2, 3].as_slice(), [0, 1, 2, 3, 4, 5].as_slice()));
    assert_eq!(made("array").wait().unwrap().as_slice(), [1, 2]);
}

#[test]
fn without_numpy_there_are_views() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &[]).unwrap();
    let py = Bridge::builder().python(python.to_str().unwrap()).build().unwrap();
    let items = [1.5, 2.5, 3.5, 4.5];
    let view = ArrayView::new(&[2, 2], &items).unwrap();
    let lists: Vec<Vec<f64>> = py.method(&view, "tolist", ()).wait().unwrap();
    assert_eq!(lists, [[1.5, 2.5], [3.5, 4.5]]);
    let back: Array<f64> = py.call("builtins", "memoryview", (&view,)).wait().unwrap();
    assert_eq!((back.shape(), back.as_slice()), ([2, 2].as_slice(), items.as_slice()));
    let complex = [[1.0, 2.0]];
    let error = py.call::<i64>("builtins", "len", (ArrayView::from(&complex[..]),)).wait();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("needs numpy"), "{error}");
}

#[test]
fn shapes_and_items_have_to_agree() {
    let error = Array::new(&[2, 2], vec![1.0, 2.0]).unwrap_err();
    assert_eq!(error.to_string(), "2 items do not fill an array of shape [2, 2]");
    assert!(ArrayView::new(&[usize::MAX, 2], &[1_u8]).is_err());
    assert!(Array::<u8>::new(&[], vec![1]).is_ok());
    assert_eq!(format!("{:?}", Array::from(vec![1_u8, 2])), "<uint8 array of shape [2]: [1, 2]>");
    assert!(serde_json::to_string(&Array::from(vec![1])).is_err());
}

#[test]
fn large_arrays_are_exact() {
    let items: Vec<f64> = (0..3_000_000).map(f64::from).collect();
    let view = ArrayView::new(&[3, 1_000_000], &items).unwrap();
    let sum: f64 = numpy().call("numpy", "sum", (&view,)).wait().unwrap();
    assert_eq!(sum, 4_499_998_500_000.0);
    let back: Array<f64> = numpy().call("numpy", "copy", (&view,)).wait().unwrap();
    assert!(back.as_slice() == items);
}

#[test]
fn arrays_of_ndarray_go_both_ways() {
    let own = ndarray::array![[1.0, 2.0], [3.0, 4.0]];
    let view = ArrayView::of_ndarray(&own).unwrap();
    let turned: Array<f64> = numpy().call("numpy", "transpose", (&view,)).wait().unwrap();
    let turned: ndarray::ArrayD<f64> = turned.try_into().unwrap();
    assert_eq!(turned, own.t().into_dyn());
    assert!(ArrayView::of_ndarray(&own.t()).is_none());
    assert_eq!(Array::from(&own.t()).as_slice(), [1.0, 3.0, 2.0, 4.0]);
}

#[test]
fn arrays_that_python_goes_on_using_stay_as_they_are() {
    let py = numpy();
    let kept: Vec<Ref> = (0..5_u8)
        .map(|n| {
            let items = vec![n; 100_000];
            py.call("builtins", "memoryview", (ArrayView::from(&items),)).wait().unwrap()
        })
        .collect();
    // Further ones would be in the same memory, if that were free.
    for _ in 0..20 {
        let other = vec![99_u8; 100_000];
        let sum: u64 = py.call("numpy", "sum", (ArrayView::from(&other),)).wait().unwrap();
        assert_eq!(sum, 9_900_000);
    }
    for (n, view) in kept.iter().enumerate() {
        assert_eq!(view.item::<usize>(99_999).wait().unwrap(), n);
    }
    // A slice of an array holds it as the array itself does.
    let items = vec![7_u8; 100_000];
    let tail: Ref = py.call("operator", "getitem", (ArrayView::from(&items), 0)).wait().unwrap();
    drop((tail, kept));
    let other = vec![1_u8; 100_000];
    let sum: u64 = py.call("numpy", "sum", (ArrayView::from(&other),)).wait().unwrap();
    assert_eq!(sum, 100_000);
}

#[test]
fn arrays_of_results_stay_as_they_are() {
    let py = numpy();
    let full = |n: f64| py.call::<Array<f64>>("numpy", "full", (100_000, n)).wait().unwrap();
    let first = full(1.0);
    let others: Vec<_> = (2..6).map(f64::from).map(full).collect();
    drop(others);
    for n in 10..30 {
        let next = full(f64::from(n));
        assert!(next.as_slice().iter().all(|item| *item == f64::from(n)));
        assert!(first.as_slice().iter().all(|item| *item == 1.0), "overwritten by {n}");
    }
    assert_eq!(first.clone().into_vec().len(), 100_000);
    assert_eq!(first, full(1.0));
}

#[test]
fn a_worker_that_ends_takes_no_array_along() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
    let py = Bridge::builder().python(python.to_str().unwrap()).build().unwrap();
    let ones: Array<f64> = py.call("numpy", "ones", (200_000,)).wait().unwrap();
    let items = vec![2.0; 200_000];
    let error = py.call::<()>("os", "_exit", args![ArrayView::from(&items)]).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Python);
    py.call::<()>("os", "_exit", (1,)).wait().unwrap_err();
    assert!(ones.as_slice().iter().all(|item| *item == 1.0));
    let sum: f64 = py.call("numpy", "sum", (ArrayView::from(&items),)).wait().unwrap();
    assert_eq!(sum, 400_000.0);
    py.shutdown();
    assert_eq!(ones.as_slice().len(), 200_000);
}

#[test]
fn arrays_of_calls_around_a_callback_are_not_those_of_calls_inside() {
    let py = numpy();
    let large = |n: u8| vec![n; 100_000];
    let inner = py.clone();
    let callback = py.callback(move || {
        let other = vec![50_u8; 100_000];
        let sum: u64 = inner.call("numpy", "sum", (ArrayView::from(&other),)).wait()?;
        Ok(sum)
    });
    let items = large(3);
    py.exec("fixture", "hold_and_call", (ArrayView::from(&items), &callback)).wait().unwrap();
    for n in 60..70 {
        let other = large(n);
        py.exec("numpy", "sum", (ArrayView::from(&other),)).wait().unwrap();
    }
    assert!(py.call::<bool>("fixture", "held_is", (3,)).wait().unwrap());
}

#[test]
fn arrays_that_are_filled_in_place_go_to_many_workers() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
    let py = Bridge::builder().python(python.to_str().unwrap()).workers(2).build().unwrap();
    for count in [10_usize, 300_000] {
        let mut filled = ArrayMut::<f64>::zeros(&[count, 2]).unwrap();
        assert!(filled.as_mut_slice().iter().all(|item| *item == 0.0));
        filled.as_mut_slice().fill(3.0);
        assert_eq!(filled.shape(), [count, 2]);
        let filled = filled.freeze();
        let sums = py.map::<f64>("numpy", "sum", vec![(filled.clone(),); 20]).chunk(1).iter();
        assert!(sums.map(Result::unwrap).all(|sum| sum == 6.0 * count as f64));
        assert!(filled.as_slice().iter().all(|item| *item == 3.0));
        let booleans = ArrayMut::<bool>::zeros(&[count, 2]).unwrap().freeze();
        assert!(!py.call::<bool>("numpy", "any", (&booleans,)).wait().unwrap());
    }
    // What was used before is zero again.
    let mut again = ArrayMut::<f64>::zeros(&[600_000]).unwrap();
    assert!(again.as_mut_slice().iter().all(|item| *item == 0.0));
    assert!(ArrayMut::<f64>::zeros(&[usize::MAX, 2]).is_err());
}

#[test]
fn results_can_be_arguments_without_a_copy() {
    let py = numpy();
    let ones: Array<f64> = py.call("numpy", "ones", (100_000,)).wait().unwrap();
    let sum: f64 = py.call("numpy", "sum", (&ones,)).wait().unwrap();
    assert_eq!(sum, 100_000.0);
    let described: Value = py.call("fixture", "describe", (&ones,)).wait().unwrap();
    assert_eq!(format!("{described:?}"), "['ndarray', 'float64', (100000,), False, True]");
    let kept: Ref = py.call("builtins", "memoryview", (&ones,)).wait().unwrap();
    drop(ones);
    for n in 0..5 {
        let other: Array<f64> = py.call("numpy", "full", (100_000, f64::from(n))).wait().unwrap();
        drop(other);
    }
    assert_eq!(kept.item::<f64>(50_000).wait().unwrap(), 1.0);
    drop(kept);
    // Its memory is for results again.
    for n in 0..20 {
        let other: Array<f64> = py.call("numpy", "full", (100_000, f64::from(n))).wait().unwrap();
        assert_eq!(other.as_slice()[99_999], f64::from(n));
    }
}

#[test]
fn an_array_that_was_sent_twice_is_kept_until_both_are_gone() {
    let py = numpy();
    let array = Array::from(vec![5_u8; 100_000]);
    let mut shared = ArrayMut::<u8>::zeros(&[100_000]).unwrap();
    shared.as_mut_slice().copy_from_slice(array.as_slice());
    let shared = shared.freeze();
    let view = || py.call::<Ref>("builtins", "memoryview", (&shared,)).wait().unwrap();
    let (first, second) = (view(), view());
    drop(shared);
    drop(second);
    for n in 0..20_u8 {
        let other = vec![n; 100_000];
        // More at once each time, so that all memory that is free is used.
        let views = vec![ArrayView::from(&other); usize::from(n) + 1];
        py.exec("builtins", "len", (views,)).wait().unwrap();
    }
    assert_eq!(first.item::<u8>(99_999).wait().unwrap(), 5);
}

#[test]
fn what_goes_through_shared_memory_is_counted() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
    let py = Bridge::builder().python(python.to_str().unwrap()).build().unwrap();
    let counts = || {
        let memory = py.status().unwrap().memory;
        (memory.copied, memory.shared)
    };
    let items = vec![1_u8; 100_000];
    py.exec("builtins", "len", (ArrayView::from(&items[..1000]),)).wait().unwrap();
    assert_eq!(counts(), (0, 0), "it is small");
    py.exec("builtins", "len", (ArrayView::from(&items),)).wait().unwrap();
    assert_eq!(counts(), (100_000, 0));
    let ones: Array<f64> = py.call("numpy", "ones", (100_000,)).wait().unwrap();
    assert_eq!(counts(), (900_000, 0));
    py.exec("builtins", "len", (&ones,)).wait().unwrap();
    assert_eq!(counts(), (900_000, 800_000));
    let filled = ArrayMut::<u8>::zeros(&[100_000]).unwrap().freeze();
    py.exec("builtins", "len", (&filled,)).wait().unwrap();
    assert_eq!(counts(), (900_000, 900_000));
}

#[test]
fn confined_workers_have_copies_of_results() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
    let free = Pool::new().python(python.to_str().unwrap());
    let confined = Pool::confine(free.clone(), Confine::new().best_effort(true));
    let builder = Bridge::builder().pool("free", free);
    let py = builder.pool("confined", confined.clone()).build().unwrap();
    let other = Bridge::builder().pool("confined", confined).build().unwrap();
    // More often than the worker has segments, so that it would use one of them again.
    for round in 0..20 {
        for reader in [&py, &other] {
            let number = f64::from(round);
            let made: Array<f64> =
                py.call("numpy", "full", (100_000, number)).pool("free").wait().unwrap();
            let mean = reader.call::<f64>("numpy", "mean", (&made,)).pool("confined");
            assert_eq!(mean.wait().unwrap(), number);
            assert!(made.as_slice().iter().all(|item| *item == number));
        }
    }
}

/// In a process of its own, because other tests have segments too.
#[test]
fn memory_that_stays_unused_is_given_back() {
    const INNER: &str = "SNAKEBRIDGE_TEST_UNUSED";
    if std::env::var_os(INNER).is_none() {
        let this = std::env::current_exe().unwrap();
        let done = std::process::Command::new(this)
            .args(["--exact", "memory_that_stays_unused_is_given_back"])
            .env(INNER, "1")
            .status();
        return assert!(done.unwrap().success());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
    let builder = Bridge::builder().python(python.to_str().unwrap());
    let py = builder.keep_memory(Duration::from_millis(20)).build().unwrap();
    let segments = || py.status().unwrap().memory.segments;
    let held: Array<f64> = py.call("numpy", "ones", (100_000,)).wait().unwrap();
    for n in 1..5_usize {
        let items = vec![1.0; n * 20_000];
        let twice: Array<f64> =
            py.call("numpy", "multiply", (ArrayView::from(&items), 2)).wait().unwrap();
        assert_eq!(twice.len(), items.len());
    }
    // Those that nobody uses go, here and in the worker; what is held stays.
    let begin = Instant::now();
    while segments() > 1 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} are left", segments());
        std::thread::yield_now();
    }
    assert!(held.as_slice().iter().all(|item| *item == 1.0));
    drop(held);
    while segments() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} are left", segments());
        std::thread::yield_now();
    }
    assert_eq!(shared_mappings(), 0);
    let ones: Array<f64> = py.call("numpy", "ones", (100_000,)).wait().unwrap();
    assert_eq!(ones.len(), 100_000);
}

#[test]
fn a_forked_child_has_its_array_for_as_long_as_it_runs() {
    let py = numpy();
    let ones = vec![1_i64; 100_000];
    let child: i32 = py.call("fixture", "forked_sum", (ArrayView::from(&ones),)).wait().unwrap();
    // Memory that was free would be used again for one of these.
    for number in 2..20_i64 {
        let others = vec![number; 100_000];
        let first: i64 = py.call("numpy", "max", (ArrayView::from(&others),)).wait().unwrap();
        assert_eq!(first, number);
    }
    let sum: i64 = py.call("fixture", "sum_of", (child,)).wait().unwrap();
    assert_eq!(sum, 100_000);
}

/// Many arrays of all sizes, in both directions, while workers are killed.
#[test]
fn nothing_is_left_of_many_arrays() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, &["numpy", "pandas"]).unwrap();
    let count = std::env::var("SNAKEBRIDGE_SOAK_ARRAYS").ok().and_then(|n| n.parse().ok());
    let run = |count: usize| {
        let py = Bridge::builder().python(python.to_str().unwrap()).workers(2).build().unwrap();
        let (mut good, mut lost) = (0, 0);
        let mut last = Vec::new();
        for n in 0..count {
            if n % 501 == 500 {
                let _ = py.exec("os", "kill", (0, 9)).wait();
            }
            let items = vec![n as f64; (n * 7919) % 60_000 + 1];
            let doubled =
                py.call::<Array<f64>>("numpy", "multiply", (ArrayView::from(&items), 2.0));
            match doubled.wait() {
                Ok(doubled) => {
                    assert!(doubled.as_slice().iter().all(|item| *item == 2.0 * n as f64));
                    good += 1;
                    last.push(doubled);
                    last.drain(..last.len().saturating_sub(5));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WorkerLost, "{error}");
                    lost += 1;
                }
            }
        }
        assert!(good > 9 * lost, "{good} {lost}");
        assert!(last.iter().all(|array| array.as_slice().windows(2).all(|two| two[0] == two[1])));
    };
    run(200);
    let before = shared_mappings();
    run(count.unwrap_or(3000));
    // What the cache keeps does not grow with the number of arrays.
    assert!(shared_mappings() <= before + 40, "{before} before, {} after", shared_mappings());
}

fn shared_mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:snakebridge ")).count()
}
