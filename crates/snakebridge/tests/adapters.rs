//! Rust readers, writers and iterators, where Python expects files and iterators.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use snakebridge::{Adapter, Bridge, Bytes, CallbackError, Ref, Value, args};

const FIXTURE: &str = r#"
import csv, gzip, io, json, pickle, shutil, threading

def text(file):
    return io.TextIOWrapper(file, encoding="utf-8", newline="")

def rows(file):
    return list(csv.reader(text(file)))

def write_rows(file, rows):
    with text(file) as out:
        csv.writer(out).writerows(rows)

def lines(file):
    return list(text(file))

def pieces(file, *sizes):
    return [file.read(size) for size in sizes]

def unzipped(file):
    with gzip.open(file) as plain:
        return plain.read()

def zip_into(file, data):
    with gzip.open(file, "wb") as packed:
        packed.write(data)

def copy(source, target):
    shutil.copyfileobj(source, target)

def kinds(reader, writer, items):
    return (
        isinstance(reader, io.BufferedReader), reader.readable(), reader.seekable(),
        isinstance(writer, io.BufferedWriter), writer.writable(), writer.readable(),
        iter(items) is items,
    )

def caught(function):
    try:
        return function()
    except BaseException as error:
        return type(error).__name__, str(error)

def read_fails(file):
    return caught(file.read)

def next_fails(items):
    return caught(lambda: next(items))

def after_close(file):
    file.close()
    return caught(file.read), file.closed

def flushed(file, told):
    file.write(b"abc")
    before = told()
    file.flush()
    return before, told()

def left(file, data):
    file.write(data)

def large_write(file, size):
    return file.write(b"x" * size)

def on_threads(items, count):
    seen, lock = [], threading.Lock()
    def take():
        while True:
            with lock:
                item = next(items, None)
            if item is None:
                return
            seen.append(item)
    threads = [threading.Thread(target=take) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return sorted(seen)

def twice(f):
    return f(), f()

kept = []
def keep(thing):
    kept.append(thing)
"#;

fn fixture() -> (Bridge, tempfile::TempDir) {
    common::bridge_with(FIXTURE)
}

/// What was written, for all who ask.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    data: Vec<u8>,
    flushes: usize,
}

impl Shared {
    fn inside(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap()
    }

    fn data(&self) -> Vec<u8> {
        self.inside().data.clone()
    }
}

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // A part of it, as a socket may.
        let part = &data[..data.len().min(100_000)];
        self.inside().data.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inside().flushes += 1;
        Ok(())
    }
}

/// Gives a byte at a time, and is interrupted before each.
struct Slowly(Cursor<Vec<u8>>, bool);

impl Read for Slowly {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        match self.1 {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => self.0.read(&mut into[..1]),
        }
    }
}

#[test]
fn they_are_what_python_expects() {
    let (py, _folder) = fixture();
    let (reader, writer) = (py.reader(io::empty()), py.writer(io::sink()));
    let kinds: Vec<bool> =
        py.call("fixture", "kinds", (&reader, &writer, py.iterator([1]))).unwrap();
    assert_eq!(kinds, [true, true, false, true, true, false, true]);
}

#[test]
fn libraries_read_from_rust() {
    let (py, _folder) = fixture();
    let reader = |data: &str| py.reader(Cursor::new(data.to_owned()));
    let rows: Vec<Vec<String>> =
        py.call("fixture", "rows", (reader("a,b\r\n1,\"é\"\r\n"),)).unwrap();
    assert_eq!(rows, [["a", "b"], ["1", "é"]]);
    let numbers: Vec<i64> = py.call("json", "load", (reader("[1, 2]"),)).unwrap();
    assert_eq!(numbers, [1, 2]);
    let lines: Vec<String> = py.call("fixture", "lines", (reader("one\ntwo"),)).unwrap();
    assert_eq!(lines, ["one\n", "two"]);
    let pickled: Bytes = py.call("pickle", "dumps", ([1, 2],)).unwrap();
    let back: Vec<i64> =
        py.call("pickle", "load", (py.reader(Cursor::new(pickled.to_vec())),)).unwrap();
    assert_eq!(back, [1, 2]);
    let pieces: Vec<Bytes> =
        py.call("fixture", "pieces", args![reader("abcdef"), 1, 0, 2, -1, 5]).unwrap();
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
    assert_eq!(pieces, [&b"a"[..], b"", b"bc", b"def", b""]);
    let slowly = Slowly(Cursor::new(b"slowly".to_vec()), false);
    let all: Bytes =
        py.call("fixture", "pieces", (py.reader(slowly), -1)).wait().map(only).unwrap();
    assert_eq!(&*all, b"slowly");
}

