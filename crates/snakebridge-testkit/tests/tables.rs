//! Tables, between Rust and pyarrow, pandas and polars.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use snakebridge::arrow_array::builder::{ListBuilder, StringViewBuilder};
use snakebridge::arrow_array::types::{Float64Type, Int32Type, Int64Type};
use snakebridge::arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    DurationNanosecondArray, Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray,
    NullArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array, cast::AsArray as _,
};
use snakebridge::arrow_schema::{DataType, Field, Schema};
use snakebridge::{Array, Bridge, ErrorKind, Output, Records, Ref, Table, args};
use snakebridge_testkit::environment;

const FIXTURE: &str = r#"
import gc
import sys

def same(table):
    return table

def kind(table):
    return type(table).__module__.partition(".")[0] + "." + type(table).__name__

def address_is_shared(table):
    with open("/proc/self/maps") as maps:
        shared = [
            [int(part, 16) for part in line.split()[0].split("-")] for line in maps
            if "memfd:snakebridge " in line
        ]
    address = table.column(0).chunk(0).buffers()[1].address
    return any(begin <= address < end for begin, end in shared)

def dtypes(frame):
    return [str(dtype) for dtype in frame.dtypes]

def column(frame, name):
    return frame[name].astype(object).where(frame[name].notna(), None).tolist()

kept = []

def keep(table):
    kept.append(table)

def kept_sum():
    import pyarrow.compute
    return [pyarrow.compute.sum(table.column(0)).as_py() for table in kept]

def made(kind):
    if kind == "frame with index":
        import pandas
        return pandas.DataFrame({"n": [1, 2]}, index=["a", "b"])
    if kind == "odd frame":
        import pandas
        return pandas.DataFrame({"n": [1, "x", object()]})
    if kind == "mixed":
        import pandas
        return pandas.DataFrame({
            "i": pandas.Series([1, None], dtype="Int16"),
            "f": [1.5, float("nan")],
            "b": pandas.Series([True, None], dtype="boolean"),
            "s": ["x", None],
            "t": pandas.to_datetime(["2024-02-29", None]).tz_localize("Europe/Berlin"),
            "d": pandas.to_timedelta(["1s", None]),
        })
    if kind == "reader":
        import pyarrow
        return pyarrow.table({"n": [1, 2, 3]}).to_reader()
    if kind == "batch":
        import pyarrow
        return pyarrow.record_batch({"n": [1, 2, 3]})
    if kind == "polars":
        import polars
        return polars.DataFrame({"s": ["x", None], "l": [[1], [2, 3]]})
    if kind == "column":
        import pyarrow
        return pyarrow.chunked_array([[1, 2]])
    if kind == "stream":
        import pyarrow
        class Stream:
            def __arrow_c_stream__(self, requested_schema=None):
                return pyarrow.table({"n": [1]}).__arrow_c_stream__(requested_schema)
        return Stream()
    if kind == "both":
        import numpy, pyarrow
        return {"table": pyarrow.table({"n": [1]}), "weights": numpy.ones(2), "name": "\ud800"[:0]}
    if kind == "numbers":
        import numpy, pyarrow
        return pyarrow.table({"n": numpy.arange(100_000.0)})
    if kind == "text":
        import pyarrow
        return pyarrow.table({"s": [str(n) for n in range(100_000)]})

def call_with(callback, kind):
    return callback(made(kind))

def blocked(name):
    sys.modules[name] = None
"#;

const PACKAGES: [&str; 4] = ["numpy", "pandas", "polars", "pyarrow"];

fn bridge(packages: &[&str]) -> Bridge {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let python = environment::with_packages(folder, packages).unwrap();
    let modules = folder.join(format!("tables-{}", packages.len()));
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::write(modules.join("fixture.py"), FIXTURE).unwrap();
    Bridge::builder()
        .python(python.to_str().unwrap())
        .module_path(modules)
        .output(Output::Discard)
        .build()
        .unwrap()
}

/// A bridge on a Python with all of them.
fn all() -> &'static Bridge {
    static PY: OnceLock<Bridge> = OnceLock::new();
    PY.get_or_init(|| bridge(&PACKAGES))
}

fn same(table: &Table) -> Table {
    all().call("fixture", "same", (table,)).wait().unwrap()
}

