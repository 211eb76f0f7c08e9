//! The Python side of an exception, as data.

use std::fmt::{self, Write as _};

use serde::de::{self, Deserialize, Deserializer};

use crate::Value;

/// An exception that Python raised: everything that its traceback shows, and more.
///
/// ```
/// use snakebridge::Bridge;
///
/// let py = Bridge::new()?;
/// let error = py.call::<f64>("math", "sqrt", (-1,)).wait().unwrap_err();
/// let python = error.python().unwrap();
/// assert_eq!(python.type_name(), "ValueError");
/// assert!(python.is_instance("builtins.Exception"));
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PythonError {
    module: String,
    qualname: String,
    bases: Vec<String>,
    message: String,
    args: Option<Vec<Value>>,
    frames: Vec<TracebackFrame>,
    notes: Vec<String>,
    cause: Option<Box<Self>>,
    context: Context,
    suppress_context: bool,
    exceptions: Vec<Self>,
}

/// The exception that was being handled.
#[derive(Clone, Debug)]
enum Context {
    None,
    /// It is the cause too.
    Cause,
    Other(Box<PythonError>),
}

/// One line of a traceback.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracebackFrame {
    /// The file, as Python names it.
    pub file: String,
    /// The line in the file, from 1.
    pub line: u32,
    /// The function, or `<module>`.
    pub function: String,
    /// The line of source, if Python could find it.
    pub source: Option<String>,
}

impl PythonError {
    /// Name of the exception's class: `ValueError`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.qualname.rsplit('.').next().unwrap_or(&self.qualname)
    }

    /// Qualified name of the class within its module: `Outer.InnerError`.
    #[must_use]
    pub fn qualname(&self) -> &str {
        &self.qualname
    }

    /// Module of the class: `builtins`, `json.decoder`.
    #[must_use]
    pub fn module(&self) -> &str {
        &self.module
    }

    /// All classes that the exception is an instance of, its own first, with their modules:
    /// `builtins.ValueError`.
    #[must_use]
    pub fn bases(&self) -> &[String] {
        &self.bases
    }

    /// Whether the exception is an instance of a class, as `except` would test it. The class is
    /// given with its module, `builtins.LookupError`; without one any module will do.
    #[must_use]
    pub fn is_instance(&self, class: &str) -> bool {
        self.bases.iter().any(|base| {
            base == class || (!class.contains('.') && base.rsplit('.').next() == Some(class))
        })
    }

    /// The exception's text, `str(exception)`.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The exception's arguments, if all of them are plain values.
    #[must_use]
    pub fn args(&self) -> Option<&[Value]> {
        self.args.as_deref()
    }

    /// The traceback, outermost first.
    #[must_use]
    pub fn frames(&self) -> &[TracebackFrame] {
        &self.frames
    }

    /// Notes that were added to the exception (Python 3.11 and newer).
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The exception that it was raised from, `raise ... from cause`.
    #[must_use]
    pub fn cause(&self) -> Option<&Self> {
        self.cause.as_deref()
    }

    /// The exception that was being handled when it was raised.
    #[must_use]
    pub fn context(&self) -> Option<&Self> {
        match &self.context {
            Context::None => None,
            Context::Cause => self.cause(),
            Context::Other(context) => Some(context),
        }
    }

    /// The members of an exception group; empty for other exceptions.
    #[must_use]
    pub fn exceptions(&self) -> &[Self] {
        &self.exceptions
    }

    /// The whole traceback as Python prints it, with causes and contexts.
    #[must_use]
    pub fn traceback(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_traceback(&mut out, "");
        out
    }

    fn write_traceback(&self, out: &mut String, indent: &str) -> fmt::Result {
        let link = match (self.cause(), self.context()) {
            (Some(cause), _) => Some((
                cause,
                "The above exception was the direct cause of the following exception:",
            )),
            (None, Some(context)) if !self.suppress_context => Some((
                context,
                "During handling of the above exception, another exception occurred:",
            )),
            _ => None,
        };
        if let Some((earlier, text)) = link {
            earlier.write_traceback(out, indent)?;
            write!(out, "\n{indent}{text}\n\n")?;
        }
        if !self.frames.is_empty() {
            writeln!(out, "{indent}Traceback (most recent call last):")?;
        }
        for frame in &self.frames {
            let TracebackFrame { file, line, function, source } = frame;
            writeln!(out, "{indent}  File \"{file}\", line {line}, in {function}")?;
            if let Some(source) = source {
                writeln!(out, "{indent}    {source}")?;
            }
        }
        for line in self.to_string().lines().chain(self.notes.iter().flat_map(|note| note.lines()))
        {
            writeln!(out, "{indent}{line}")?;
        }
        let inner = format!("{indent}  | ");
        for (place, member) in self.exceptions.iter().enumerate() {
            writeln!(out, "{indent}  +---------------- {}", place + 1)?;
            member.write_traceback(out, &inner)?;
        }
        Ok(())
    }
}

/// The last line of a traceback: `ValueError: math domain error`.
impl fmt::Display for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.module.as_str(), "builtins" | "__main__" | "") {
            write!(f, "{}.", self.module)?;
        }
        f.write_str(&self.qualname)?;
        if self.message.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.message)
    }
}

/// Reads the tuple that the worker sends, see `spec/wire.md`.
impl<'de> Deserialize<'de> for PythonError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PythonError;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an exception")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<PythonError, A::Error> {
                fn next<'de, T: Deserialize<'de>, A: de::SeqAccess<'de>>(
                    seq: &mut A,
                ) -> Result<T, A::Error> {
                    seq.next_element()?.ok_or_else(|| de::Error::custom("a field is missing"))
                }
                type Frame = (String, u32, String, Option<String>);
                let frame = |(file, line, function, source): Frame| TracebackFrame {
                    file,
                    line,
                    function,
                    source,
                };
                Ok(PythonError {
                    module: next(&mut seq)?,
                    qualname: next(&mut seq)?,
                    bases: next(&mut seq)?,
                    message: next(&mut seq)?,
                    args: next(&mut seq)?,
                    frames: next::<Vec<Frame>, A>(&mut seq)?.into_iter().map(frame).collect(),
                    notes: next(&mut seq)?,
                    cause: next(&mut seq)?,
                    context: next(&mut seq)?,
                    suppress_context: next(&mut seq)?,
                    exceptions: next(&mut seq)?,
                })
            }
        }
        const FIELDS: usize = 11;
        deserializer.deserialize_tuple(FIELDS, Visitor)
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Context;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an exception, True or None")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Context, E> {
                Ok(Context::None)
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Context, E> {
                Ok(Context::Cause)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Context, A::Error> {
                let deserializer = de::value::SeqAccessDeserializer::new(seq);
                Deserialize::deserialize(deserializer).map(|error| Context::Other(Box::new(error)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