fn only(mut pieces: Vec<Bytes>) -> Bytes {
    pieces.pop().unwrap()
}

#[test]
fn libraries_write_to_rust() {
    let (py, _folder) = fixture();
    let written = Shared::default();
    py.exec("fixture", "write_rows", (py.writer(written.clone()), [["a", "b"], ["1", "é"]]))
        .unwrap();
    assert_eq!(written.data(), "a,b\r\n1,é\r\n".as_bytes());

    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let packed = Shared::default();
    py.exec("fixture", "zip_into", (py.writer(packed.clone()), Bytes::from(data.clone()))).unwrap();
    let reader = py.reader(Cursor::new(packed.data()));
    let plain: Bytes = py.call("fixture", "unzipped", (&reader,)).unwrap();
    assert!(*plain == *data);

    let copied = Shared::default();
    let both = (py.reader(Cursor::new(data.clone())), py.writer(copied.clone()));
    py.exec("fixture", "copy", both).unwrap();
    assert!(copied.data() == data);

    let large = Shared::default();
    let count: usize =
        py.call("fixture", "large_write", (py.writer(large.clone()), 3_000_000)).unwrap();
    assert_eq!((count, large.data().len()), (3_000_000, 3_000_000));
}

#[test]
fn what_is_written_is_here_when_it_is_flushed_or_left() {
    let (py, _folder) = fixture();
    let written = Shared::default();
    let asked = written.clone();
    let told = py.callback(move || Ok((asked.data().len(), asked.inside().flushes > 0)));
    let (before, after): ((usize, bool), (usize, bool)) =
        py.call("fixture", "flushed", (py.writer(written), &told)).unwrap();
    assert_eq!((before, after), ((0, false), (3, true)));

    let left = Shared::default();
    py.exec("fixture", "left", (py.writer(left.clone()), Bytes::from(b"left"))).unwrap();
    assert_eq!(left.data(), b"left");
}

#[test]
fn failures_are_os_errors() {
    struct Fails(io::ErrorKind);
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(self.0, "no luck"))
        }
    }
    struct Raises(Bridge);
    impl Read for Raises {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            let outcome = self.0.call::<usize>("builtins", "int", ("x",)).wait();
            outcome.map_err(io::Error::other)
        }
    }
    let (py, _folder) = fixture();
    let caught =
        |file: Adapter| -> (String, String) { py.call("fixture", "read_fails", (file,)).unwrap() };
    let no_luck = |class: &str| (class.to_owned(), "no luck".to_owned());
    assert_eq!(caught(py.reader(Fails(io::ErrorKind::NotFound))), no_luck("FileNotFoundError"));
    assert_eq!(caught(py.reader(Fails(io::ErrorKind::TimedOut))), no_luck("TimeoutError"));
    assert_eq!(caught(py.reader(Fails(io::ErrorKind::InvalidData))), no_luck("OSError"));
    assert_eq!(caught(py.reader(Raises(py.clone()))).0, "ValueError");
}

