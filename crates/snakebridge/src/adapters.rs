//! Rust readers, writers and iterators, as files and iterators of Python.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, TryLockError};

use serde::ser::{Serialize, Serializer};
use snakebridge_wire::token;

use crate::bridge::Bridge;
use crate::bytes::Bytes;
use crate::callback::{Callback, CallbackError};
use crate::error::Error;

/// A Rust reader, writer or iterator for Python; made by [`Bridge::reader`], [`Bridge::writer`],
/// [`Bridge::iterator`] and [`Bridge::try_iterator`].
///
/// Can be an argument of a call, or a part of one, like a [`Callback`], and lives as long as one: until it and all
/// objects that Python has of it are gone. Each time it is sent, Python makes a new object of it, all of which
/// share the one here.
#[derive(Clone)]
pub struct Adapter {
    kind: &'static str,
    callback: Callback,
}

impl Bridge {
    /// Makes a Rust reader a file that Python can read: an `io.BufferedReader`. For text, Python wraps it
    /// in an `io.TextIOWrapper`.
    ///
    /// An error is an `OSError` in Python, by its kind one of the subclasses; one that holds an [`Error`] of
    /// Python is that exception again.
    ///
    /// ```
    /// use snakebridge::{Bridge, Value};
    ///
    /// let py = Bridge::new()?;
    /// let file = py.reader(&b"[1, 2, 3]"[..]);
    /// let numbers: Vec<i64> = py.call("json", "load", (&file,)).wait()?;
    /// assert_eq!(numbers, [1, 2, 3]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn reader(&self, reader: impl Read + Send + 'static) -> Adapter {
        let reader = Mutex::new(reader);
        let callback = self.callback(move |most: usize| {
            let mut data = vec![0; most.min(MOST_BYTES)];
            let count = again(|| enter(&reader)?.read(&mut data).map_err(Failure::from))?;
            data.truncate(count);
            Ok(Bytes::from(data))
        });
        Adapter { kind: "reader", callback }
    }

    /// Makes a Rust writer a file that Python can write: an `io.BufferedWriter`. For text, Python wraps it
    /// in an `io.TextIOWrapper`.
    ///
    /// What Python has written is here when Python flushes or closes the file, and when it lets go of it.
    /// Errors are those of [`reader`](Self::reader).
    ///
    /// ```
    /// use std::io::Write;
    /// use std::sync::mpsc;
    /// use snakebridge::Bridge;
    ///
    /// struct Channel(mpsc::Sender<u8>);
    ///
    /// impl Write for Channel {
    ///     fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
    ///         data.iter().for_each(|byte| drop(self.0.send(*byte)));
    ///         Ok(data.len())
    ///     }
    ///     fn flush(&mut self) -> std::io::Result<()> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let py = Bridge::new()?;
    /// let (tell, told) = mpsc::channel();
    /// let file = py.writer(Channel(tell));
    /// py.exec("pickle", "dump", ([1, 2], &file)).wait()?;
    /// let pickled: Vec<u8> = told.try_iter().collect();
    /// let back: Vec<i64> = py.call("pickle", "loads", (snakebridge::Bytes::from(pickled),)).wait()?;
    /// assert_eq!(back, [1, 2]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn writer(&self, writer: impl Write + Send + 'static) -> Adapter {
        let writer = Mutex::new(writer);
        let callback = self.callback(move |data: Option<Bytes>| {
            let step = || {
                let mut writer = enter(&writer)?;
                match &data {
                    Some(data) => writer.write(data).map_err(Failure::from),
                    None => writer.flush().map(|()| 0).map_err(Failure::from),
                }
            };
            Ok(again(step)?)
        });
        Adapter { kind: "writer", callback }
    }

    /// Makes a Rust iterator one of Python, which takes an item when it needs one. A thread that asks while
    /// another one is asking gets a `ValueError`, as from a generator.
    ///
    /// ```
    /// use snakebridge::Bridge;
    ///
    /// let py = Bridge::new()?;
    /// let squares = py.iterator((1..).map(|n: i64| n * n));
    /// let first: Vec<i64> = py.call("itertools", "islice", (&squares, 3)).iter().collect::<Result<_, _>>()?;
    /// assert_eq!(first, [1, 4, 9]);
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn iterator<I>(&self, items: I) -> Adapter
    where
        I: IntoIterator<Item: Serialize + 'static, IntoIter: Send + 'static>,
    {
        self.try_iterator(items.into_iter().map(Ok::<_, CallbackError>))
    }

    /// The same with items that may be errors, which are exceptions in Python, as in a
    /// [`callback`](Self::callback). What comes after one is for the iterator to say.
    ///
    /// ```
    /// use snakebridge::{Bridge, CallbackError};
    ///
    /// let py = Bridge::new()?;
    /// let numbers = py.try_iterator(["1", "2", "x"].map(str::parse::<i64>));
    /// let error = py.call::<i64>("builtins", "sum", (&numbers,)).wait().unwrap_err();
    /// assert_eq!(error.python().unwrap().message(), "invalid digit found in string");
    /// # Ok::<(), snakebridge::Error>(())
    /// ```
    pub fn try_iterator<I, T, E>(&self, items: I) -> Adapter
    where
        I: IntoIterator<Item = Result<T, E>, IntoIter: Send + 'static>,
        T: Serialize,
        E: Into<CallbackError>,
    {
        // Nothing of it is kept when it has come to its end.
        let items = Mutex::new(Some(items.into_iter()));
        let callback = self.callback(move || {
            let mut items = enter(&items)?;
            match items.as_mut().and_then(Iterator::next) {
                Some(item) => Ok(Some((item.map_err(Into::into)?,))),
                None => {
                    *items = None;
                    Ok(None)
                }
            }
        });
        Adapter { kind: "iterator", callback }
    }
}

/// Most bytes that are read at once.
const MOST_BYTES: usize = 1 << 20;

/// Why nothing was read or written.
enum Failure {
    Io(io::Error),
    InUse,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Failure> for CallbackError {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Io(error) => error,
            // As of a generator of Python that is already executing: to wait could be for oneself.
            Failure::InUse => return Self::python("builtins.ValueError", "it is already in use"),
        };
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(python) => Self::from(python.clone()),
            None => Self::python(class_of(error.kind()), error),
        }
    }
}

fn enter<T>(shared: &Mutex<T>) -> Result<MutexGuard<'_, T>, Failure> {
    match shared.try_lock() {
        Ok(inside) => Ok(inside),
        // A panic was told to Python; what there is after it is for the type to say.
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(Failure::InUse),
    }
}

/// Does it once more where a signal has interrupted it.
fn again<T>(mut step: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match step() {
            Err(Failure::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// What Python raises for a failure of this kind.
fn class_of(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AlreadyExists => "builtins.FileExistsError",
        io::ErrorKind::BrokenPipe => "builtins.BrokenPipeError",
        io::ErrorKind::ConnectionAborted => "builtins.ConnectionAbortedError",
        io::ErrorKind::ConnectionRefused => "builtins.ConnectionRefusedError",
        io::ErrorKind::ConnectionReset => "builtins.ConnectionResetError",
        io::ErrorKind::NotFound => "builtins.FileNotFoundError",
        io::ErrorKind::PermissionDenied => "builtins.PermissionError",
        io::ErrorKind::TimedOut => "builtins.TimeoutError",
        _ => "builtins.OSError",
    }
}

impl Serialize for Adapter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(token::ADAPTER, &(self.kind, &self.callback))
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {:?}>", self.kind, self.callback)
    }
}
