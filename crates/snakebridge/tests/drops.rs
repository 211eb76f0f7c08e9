//! What is left of a future that is dropped, at each point at which it waits: nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use common::{builder_with, descriptors, eventually};
use snakebridge::{Bridge, Bytes, Pool, Ref, Spin, Value, args};
use tokio::runtime::{Builder, Runtime};

const FIXTURE: &str = r#"
import asyncio, weakref

boxes = weakref.WeakSet()

class Box:
    def __init__(self, *_):
        boxes.add(self)

def many(count):
    for _ in range(count):
        yield Box()

def alive():
    return len(boxes)

def apply(f, *args):
    return f(Box(), *args)

def apply_odd(f):
    return f(Box(), "\ud800")

def surrogates(count):
    return [Box(), "\ud800"] * count

async def later():
    await asyncio.sleep(0.002)
    return Box()
"#;

type Dropped<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Polls a future so many times at most, each time when it is woken, and drops it: as soon as it waits for
/// something, or `late`, when that has come. Whether it came to its end.
async fn poll(mut future: Dropped<'_>, polls: usize, late: bool) -> bool {
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if left == 0 && !late => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A bridge, and what there is when nothing goes on.
struct Scene {
    py: Bridge,
    runtime: Runtime,
    descriptors: usize,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (builder, folder) = builder_with(FIXTURE);
        // Nothing is found before it has been waited for.
        let pool = Pool::new().module_path(folder.path()).spin(Spin::Off);
        // Large calls are in shared memory, and each piece of it that is kept is a descriptor.
        let builder = builder.keep_memory(Duration::from_millis(10));
        let py = builder.pool("default", pool).build().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut scene = Self { py, runtime, descriptors: 0, _folder: folder };
        scene.alive();
        scene.descriptors = descriptors();
        scene
    }

    /// Objects that are left in Python. The call takes what is to be released with it.
    fn alive(&self) -> usize {
        self.runtime.block_on(self.py.call("fixture", "alive", ()).into_future()).unwrap()
    }

    fn drop_everywhere<'a>(&'a self, what: &str, make: impl Fn(&'a Bridge) -> Dropped<'a>) {
        for late in [false, true] {
            let mut polls = 1;
            while !self.runtime.block_on(poll(make(&self.py), polls, late)) {
                self.check(&format!("{what}, after {polls} polls, late: {late}"));
                polls += 1;
            }
            assert!(polls > 1, "{what} does not wait");
            self.check(what);
        }
    }

    fn check(&self, what: &str) {
        eventually(what, || self.alive() == 0 && descriptors() == self.descriptors);
        let status = self.py.status().unwrap();
        let pool = &status.pools[0];
        assert_eq!((pool.waiting, pool.workers[0].refs), (0, 0), "{what}");
    }
}

#[test]
fn nothing_is_left_of_a_future_that_is_dropped_wherever_it_waits() {
    let scene = Scene::new();
    scene.drop_everywhere("a call", |py| {
        Box::pin(async {
            py.call::<Ref>("fixture", "Box", ()).await.unwrap();
        })
    });
    let large = Bytes::from(vec![1; 1 << 20]);
    scene.drop_everywhere("a large call", |py| {
        let call = py.call::<Ref>("fixture", "Box", (&large,));
        Box::pin(async {
            call.await.unwrap();
        })
    });
    scene.drop_everywhere("a large result", |py| {
        Box::pin(async {
            py.call::<Bytes>("builtins", "bytes", (1 << 20,)).await.unwrap();
        })
    });
    scene.drop_everywhere("a result that is encoded again", |py| {
        Box::pin(async {
            py.call::<Vec<Ref>>("fixture", "surrogates", (3,)).await.unwrap();
        })
    });
    scene.drop_everywhere("a call that calls back", |py| {
        let first = py.callback(|object: Ref, _: Value| Ok(object));
        Box::pin(async move {
            py.call::<Ref>("fixture", "apply", args![&first, 1]).await.unwrap();
        })
    });
    scene.drop_everywhere("a call that calls back with what is encoded again", |py| {
        let first = py.callback(|object: Ref, _: Ref| Ok(object));
        Box::pin(async move {
            py.call::<Ref>("fixture", "apply_odd", (&first,)).await.unwrap();
        })
    });
    scene.drop_everywhere("an async callback that makes calls", |py| {
        let inner = py.clone();
        let two = py.callback_async(move |object: Ref| {
            let (first, second) = (inner.clone(), inner.clone());
            async move {
                let (other, _) = tokio::try_join!(
                    first.call::<Ref>("fixture", "Box", (object,)).into_future(),
                    second.call::<Ref>("fixture", "Box", ()).into_future(),
                )?;
                tokio::task::yield_now().await;
                Ok(other)
            }
        });
        Box::pin(async move {
            py.call::<Ref>("fixture", "apply", (&two,)).await.unwrap();
        })
    });
    scene.drop_everywhere("what Python awaits", |py| {
        Box::pin(async {
            py.call::<Ref>("fixture", "later", ()).awaited().await.unwrap();
        })
    });
    scene.drop_everywhere("a call that waits for another", |py| {
        Box::pin(async {
            let (first, second) = tokio::join!(
                py.call::<Ref>("fixture", "later", ()).awaited().into_future(),
                py.call::<Ref>("fixture", "Box", ()).into_future(),
            );
            first.unwrap();
            second.unwrap();
        })
    });
    scene.drop_everywhere("a stream", |py| {
        Box::pin(async {
            let mut items = py.call::<Ref>("fixture", "many", (7,)).stream().batch(2);
            while let Some(item) = items.next().await {
                item.unwrap();
            }
        })
    });
    scene.drop_everywhere("a pipeline", |py| {
        Box::pin(async {
            let mut calls = py.pipeline();
            let first = calls.call::<Ref>("fixture", "Box", ());
            let list = calls.call::<Vec<Ref>>("builtins", "list", ((&first, &first),));
            let mut results = calls.await.unwrap();
            results.take(list).unwrap();
        })
    });
    scene.drop_everywhere("a batch", |py| {
        Box::pin(async {
            let boxes = py.batch::<Ref>("fixture", "Box", (0..5).map(|n| (n,)));
            assert_eq!(boxes.await.unwrap().len(), 5);
        })
    });
}
