//! Arguments of calls.

use std::fmt;

use serde::Serialize;
use snakebridge_wire::Encoder;

use crate::error::{Error, ErrorKind, Result};
use crate::scope::{self, Noted};

/// The arguments of a call: a tuple of up to twelve serializable values, or [`Args`].
///
/// A value by itself is not accepted, because a list could be meant as one argument or as many:
/// write `(x,)` for one argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of arguments",
    label = "expected a tuple of arguments, or `args![..]`",
    note = "write `(x,)` to pass one argument, `()` to pass none, `args![x, name = y]` for keywords"
)]
pub trait IntoArgs: sealed::Sealed {
    #[doc(hidden)]
    fn write(self, encoder: &mut Encoder) -> Result<Noted>;
}

#[expect(unnameable_types, reason = "that is what seals the trait")]
mod sealed {
    pub trait Sealed {}
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(impl<$($name: Serialize),*> sealed::Sealed for ($($name,)*) {}

        impl<$($name: Serialize),*> IntoArgs for ($($name,)*) {
            // The type parameters name the fields, and there is an empty tuple.
            #[allow(non_snake_case, unused_variables, unused_mut)]
            fn write(self, encoder: &mut Encoder) -> Result<Noted> {
                let ($($name,)*) = self;
                let mut place = 0;
                encoder.begin_tuple();
                let (done, noted) = scope::encoding(|| {
                    $(
                        place += 1;
                        encoder.value(&$name)?;
                    )*
                    Ok(())
                });
                encoder.end_tuple();
                done.map(|()| noted).map_err(|error: snakebridge_wire::EncodeError| {
                    encode_error(&format!("argument {place}"), &error)
                })
            }
        })*
    };
}

tuples! {
    () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

/// Arguments that are put together at run time: any number of positional ones, then keywords.
///
/// [`args!`](crate::args) makes them from what a call looks like in Python.
///
/// ```
/// use snakebridge::{Args, Bridge};
///
/// let py = Bridge::new()?;
/// let options = [("a", 1), ("b", 2)];
/// let args = options.into_iter().fold(Args::new(), |args, (name, value)| args.kwarg(name, value));
/// let made: std::collections::BTreeMap<String, i32> = py.call("builtins", "dict", args).wait()?;
/// assert_eq!(made["b"], 2);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[must_use = "arguments do nothing until they are given to a call"]
pub struct Args {
    encoder: Encoder,
    noted: Noted,
    positional: usize,
    keywords: usize,
    error: Option<Error>,
}

impl Args {
    /// No arguments.
    pub fn new() -> Self {
        let mut encoder = Encoder::default().sharing(scope::share_if_large);
        encoder.begin_tuple();
        Self { encoder, noted: Noted::default(), positional: 0, keywords: 0, error: None }
    }

    /// Adds a positional argument. After a keyword argument it is an error, which the call reports.
    pub fn arg(mut self, value: impl Serialize) -> Self {
        self.positional += 1;
        if self.keywords > 0 {
            self.fail(Error::new(
                ErrorKind::Encode,
                "positional argument follows keyword argument",
            ));
            return self;
        }
        let name = format!("argument {}", self.positional);
        self.put(&value, &name);
        self
    }

    /// Adds a keyword argument. The name need not be an identifier.
    pub fn kwarg(mut self, name: &str, value: impl Serialize) -> Self {
        if self.keywords == 0 {
            self.encoder.end_tuple();
            self.encoder.begin_dict();
        }
        self.keywords += 1;
        self.encoder.str(name);
        self.put(&value, &format!("argument `{name}`"));
        self
    }

    fn put(&mut self, value: &impl Serialize, name: &str) {
        let encoder = &mut self.encoder;
        let (done, noted) = scope::encoding(|| encoder.value(value));
        self.noted.extend(noted);
        if let Err(error) = done {
            self.fail(encode_error(name, &error));
        }
    }

    /// The first error is the one that the call reports.
    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::new()
    }
}

impl sealed::Sealed for Args {}

impl IntoArgs for Args {
    fn write(mut self, encoder: &mut Encoder) -> Result<Noted> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.keywords {
            0 => self.encoder.end_tuple(),
            _ => self.encoder.end_dict(),
        }
        encoder.splice(&self.encoder);
        Ok(self.noted)
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values may be secrets.
        f.debug_struct("Args")
            .field("positional", &self.positional)
            .field("keywords", &self.keywords)
            .finish_non_exhaustive()
    }
}

fn encode_error(argument: &str, error: &snakebridge_wire::EncodeError) -> Error {
    Error::new(ErrorKind::Encode, format!("{argument} cannot be sent: {error}"))
}

/// Arguments written as in a Python call: `args![1, "two", key = 3]`.
///
/// ```
/// use snakebridge::{Bridge, args};
///
/// let py = Bridge::new()?;
/// let short: f64 = py.call("builtins", "round", args![3.14159, ndigits = 2]).wait()?;
/// assert_eq!(short, 3.14);
/// # Ok::<(), snakebridge::Error>(())
/// ```
#[macro_export]
macro_rules! args {
    (@positional $args:expr;) => { $args };
    (@positional $args:expr; $name:ident = $($rest:tt)*) => {
        $crate::args!(@keyword $args; $name = $($rest)*)
    };
    (@positional $args:expr; $value:expr $(, $($rest:tt)*)?) => {
        $crate::args!(@positional $args.arg(&$value); $($($rest)*)?)
    };
    (@keyword $args:expr;) => { $args };
    (@keyword $args:expr; $name:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::args!(@keyword $args.kwarg(stringify!($name), &$value); $($($rest)*)?)
    };
    (@keyword $args:expr; $($rest:tt)*) => {
        compile_error!("positional argument follows keyword argument")
    };
    ($($all:tt)*) => { $crate::args!(@positional $crate::Args::new(); $($all)*) };
}
