//! Arbitrary bytes as a value and as a stream of frames: no panic, no hang, no overrun.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| snakebridge_wire::fuzzing::decode(data));