fn made(kind: &str) -> snakebridge::Result<Table> {
    all().call("fixture", "made", (kind,)).wait()
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Columns of all kinds, with a null in most of them.
fn varied() -> RecordBatch {
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    lists.append_value([Some("a"), None, Some("a text that is too long to be inlined")]);
    lists.append_null();
    lists.append_value([] as [Option<&str>; 0]);
    let inner = Field::new("x", DataType::Int32, true);
    let structs = StructArray::new(
        vec![inner].into(),
        vec![Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]))],
        Some(vec![true, true, false].into()),
    );
    let words: DictionaryArray<Int32Type> =
        vec![Some("red"), None, Some("red")].into_iter().collect();
    let zoned = TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)])
        .with_timezone("Europe/Berlin");
    let decimals = Decimal128Array::from(vec![Some(12345), None, Some(-1)])
        .with_precision_and_scale(20, 2)
        .unwrap();
    batch([
        ("i8", Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)])) as ArrayRef),
        ("u64", Arc::new(UInt64Array::from(vec![0, 1, u64::MAX]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(f64::INFINITY)]))),
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("text", Arc::new(StringArray::from(vec![Some("ä"), None, Some("")]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some("x"), None, Some("y")]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\0\xff"[..]), None, Some(b"")]))),
        ("date", Arc::new(Date32Array::from(vec![Some(0), None, Some(19782)]))),
        ("zoned", Arc::new(zoned)),
        ("naive", Arc::new(TimestampNanosecondArray::from(vec![Some(1), None, Some(2)]))),
        ("span", Arc::new(DurationNanosecondArray::from(vec![Some(5), None, Some(-5)]))),
        ("decimal", Arc::new(decimals)),
        ("words", Arc::new(words)),
        ("lists", Arc::new(lists.finish())),
        ("structs", Arc::new(structs)),
        ("nothing", Arc::new(NullArray::new(3))),
    ])
}

#[test]
fn columns_of_all_kinds_are_exact() {
    let table = Table::from(varied());
    assert_eq!(same(&table), table);
    let kind: String = all().call("fixture", "kind", (&table,)).wait().unwrap();
    assert_eq!(kind, "pyarrow.Table");
    // The same with rows from the middle, whose bits do not begin with a byte.
    let part = Table::from(varied().slice(1, 2));
    assert_eq!(same(&part), part);
}

