//! The callbacks of a bridge, as long as anybody can call them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snakebridge_pool::WorkerKey;

use crate::callback::Function;

/// All functions that have a handle here, or a callable in a worker.
#[derive(Default)]
pub(crate) struct Callbacks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    entries: HashMap<u64, Entry>,
}

struct Entry {
    function: Arc<dyn Function>,
    /// A `Callback` is there.
    has_handle: bool,
    /// How often each worker was sent it, less what the worker has said to have dropped.
    sent: HashMap<WorkerKey, u64>,
}

impl Entry {
    fn is_needed(&self) -> bool {
        self.has_handle || !self.sent.is_empty()
    }
}

impl Callbacks {
    /// Takes up a function; gives its id.
    pub(crate) fn add(&self, function: Arc<dyn Function>) -> u64 {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.entries.insert(id, Entry { function, has_handle: true, sent: HashMap::new() });
        id
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<dyn Function>> {
        self.lock().entries.get(&id).map(|entry| Arc::clone(&entry.function))
    }

    /// Notes that a worker is sent a callback.
    pub(crate) fn sent(&self, worker: WorkerKey, id: u64) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            *entry.sent.entry(worker).or_default() += 1;
        }
    }

    /// Notes that a worker has dropped a callable that had come this many times.
    pub(crate) fn dropped(&self, worker: WorkerKey, id: u64, count: u64) {
        self.change(id, |entry| {
            if let Some(sent) = entry.sent.get_mut(&worker) {
                *sent = sent.saturating_sub(count);
                if *sent == 0 {
                    entry.sent.remove(&worker);
                }
            }
        });
    }

    pub(crate) fn drop_handle(&self, id: u64) {
        self.change(id, |entry| entry.has_handle = false);
    }

    /// A worker has ended, and its callables with it.
    pub(crate) fn worker_ended(&self, worker: WorkerKey) {
        let mut state = self.lock();
        let mut ended = Vec::new();
        state.entries.retain(|_, entry| {
            entry.sent.remove(&worker);
            let needed = entry.is_needed();
            if !needed {
                ended.push(Arc::clone(&entry.function));
            }
            needed
        });
        // What the functions own is code of the user.
        drop(state);
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(&id) else { return };
        change(entry);
        let ended = if entry.is_needed() { None } else { state.entries.remove(&id) };
        drop(state);
        drop(ended);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks").field("count", &self.lock().entries.len()).finish()
    }
}
