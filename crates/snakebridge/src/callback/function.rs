//! Functions of any number of parameters, as one thing that takes the arguments of Python.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde::ser::Serialize;
use snakebridge_wire::frame::HEADER_LEN;
use snakebridge_wire::{DecodeError, Encoder, Tape};

use super::CallbackError;
use crate::scope::{self, Noted};

/// A function for the arguments that Python gives it.
pub(crate) trait Function: Send + Sync {
    /// Reads the arguments, `(args, kwargs)`, without running the function.
    fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<Bound, DecodeError>;
}

/// A function with its arguments.
pub(crate) enum Bound {
    Now(Box<dyn FnOnce() -> Outcome + Send>),
    #[cfg(feature = "tokio")]
    Later(BoxFuture),
}

/// What comes of a function.
pub(crate) type Outcome = Result<Returned, CallbackError>;

#[cfg(feature = "tokio")]
pub(crate) type BoxFuture = std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Bound {
    fn now(function: impl FnOnce() -> Outcome + Send + 'static) -> Self {
        Self::Now(Box::new(function))
    }

    /// Runs it with this thread, to its end.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Now(function) => function(),
            #[cfg(feature = "tokio")]
            Self::Later(future) => match crate::engine::waiting::block_on(None, future)? {
                Some(outcome) => outcome,
                None => Err(CallbackError::new("it was stopped")),
            },
        }
    }
}

/// What a function has returned: the frame with room for its header, and what has to live until the
/// worker has it.
pub(crate) struct Returned {
    pub(crate) frame: Vec<u8>,
    pub(crate) has_refs: bool,
    pub(crate) noted: Noted,
}

impl Returned {
    /// A frame without refs.
    pub(crate) fn from_frame(frame: Vec<u8>) -> Self {
        Self { frame, has_refs: false, noted: Noted::default() }
    }
}

/// A function that can be a [`Callback`](crate::Callback): of up to eight parameters of types that
/// can be read from Python, with a result that can be sent there.
///
/// `A` are the parameters; there is nothing to call on this trait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a callback",
    note = "expected a function or closure that is `Send + Sync + 'static`, takes up to eight values, \
            and returns `Result<_, CallbackError>`"
)]
pub trait CallbackFn<A>: Send + Sync + 'static + sealed::Sealed<A> {
    #[doc(hidden)]
    fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<BoundFn, DecodeError>;
}

#[doc(hidden)]
#[expect(unnameable_types, reason = "nobody but this crate makes or takes one")]
pub struct BoundFn(Bound);

#[cfg(feature = "tokio")]
impl BoundFn {
    pub(super) fn later(future: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self(Bound::Later(Box::pin(future)))
    }

    pub(super) fn into_inner(self) -> Bound {
        self.0
    }
}

impl fmt::Debug for BoundFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundFn")
    }
}

#[expect(unnameable_types, reason = "that is what seals the trait")]
mod sealed {
    pub trait Sealed<A> {}
}

pub(crate) fn typed<A: 'static>(function: impl CallbackFn<A>) -> Arc<dyn Function> {
    Arc::new(Typed { function: Arc::new(function), parameters: PhantomData })
}

struct Typed<F, A> {
    function: Arc<F>,
    parameters: PhantomData<fn(A)>,
}

impl<A, F: CallbackFn<A>> Function for Typed<F, A> {
    fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<Bound, DecodeError> {
        Arc::clone(&self.function).bind(arguments).map(|bound| bound.0)
    }
}

