//! How many segments there can be, in a process of its own: the limit is one for all of it.
#![cfg(target_os = "linux")]

use snakebridge_shm::{Cache, MOST, SMALLEST, Segment};

#[test]
fn there_is_a_limit_and_those_that_nobody_uses_give_way() {
    let cache = Cache::new(1 << 30);
    let mut all: Vec<Segment> = (0..MOST).map(|_| cache.take(SMALLEST).unwrap()).collect();
    let error = cache.take(SMALLEST).unwrap_err().to_string();
    assert_eq!(error, "there are 256 segments of shared memory");
    cache.put(all.pop().unwrap());
    let other = cache.take(2 * SMALLEST).unwrap();
    cache.take(SMALLEST).unwrap_err();
    drop(other);
    cache.take(SMALLEST).unwrap();
}
