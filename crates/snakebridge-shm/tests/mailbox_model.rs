//! The protocol of the mailbox, in all orders that the memory model allows: no message is lost, none is read while it
//! is written, and nobody sleeps with a message in the box.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::arc_with_non_send_sync, reason = "threads of the model are no threads")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU8, fence};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use snakebridge_shm::mailbox::{CAPACITY, Cells, End, Found, Posted, Side};

/// What both sides have: the memory, and two pipes.
#[derive(Default)]
struct Machine {
    counts: [AtomicU8; 2],
    sleeping: [AtomicU8; 2],
    boxes: [UnsafeCell<Vec<u8>>; 2],
    pipes: [Pipe; 2],
    /// Leaves the fences out, to see that the model would find that.
    without_fences: bool,
}

#[derive(Default)]
struct Pipe {
    waiting: Mutex<VecDeque<Vec<u8>>>,
    written: Condvar,
}

impl Pipe {
    fn write(&self, message: &[u8]) {
        self.waiting.lock().unwrap().push_back(message.to_vec());
        self.written.notify_one();
    }

    fn read(&self) -> Vec<u8> {
        let mut waiting = self.waiting.lock().unwrap();
        loop {
            match waiting.pop_front() {
                Some(message) => return message,
                None => waiting = self.written.wait(waiting).unwrap(),
            }
        }
    }
}

#[derive(Clone)]
struct Memory(Arc<Machine>);

impl Cells for Memory {
    fn count(&self, of: Side, order: Ordering) -> u8 {
        self.0.counts[of as usize].load(order)
    }

    fn set_count(&self, of: Side, count: u8, order: Ordering) {
        self.0.counts[of as usize].store(count, order);
    }

    fn sleeps(&self, side: Side, order: Ordering) -> bool {
        self.0.sleeping[side as usize].load(order) != 0
    }

    fn set_sleeps(&self, side: Side, sleeps: bool, order: Ordering) {
        self.0.sleeping[side as usize].store(sleeps.into(), order);
    }

    fn fence(&self) {
        if !self.0.without_fences {
            fence(Ordering::SeqCst);
        }
    }

    fn put(&self, of: Side, parts: [&[u8]; 2]) {
        // An access beside that of the other side is an error of the model.
        self.0.boxes[of as usize].with_mut(|bytes| {
            // SAFETY: the model ends with an error if another thread accesses it meanwhile.
            let bytes = unsafe { &mut *bytes };
            bytes.clear();
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
        });
    }

    fn get(&self, of: Side, into: &mut Vec<u8>) -> bool {
        self.0.boxes[of as usize].with(|bytes| {
            // SAFETY: as above.
            let bytes = unsafe { &*bytes };
            into.extend_from_slice(bytes);
            !bytes.is_empty()
        })
    }
}

const RING: &[u8] = b"ring";

struct Process {
    end: End<Memory>,
    machine: Arc<Machine>,
    side: Side,
    /// How often it looks before it sleeps.
    looks: usize,
}

impl Process {
    fn new(machine: &Arc<Machine>, side: Side, looks: usize) -> Self {
        let end = End::new(Memory(Arc::clone(machine)), side);
        Self { end, machine: Arc::clone(machine), side, looks }
    }

    fn send(&mut self, message: &[u8]) {
        let pipe = &self.machine.pipes[self.side.other() as usize];
        match self.end.post([message, b""]) {
            Posted::InBox => {}
            Posted::Ring => pipe.write(RING),
            Posted::NotAtAll => pipe.write(message),
        }
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        for _ in 0..self.looks {
            match self.end.look(&mut message) {
                Found::Message => return message,
                Found::Announcement => break,
                Found::Nothing => thread::yield_now(),
            }
        }
        self.end.sleep();
        loop {
            if self.end.look(&mut message) == Found::Message {
                return message;
            }
            let came = self.machine.pipes[self.side as usize].read();
            if came != RING {
                self.end.came_by_pipe();
                return came;
            }
        }
    }
}

fn converse(machine: Machine, messages: Vec<Vec<u8>>, looks: [usize; 2]) {
    let machine = Arc::new(machine);
    for side in [Side::Host, Side::Worker] {
        machine.sleeping[side as usize].store(1, Ordering::Relaxed);
    }
    let mut host = Process::new(&machine, Side::Host, looks[0]);
    let mut worker = Process::new(&machine, Side::Worker, looks[1]);
    let count = messages.len();
    // The worker has been asked to look, and has come to that.
    worker.end.wake();
    let served = thread::spawn(move || {
        for round in 0..count {
            let message = worker.receive();
            if round + 1 < count && worker.looks > 0 {
                worker.end.wake();
            }
            worker.send(&message);
        }
    });
    for message in messages {
        if host.looks > 0 {
            host.end.wake();
        }
        host.send(&message);
        assert_eq!(host.receive(), message);
    }
    served.join().unwrap();
}

fn model(rounds: usize, looks: [usize; 2]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let messages = (0..rounds).map(|round| vec![round as u8 + 1]).collect();
        converse(Machine::default(), messages, looks);
    });
}

#[test]
fn both_look() {
    model(2, [1, 1]);
}

#[test]
fn only_the_worker_looks() {
    model(2, [0, 1]);
}

#[test]
fn only_the_host_looks() {
    model(2, [1, 0]);
}

#[test]
fn long_messages_go_through_the_pipe() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let messages = vec![vec![1; CAPACITY + 1], vec![2]];
        converse(Machine::default(), messages, [1, 1]);
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fences_the_model_finds_a_lost_wake_up() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let machine = Machine { without_fences: true, ..Machine::default() };
        converse(machine, vec![vec![1], vec![2]], [1, 1]);
    });
}
