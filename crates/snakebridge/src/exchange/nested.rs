//! Calls that are made from inside of a callback.
//!
//! While a callback runs, the worker that has called it waits at the other end of the lane. A call
//! that is made meanwhile, on the same thread and to the same pool, goes down that lane: the worker
//! serves it on top of the code that waits. Any other would wait for a worker that waits for us.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use snakebridge_pool::{PoolId, WorkerKey};

use crate::engine::Engine;
use crate::engine::lane::Lane;
use crate::engine::waiting::Wait;

thread_local! {
    /// The conversations whose callbacks run on this thread, the innermost last.
    static OPEN: RefCell<Vec<Arc<Conversation>>> = const { RefCell::new(Vec::new()) };
}

/// A call whose callback runs.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) engine: Arc<Engine>,
    pub(super) pool: PoolId,
    pub(super) worker: WorkerKey,
    /// When the call ends, and all that it has caused.
    pub(super) deadline: Option<Instant>,
    lane: Mutex<Inside>,
    /// Refs that calls from inside have made.
    made: AtomicU64,
}

/// The lane, from the inside of a callback.
#[derive(Debug)]
enum Inside {
    Free(Box<Lane>),
    /// A nested call has it; others wait for it.
    Taken(Vec<Waker>),
    /// A nested call was given up, and the worker still runs it.
    Running(Box<Lane>),
    /// The lane was closed.
    Lost,
}

/// What is left of the lane when the callback has ended.
#[derive(Debug)]
pub(super) enum Left {
    Free(Box<Lane>),
    Running(Box<Lane>),
    Lost,
}

impl Conversation {
    pub(super) fn new(
        engine: &Arc<Engine>,
        pool: PoolId,
        worker: WorkerKey,
        deadline: Option<Instant>,
    ) -> Arc<Self> {
        let (engine, lane) = (Arc::clone(engine), Mutex::new(Inside::Lost));
        Arc::new(Self { engine, pool, worker, deadline, lane, made: AtomicU64::new(0) })
    }

    /// Runs a callback, whose calls find this conversation.
    pub(super) fn enter<T>(self: &Arc<Self>, callback: impl FnOnce() -> T) -> T {
        struct Leave;

        impl Drop for Leave {
            fn drop(&mut self) {
                let left = OPEN.with(|open| open.borrow_mut().pop());
                drop(left);
            }
        }
        OPEN.with(|open| open.borrow_mut().push(Arc::clone(self)));
        let _leave = Leave;
        callback()
    }

    /// Takes the lane, from a call that has made this many refs.
    pub(super) fn give_back(&self, lane: Box<Lane>, made: u64) {
        self.made.fetch_add(made, Ordering::Relaxed);
        self.set(Inside::Free(lane));
    }

    pub(super) fn give_back_running(&self, lane: Box<Lane>) {
        self.set(Inside::Running(lane));
    }

    /// The lane that was taken has been closed.
    pub(super) fn lose(&self) {
        self.set(Inside::Lost);
    }

    /// Takes the lane when the callback has ended.
    pub(super) fn close(&self) -> Left {
        match self.set(Inside::Lost) {
            Inside::Free(lane) => Left::Free(lane),
            Inside::Running(lane) => Left::Running(lane),
            Inside::Taken(_) | Inside::Lost => Left::Lost,
        }
    }

    /// Changes what becomes of the lane, which those who wait for it are told. Gives what was before.
    fn set(&self, inside: Inside) -> Inside {
        let mut before = std::mem::replace(&mut *self.lock(), inside);
        if let Inside::Taken(waiting) = &mut before {
            std::mem::take(waiting).into_iter().for_each(Waker::wake);
        }
        before
    }

    /// How many refs were made since this was asked last.
    pub(super) fn take_made(&self) -> u64 {
        self.made.swap(0, Ordering::Relaxed)
    }

    /// Whether calls like this go down the lane.
    fn serves(&self, engine: &Arc<Engine>, pool: PoolId, pinned: Option<WorkerKey>) -> bool {
        let right = pinned.is_none_or(|worker| worker == self.worker);
        right && Arc::ptr_eq(&self.engine, engine) && self.pool == pool
    }

    /// The lane, if it is there; none if it will not be there again.
    fn poll_take(&self, context: &Context<'_>) -> Poll<Option<Box<Lane>>> {
        let mut lane = self.lock();
        match std::mem::replace(&mut *lane, Inside::Taken(Vec::new())) {
            Inside::Free(free) => Poll::Ready(Some(free)),
            Inside::Taken(mut waiting) => {
                waiting.push(context.waker().clone());
                *lane = Inside::Taken(waiting);
                Poll::Pending
            }
            other => {
                *lane = other;
                Poll::Ready(None)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The conversation around a call from inside of a callback of the same pool, if this is one.
pub(super) fn around(
    engine: &Arc<Engine>,
    pool: PoolId,
    pinned: Option<WorkerKey>,
) -> Option<Arc<Conversation>> {
    OPEN.with(|open| {
        let open = open.borrow();
        open.iter().rev().find(|open| open.serves(engine, pool, pinned)).map(Arc::clone)
    })
}

/// The lane of a conversation. Where another call from inside has it, as in an async callback that makes many
/// at once, a task waits until the deadline.
pub(super) async fn lane_of<W: Wait>(
    around: &Conversation,
    deadline: Option<Instant>,
) -> Option<Box<Lane>> {
    W::turn(deadline, |context| around.poll_take(context)).await.flatten()
}
