//! Async functions of any number of parameters.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::ser::Serialize;
use snakebridge_wire::{DecodeError, Tape};

use super::function::{Bound, BoundFn, Function, NoKeywords, Positional, encode};
use super::{Callback, CallbackError};
use crate::bridge::Bridge;

impl Bridge {
    /// Makes an async Rust function callable from Python.
    ///
    /// Parameters, results and errors are those of [`callback`](Self::callback). The function is called when
    /// Python calls, and Python goes on when its future has come to its end.
    ///
    /// Where the call that calls back is awaited, or a stream is, the task that awaits runs the future itself:
    /// with no other task or thread in between, on its runtime, and no longer than the call is wanted: it is
    /// dropped with the future of the call, and at the call's deadline. Calls that it awaits are carried out
    /// by the worker that waits for it, one after the other.
    ///
    /// Where nothing is awaited, in a blocking call and for a thread of Python, the future has a small runtime
    /// of its own, which ends with it; also with the tasks that it has spawned there.
    ///
    /// ```
    /// use std::time::Duration;
    /// use snakebridge::Bridge;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> snakebridge::Result<()> {
    /// let py = Bridge::new()?;
    /// let key = py.callback_async(|n: i64| async move {
    ///     tokio::time::sleep(Duration::from_millis(1)).await;
    ///     Ok((n - 10).abs())
    /// });
    /// let numbers: Vec<i64> =
    ///     py.call("builtins", "sorted", snakebridge::args![[1, 9, 14], key = &key]).await?;
    /// assert_eq!(numbers, [9, 14, 1]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn callback_async<A: 'static>(&self, function: impl AsyncCallbackFn<A>) -> Callback {
        let function =
            Arc::new(Async { function: Arc::new(function), bind: AsyncCallbackFn::bind });
        Callback::new(self.home().engine().ok(), function)
    }
}

/// An async function that can be a [`Callback`]: of up to eight parameters of types that can be read from
/// Python, whose future can be sent and gives a result that can be sent to Python.
///
/// `A` are the parameters; there is nothing to call on this trait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an async callback",
    note = "expected a function or closure that is `Send + Sync + 'static`, takes up to eight values, \
            and returns a future that is `Send` and gives `Result<_, CallbackError>`"
)]
pub trait AsyncCallbackFn<A>: Send + Sync + 'static + sealed::Sealed<A> {
    #[doc(hidden)]
    fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<BoundFn, DecodeError>;
}

#[expect(unnameable_types, reason = "that is what seals the trait")]
mod sealed {
    pub trait Sealed<A> {}
}

struct Async<F> {
    function: Arc<F>,
    bind: fn(Arc<F>, &Tape<'_>) -> Result<BoundFn, DecodeError>,
}

impl<F: Send + Sync> Function for Async<F> {
    fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<Bound, DecodeError> {
        (self.bind)(Arc::clone(&self.function), arguments).map(BoundFn::into_inner)
    }
}

macro_rules! functions {
    ($(($($name:ident)*))*) => {
        $(impl<F, T, R, $($name),*> sealed::Sealed<($($name,)*)> for F
        where
            F: Fn($($name),*) -> T + Send + Sync + 'static,
            T: Future<Output = Result<R, CallbackError>> + Send,
            R: Serialize,
        {}

        impl<F, T, R, $($name),*> AsyncCallbackFn<($($name,)*)> for F
        where
            F: Fn($($name),*) -> T + Send + Sync + 'static,
            T: Future<Output = Result<R, CallbackError>> + Send,
            R: Serialize,
            $($name: DeserializeOwned + Send + 'static,)*
        {
            #[allow(non_snake_case, reason = "the type parameters name the values")]
            fn bind(self: Arc<Self>, arguments: &Tape<'_>) -> Result<BoundFn, DecodeError> {
                let (Positional(($($name,)*)), NoKeywords) = arguments.decode::<(Positional<($($name,)*)>, NoKeywords)>()?;
                // Called within the future, so that a panic is caught there.
                Ok(BoundFn::later(async move { encode(&self($($name),*).await?) }))
            }
        })*
    };
}

functions! {
    () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E G) (A B C D E G H) (A B C D E G H I)
}
