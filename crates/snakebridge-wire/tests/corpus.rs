//! Replays what fuzzing has found, on the stable toolchain and without instruments.

use std::path::Path;

#[test]
fn the_corpus_of_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/decode");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        snakebridge_wire::fuzzing::decode(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 40, "only {count} files in the corpus");
}