macro_rules! functions {
    ($($count:literal ($($name:ident)*))*) => {
        $(impl<F, R, $($name),*> sealed::Sealed<($($name,)*)> for F
        where
            F: Fn($($name),*) -> Result<R, CallbackError> + Send + Sync + 'static,
            R: Serialize,
        {}

        impl<F, R, $($name),*> CallbackFn<($($name,)*)> for F
        where
            F: Fn($($name),*) -> Result<R, CallbackError> + Send + Sync + 'static,
            R: Serialize,
            $($name: DeserializeOwned + Send + 'static,)*
        {
            #[allow(non_snake_case, reason = "the type parameters name the values")]
            fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<BoundFn, DecodeError> {
                let (Positional(($($name,)*)), NoKeywords) = arguments.decode::<(Positional<($($name,)*)>, NoKeywords)>()?;
                Ok(BoundFn(Bound::now(move || encode(&self($($name),*)?))))
            }
        }

        impl<'de, $($name: Deserialize<'de>),*> Deserialize<'de> for Positional<($($name,)*)> {
            fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
                struct Visitor<T>(PhantomData<T>);

                impl<'de, $($name: Deserialize<'de>),*> de::Visitor<'de> for Visitor<($($name,)*)> {
                    type Value = Positional<($($name,)*)>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("positional arguments")
                    }

                    #[allow(non_snake_case, unused_mut, unused_variables, reason = "there may be none")]
                    fn visit_seq<S: de::SeqAccess<'de>>(self, mut args: S) -> Result<Self::Value, S::Error> {
                        let given = args.size_hint().unwrap_or($count);
                        if given != $count {
                            let plural = if $count == 1 { "" } else { "s" };
                            return Err(de::Error::custom(format_args!(
                                "the callback takes {} argument{plural}, {given} given", $count
                            )));
                        }
                        $(let $name = args.next_element()?.ok_or_else(|| de::Error::custom("an argument is missing"))?;)*
                        Ok(Positional(($($name,)*)))
                    }
                }
                deserializer.deserialize_seq(Visitor(PhantomData))
            }
        })*
    };
}

/// Positional arguments, as many as there are parameters.
pub(super) struct Positional<T>(pub(super) T);

functions! {
    0 () 1 (A) 2 (A B) 3 (A B C) 4 (A B C D) 5 (A B C D E) 6 (A B C D E G) 7 (A B C D E G H)
    8 (A B C D E G H I)
}

/// A dict without anything in it.
pub(super) struct NoKeywords;

impl<'de> Deserialize<'de> for NoKeywords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = NoKeywords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keyword arguments")
            }

            fn visit_map<M: de::MapAccess<'de>>(
                self,
                mut kwargs: M,
            ) -> Result<NoKeywords, M::Error> {
                match kwargs.next_key::<String>()? {
                    None => Ok(NoKeywords),
                    Some(name) => Err(de::Error::custom(format_args!(
                        "the callback takes no keyword arguments, `{name}` given"
                    ))),
                }
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

pub(crate) fn typed_with_kwargs<A, K, R, F>(function: F) -> Arc<dyn Function>
where
    F: Fn(A, K) -> Result<R, CallbackError> + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    K: DeserializeOwned + Send + 'static,
    R: Serialize,
{
    Arc::new(WithKwargs { function: Arc::new(function), parameters: PhantomData })
}

struct WithKwargs<F, A, K> {
    function: Arc<F>,
    parameters: PhantomData<fn(A, K)>,
}

impl<F, A, K, R> Function for WithKwargs<F, A, K>
where
    F: Fn(A, K) -> Result<R, CallbackError> + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    K: DeserializeOwned + Send + 'static,
    R: Serialize,
{
    fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<Bound, DecodeError> {
        let (args, kwargs) = arguments.decode::<(A, K)>()?;
        let function = Arc::clone(&self.function);
        Ok(Bound::now(move || encode(&function(args, kwargs)?)))
    }
}

pub(super) fn encode(value: &impl Serialize) -> Result<Returned, CallbackError> {
    let mut encoder = Encoder::new(vec![0; HEADER_LEN]);
    let (done, noted) = scope::encoding_inline(|| encoder.value(value));
    done.map_err(|error| {
        CallbackError::python(
            "builtins.TypeError",
            format_args!("the result of the callback cannot be sent: {error}"),
        )
    })?;
    let has_refs = encoder.has_refs();
    Ok(Returned { frame: encoder.finish(), has_refs, noted })
}