#[test]
fn tables_have_any_number_of_batches() {
    let batches: Vec<_> = (0..3).map(|n| varied().slice(n, 3 - n)).collect();
    let table = Table::new(batches[0].schema(), batches).unwrap();
    let back = same(&table);
    assert_eq!((back.batches().len(), back.rows(), &back), (3, 6, &table));
    let empty = Table::new(varied().schema(), Vec::new()).unwrap();
    assert_eq!(same(&empty).schema(), empty.schema());
    assert_eq!(same(&empty).rows(), 0);
    let none = Table::from(RecordBatch::new_empty(Arc::new(Schema::empty())));
    assert_eq!(same(&none).schema().fields().len(), 0);
    let other = batch([("other", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let error = Table::new(varied().schema(), vec![varied(), other]).unwrap_err().to_string();
    assert!(error.contains("batch 1 has another schema"), "{error}");
}

#[test]
fn dictionaries_that_change_between_batches_are_exact() {
    let words = |words: &[&str]| {
        let words: DictionaryArray<Int32Type> = words.iter().copied().collect();
        batch([("w", Arc::new(words) as ArrayRef)])
    };
    let table = vec![words(&["a", "b"]), words(&["c", "a"])];
    let table = Table::new(table[0].schema(), table).unwrap();
    assert_eq!(same(&table), table);
}

#[test]
fn large_tables_are_in_shared_memory() {
    let numbers = Float64Array::from_iter_values((0..100_000).map(f64::from));
    let text = LargeStringArray::from_iter_values((0..100_000).map(|n| n.to_string()));
    let table =
        Table::from(batch([("numbers", Arc::new(numbers) as ArrayRef), ("text", Arc::new(text))]));
    let py = all();
    assert!(py.call::<bool>("fixture", "address_is_shared", (&table,)).wait().unwrap());
    assert!(same(&table) == table);
    // What a result is in stays as it is, whatever comes after it.
    let numbers = made("numbers").unwrap();
    let text = made("text").unwrap();
    for n in 0..10 {
        let array = vec![f64::from(n); 100_000];
        let doubled: Array<f64> =
            py.call("numpy", "multiply", (Array::from(array), 2)).wait().unwrap();
        assert_eq!(doubled.as_slice()[99_999], 2.0 * f64::from(n));
    }
    let column = numbers.batches()[0].column(0).as_primitive::<Float64Type>().clone();
    drop(numbers);
    assert!(column.values().iter().enumerate().all(|(n, value)| *value == n as f64));
    assert_eq!(text.batches()[0].column(0).as_string::<i32>().value(99_999), "99999");
}

#[test]
fn tables_that_python_keeps_stay_as_they_are() {
    let py = bridge(&PACKAGES);
    let table = |n: i64| {
        let column = Int64Array::from(vec![n; 50_000]);
        Table::from(batch([("n", Arc::new(column) as ArrayRef)]))
    };
    for n in 0..3 {
        py.exec("fixture", "keep", (table(n),)).wait().unwrap();
    }
    for n in 10..20 {
        py.exec("fixture", "kind", (table(n),)).wait().unwrap();
    }
    let sums: Vec<i64> = py.call("fixture", "kept_sum", ()).wait().unwrap();
    assert_eq!(sums, [0, 50_000, 100_000]);
}

#[test]
fn a_worker_that_is_killed_takes_no_table_along() {
    let py = bridge(&PACKAGES);
    let numbers: Table = py.call("fixture", "made", ("numbers",)).wait().unwrap();
    let error = py.exec("os", "kill", (0, 9)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WorkerLost);
    let column = numbers.batches()[0].column(0).as_primitive::<Float64Type>();
    assert!(column.values().iter().enumerate().all(|(n, value)| *value == n as f64));
    let back: Table = py.call("fixture", "same", (&numbers,)).wait().unwrap();
    py.shutdown();
    assert_eq!(back, numbers);
}

#[test]
fn tables_are_frames_where_that_is_said() {
    let py = all();
    let kind = |table: Table| py.call::<String>("fixture", "kind", (table,)).wait().unwrap();
    // pyarrow cannot make lists of views of text into columns of pandas.
    let all: Vec<usize> = (0..16).filter(|place| *place != 13).collect();
    let table = Table::from(varied().project(&all).unwrap());
    assert_eq!(kind(table.clone().pandas()), "pandas.DataFrame");
    assert_eq!(kind(table.clone().polars()), "polars.DataFrame");
    let dtypes: Vec<String> = py.call("fixture", "dtypes", (table.pandas(),)).wait().unwrap();
    assert_eq!(dtypes[..4], ["Int8", "uint64", "Float64", "boolean"]);
    assert_eq!(dtypes[8], "datetime64[us, Europe/Berlin]");
}

#[test]
fn whatever_is_a_stream_of_arrow_is_a_table() {
    for kind in ["reader", "batch"] {
        let table = made(kind).unwrap();
        assert_eq!(table.batches()[0].column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    }
    assert_eq!(made("stream").unwrap().rows(), 1);
    let frame = made("polars").unwrap();
    assert_eq!(frame.batches()[0].column(0).null_count(), 1);
    assert_eq!(same(&frame.clone().polars()), frame);
}

#[test]
fn frames_of_pandas_are_exact() {
    let table = made("mixed").unwrap();
    let columns = table.batches()[0].columns();
    let nulls: Vec<usize> = columns.iter().map(|column| column.null_count()).collect();
    assert_eq!(nulls, [1, 0, 1, 1, 1, 1], "NaN is a number");
    let back = same(&table.clone().pandas());
    assert_eq!(back.batches()[0].column(1).as_primitive::<Float64Type>().value(0), 1.5);
    assert_eq!(back.schema(), table.schema());
    let indexed = made("frame with index").unwrap();
    let names: Vec<_> = indexed.schema().fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, ["index_0", "n"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trade {
    symbol: String,
    price: f64,
    count: u32,
    note: Option<String>,
    weight: Option<f64>,
    legs: Vec<i64>,
    side: Side,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Side {
    Buy,
    Sell,
}

fn trades() -> Vec<Trade> {
    let trade = |n: u32| Trade {
        symbol: format!("S{n}"),
        price: f64::from(n) / 4.0,
        count: n,
        note: n.is_multiple_of(2).then(|| format!("note {n}")),
        weight: n.is_multiple_of(3).then_some(0.5),
        legs: (0..i64::from(n % 4)).collect(),
        side: if n.is_multiple_of(2) { Side::Buy } else { Side::Sell },
    };
    (0..100).map(trade).collect()
}

#[test]
fn records_are_frames_and_come_back() {
    let py = all();
    let records = Records(trades());
    let kind: String = py.call("fixture", "kind", (&records,)).wait().unwrap();
    assert_eq!(kind, "pandas.DataFrame");
    let back: Records<Trade> = py.call("fixture", "same", (&records,)).wait().unwrap();
    assert_eq!(back, records);
    let polars = Table::from_records(&records.0).unwrap().polars();
    let back: Records<Trade> = py.call("fixture", "same", (polars,)).wait().unwrap();
    assert_eq!(back, records);
    let sorted = args!["price", ascending = false];
    let sorted: Records<Trade> = py.method(&records, "sort_values", sorted).wait().unwrap();
    assert_eq!(sorted.0[0], records.0[99]);
    #[derive(Debug, Deserialize)]
    struct Other {
        #[expect(dead_code, reason = "there is none")]
        missing: i64,
    }
    let error = py.call::<Records<Other>>("fixture", "same", (&records,)).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn tables_are_found_anywhere_in_a_result() {
    #[derive(Deserialize)]
    struct Both {
        table: Table,
        weights: Array<f64>,
    }
    let py = all();
    let both: Both = py.call("fixture", "made", ("both",)).wait().unwrap();
    assert_eq!((both.table.rows(), both.weights.len()), (1, 2));
    let stays: Ref = py.call("fixture", "made", ("batch",)).wait().unwrap();
    assert_eq!(stays.attr::<usize>("num_rows").wait().unwrap(), 3);
    let rows = py.callback(|table: Table| Ok(table.rows()));
    let rows = |kind: &str| py.call::<usize>("fixture", "call_with", (&rows, kind)).wait();
    assert_eq!(rows("batch").unwrap(), 3);
    let error = rows("odd frame").unwrap_err();
    assert!(error.to_string().contains("cannot be sent as a table"), "{error}");
    assert_eq!(rows("batch").unwrap(), 3);
}

#[test]
fn what_is_no_table_says_so() {
    let told: Vec<String> = ["odd frame", "column", "nothing"]
        .map(|kind| {
            let error = made(kind).unwrap_err();
            format!("{:?}: {error}", error.kind())
        })
        .into();
    insta::assert_snapshot!(told.join("\n"));
    assert!(serde_json::to_string(&Table::from(varied())).is_err());
}

#[test]
fn without_pyarrow_there_are_frames() {
    let py = bridge(&["numpy", "pandas", "polars"]);
    let simple = |batch: &RecordBatch| {
        let names = ["i8", "u64", "f64", "bool", "text", "large", "zoned", "naive", "span"];
        let places = names.map(|name| batch.schema().index_of(name).unwrap());
        batch.project(&places).unwrap()
    };
    let table = simple(&varied());
    let batches = vec![table.clone(), table.slice(1, 2)];
    let table = Table::new(table.schema(), batches).unwrap();
    let frame = table.clone().pandas();
    let back: Table = py.call("fixture", "same", (&frame,)).wait().unwrap();
    assert_eq!(back.rows(), 5);
    for (place, field) in table.schema().fields().iter().enumerate() {
        let whole = back.batches()[0].column(place);
        let nulls: usize =
            table.batches().iter().map(|batch| batch.column(place).null_count()).sum();
        assert_eq!(whole.null_count(), nulls, "{field}");
        if field.data_type() != &DataType::Utf8 {
            assert_eq!(whole.data_type(), field.data_type());
            assert_eq!(&whole.slice(0, 3), table.batches()[0].column(place), "{field}");
        }
    }
    let back: Table = py.call("fixture", "same", (table.clone().polars(),)).wait().unwrap();
    assert_eq!(back.rows(), 5);
    let trades: Vec<_> = trades().into_iter().map(|trade| (trade.symbol, trade.price)).collect();
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Simple {
        symbol: String,
        price: f64,
    }
    let records: Vec<_> =
        trades.into_iter().map(|(symbol, price)| Simple { symbol, price }).collect();
    let back: Records<Simple> =
        py.call("fixture", "same", (Records(records.clone()),)).wait().unwrap();
    assert_eq!(back.0, records);
    let errors = [
        py.call::<()>("fixture", "same", (&table,)).wait().unwrap_err(),
        py.call::<()>("fixture", "same", (Table::from(varied()).pandas(),)).wait().unwrap_err(),
        py.call::<Table>("fixture", "made", ("odd frame",)).wait().unwrap_err(),
    ];
    insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
}

/// Most of a large frame without pyarrow is in shared memory as well.
#[test]
fn large_frames_without_pyarrow() {
    let py = bridge(&["numpy", "pandas", "polars"]);
    let numbers = Int64Array::from_iter_values(0..200_000);
    let table = Table::from(batch([("n", Arc::new(numbers) as ArrayRef)])).pandas();
    for _ in 0..3 {
        let back: Table = py.call("fixture", "same", (&table,)).wait().unwrap();
        assert!(back == table);
    }
}
