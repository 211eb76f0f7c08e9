//! Lanes that change their gear at any time, by chance: all goes on as in either gear.
//!
//! `SNAKEBRIDGE_GEAR_SEEDS=1000` tries more seeds; what fails names the seed and the step.

#![cfg(all(target_os = "linux", feature = "tokio"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::thread;
use std::time::Duration;

use common::{LANES, Random, builder_with, eventually, kill, worker_pid};
use snakebridge::{Bridge, Bytes, ErrorKind, Pending, Pool, Ref, Result, Spin};

/// A program that does what chance says.
struct Program {
    py: Bridge,
    boxed: Option<Ref>,
    random: Random,
}

impl Program {
    /// One step. Its result is the right one, or the error says what has become of the worker.
    fn step(&mut self) -> Result<()> {
        match self.random.below(16) {
            0..=3 => self.scalar(),
            4 | 5 => self.bytes(),
            6 | 7 => self.method(),
            8 => self.exception(),
            9 => self.stream(),
            10 | 11 => self.callbacks(),
            12 => self.pending(),
            13 => self.dropped(),
            14 => self.stopped(),
            _ => self.awaited(),
        }
    }

    fn scalar(&mut self) -> Result<()> {
        let pause = self.random.below(80);
        assert_eq!(self.py.call::<u64>("fixture", "pause", (pause,)).wait()?, pause);
        Ok(())
    }

    /// Of lengths that fit into the box, or do not, or just do.
    fn bytes(&mut self) -> Result<()> {
        let length = match self.random.below(4) {
            0 => self.random.below(300),
            1 => self.random.within(30_500..30_900),
            2 => self.random.within(65_000..66_000),
            _ => self.random.below(400_000),
        };
        let first = self.random.below(256);
        let data: Vec<u8> = (first..first + length).map(|place| (place % 251) as u8).collect();
        let back: Bytes = self.py.call("fixture", "swap", (Bytes::from(data.clone()),)).wait()?;
        assert!(back.iter().eq(data.iter().rev()), "{length} bytes");
        Ok(())
    }

    fn method(&mut self) -> Result<()> {
        let boxed = match self.boxed.take() {
            Some(boxed) => boxed,
            None => self.py.call("fixture", "Box", ()).wait()?,
        };
        assert_eq!(boxed.method::<i64>("double", (21,)).wait()?, 42);
        self.boxed = Some(boxed).filter(|_| self.random.below(3) > 0);
        Ok(())
    }

    fn exception(&self) -> Result<()> {
        let error = self.py.call::<()>("fixture", "fail", ()).wait().unwrap_err();
        match error.python() {
            Some(raised) => assert_eq!(raised.message(), "on purpose"),
            None => return Err(error),
        }
        Ok(())
    }

    /// Read to its end, or not.
    fn stream(&mut self) -> Result<()> {
        let (count, taken) = (self.random.below(300), self.random.below(400) as usize);
        let chunks = self.py.call::<String>("fixture", "chunks", (count,)).iter();
        for (number, chunk) in chunks.take(taken).enumerate() {
            assert_eq!(chunk?, number.to_string().repeat(100));
        }
        Ok(())
    }

    /// Some of which call again.
    fn callbacks(&mut self) -> Result<()> {
        let (py, nests) = (self.py.clone(), self.random.below(2) > 0);
        let roots = self.py.callback(move |n: i64| match nests {
            true => Ok(py.call::<i64>("math", "isqrt", (n * n,)).wait()?),
            false => Ok(n),
        });
        let count = self.random.below(10) as i64;
        let found: Vec<i64> = self.py.call("fixture", "apply", (&roots, count)).wait()?;
        assert!(found.into_iter().eq(0..count));
        Ok(())
    }

    /// Its reply may have come long before somebody looks for it.
    fn pending(&mut self) -> Result<()> {
        let pause = self.random.below(100);
        let pending: Pending<u64> = self.py.call("fixture", "pause", (pause,)).start();
        pause_for(self.random.below(200));
        assert_eq!(pending.wait()?, pause);
        Ok(())
    }

    /// Nobody waits for its reply.
    fn dropped(&mut self) -> Result<()> {
        let pause = self.random.below(200);
        drop(self.py.call::<u64>("fixture", "pause", (pause,)).start());
        self.scalar()
    }

    fn stopped(&mut self) -> Result<()> {
        let limit = Duration::from_micros(self.random.within(200..3000));
        let error = self.py.call::<()>("time", "sleep", (60,)).timeout(limit).wait().unwrap_err();
        match error.kind() {
            ErrorKind::Timeout => Ok(()),
            _ => Err(error),
        }
    }

    fn awaited(&mut self) -> Result<()> {
        let pause = self.random.below(100);
        let limit = Duration::from_micros(self.random.below(200));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let call = self.py.call::<u64>("fixture", "pause", (pause,)).into_future();
            if let Ok(found) = tokio::time::timeout(limit, call).await {
                assert_eq!(found?, pause);
            }
            assert_eq!(self.py.call::<u64>("fixture", "pause", (0,)).await?, 0);
            Ok(())
        })
    }
}

fn pause_for(micros: u64) {
    thread::sleep(Duration::from_micros(micros));
}

fn programs() -> impl Iterator<Item = (u64, Program, tempfile::TempDir)> {
    let count = std::env::var("SNAKEBRIDGE_GEAR_SEEDS").map_or(8, |count| count.parse().unwrap());
    (1..=count).map(|seed: u64| {
        let (builder, folder) = builder_with(LANES);
        let pool = Pool::new().module_path(folder.path()).spin(Spin::Random(seed));
        let py = builder.pool("default", pool).build().unwrap();
        let random = Random::new(seed);
        (seed, Program { py, boxed: None, random }, folder)
    })
}

#[test]
fn every_result_is_the_right_one() {
    for (seed, mut program, _folder) in programs() {
        for number in 0..150 {
            if let Err(error) = program.step() {
                panic!("seed {seed}, step {number}: {error:?}");
            }
        }
        program.boxed = None;
        eventually("the boxes are released", || {
            program.py.call::<i64>("fixture", "alive", ()).wait().unwrap() == 0
        });
    }
}

#[test]
fn a_worker_may_be_killed_at_any_time() {
    for (seed, mut program, _folder) in programs() {
        for round in 0..5 {
            let pid = worker_pid(&program.py);
            let delay = program.random.below(3000);
            let killer = thread::spawn(move || {
                pause_for(delay);
                kill(pid);
            });
            while !killer.is_finished() {
                if let Err(error) = program.step() {
                    let kind = error.kind();
                    let is_loss = matches!(kind, ErrorKind::WorkerLost | ErrorKind::RefLost);
                    assert!(is_loss, "seed {seed}, round {round}: {error:?}");
                }
            }
            killer.join().unwrap();
            program.boxed = None;
            eventually("another worker takes its place", || {
                let asked: Result<i32> = program.py.call("os", "getpid", ()).wait();
                asked.is_ok_and(|another| another != pid)
            });
        }
    }
}