#[test]
fn a_file_that_was_closed_is_closed() {
    let (py, _folder) = fixture();
    let owned = Arc::new(());
    let watch = Arc::downgrade(&owned);
    struct Owns(#[expect(dead_code, reason = "it is owned")] Arc<()>);
    impl Read for Owns {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
    let reader = py.reader(Owns(owned));
    let ((class, _), closed): ((String, String), bool) =
        py.call("fixture", "after_close", (&reader,)).unwrap();
    assert_eq!((class.as_str(), closed), ("ValueError", true));
    drop(reader);
    py.exec("gc", "collect", ()).unwrap();
    assert!(watch.upgrade().is_none(), "the reader was dropped");
}

#[test]
fn iterators_are_taken_from_as_needed() {
    let (py, _folder) = fixture();
    let taken = Arc::new(Mutex::new(0));
    let count = Arc::clone(&taken);
    let endless = py.iterator(std::iter::repeat_with(move || {
        *count.lock().unwrap() += 1;
        7
    }));
    let few: Ref = py.call("itertools", "islice", (&endless, 3)).unwrap();
    assert_eq!(py.call::<i64>("builtins", "sum", (few,)).unwrap(), 21);
    assert_eq!(*taken.lock().unwrap(), 3);

    let pairs = py.iterator(vec![("a", 1), ("b", 2)]);
    let dict: Value = py.call("builtins", "dict", (&pairs,)).unwrap();
    assert_eq!(format!("{dict:?}"), "{'a': 1, 'b': 2}");
    // It has ended, for all objects that are made of it.
    assert_eq!(py.call::<Vec<Value>>("builtins", "list", (&pairs,)).unwrap(), []);

    let nothing = py.iterator([Value::None, Value::None]);
    assert_eq!(py.call::<Vec<Value>>("builtins", "list", (&nothing,)).unwrap().len(), 2);
    let numbers: Vec<i64> = py.call("fixture", "on_threads", (py.iterator(1..=100), 4)).unwrap();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}

#[test]
fn errors_among_the_items_are_exceptions() {
    let (py, _folder) = fixture();
    let chosen = [Ok(1), Err(CallbackError::python("builtins.LookupError", "two")), Ok(3)];
    let items = py.try_iterator(chosen);
    py.exec("fixture", "keep", (&items,)).unwrap();
    let kept: Ref = py.get("fixture", "kept").wait().unwrap();
    let kept: Ref = kept.item(0).unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let outcome = py.call::<i64>("builtins", "next", (&kept,)).wait();
        seen.push(outcome.map_err(|error| error.python().unwrap().type_name().to_owned()));
    }
    let stop = Err("StopIteration".to_owned());
    assert_eq!(seen, [Ok(1), Err("LookupError".to_owned()), Ok(3), stop]);
}

#[test]
fn an_iterator_that_asks_for_itself_is_in_use() {
    struct Asks(Bridge);
    impl Iterator for Asks {
        type Item = (String, String);

        fn next(&mut self) -> Option<Self::Item> {
            let kept: Ref = self.0.get("fixture", "kept").wait().unwrap();
            let kept: Ref = kept.item(0).unwrap();
            Some(self.0.call("fixture", "next_fails", (kept,)).unwrap())
        }
    }
    let (py, _folder) = fixture();
    py.exec("fixture", "keep", (py.iterator(Asks(py.clone())),)).unwrap();
    let kept: Ref = py.get("fixture", "kept").wait().unwrap();
    let kept: Ref = kept.item(0).unwrap();
    let (class, message): (String, String) = py.call("builtins", "next", (kept,)).unwrap();
    assert_eq!((class.as_str(), message.as_str()), ("ValueError", "it is already in use"));
    py.exec("fixture", "kept.clear", ()).unwrap();
}

#[test]
fn adapters_are_parts_of_arguments_and_results_of_callbacks() {
    let (py, _folder) = fixture();
    let open = {
        let inner = py.clone();
        py.callback(move |name: String| Ok(inner.reader(Cursor::new(name))))
    };
    py.exec("fixture", "keep", (&open,)).unwrap();
    let kept: Ref = py.get("fixture", "kept").wait().unwrap();
    let file: Ref = kept.item::<Ref>(0).unwrap().call(("inside",)).unwrap();
    assert_eq!(&*file.method::<Bytes>("read", ()).unwrap(), b"inside");
    py.exec("fixture", "kept.clear", ()).unwrap();
    let readers = vec![py.reader(&b"a"[..]), py.reader(&b"b"[..])];
    let files: Ref = py.call("builtins", "list", (readers,)).unwrap();
    assert_eq!(&*files.item::<Ref>(1).unwrap().method::<Bytes>("read", ()).unwrap(), b"b");
    assert!(serde_json::to_string(&py.reader(io::empty())).is_err());
}
