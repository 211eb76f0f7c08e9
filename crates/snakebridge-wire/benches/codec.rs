//! How fast values are written and read.
//!
//! What is read has the form that CPython's pickler gives it, which is not the form in which the
//! same values are written here: it puts every text and container into the memo.

#![expect(clippy::unwrap_used, reason = "a failure is the end of a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snakebridge_wire::frame::HEADER_LEN;
use snakebridge_wire::{Deframer, Encoder, Header, Kind, Limits, Tape};

const COUNT: usize = 10_000;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    name: String,
    score: f64,
    tags: [String; 2],
}

fn ints() -> Vec<i64> {
    (0..COUNT as i64).map(|n| n * n - 5000).collect()
}

fn floats() -> Vec<f64> {
    (0..COUNT).map(|n| n as f64 * 0.37).collect()
}

fn strings() -> Vec<String> {
    (0..COUNT).map(|n| format!("text number {n}")).collect()
}

fn records() -> Vec<Record> {
    let record = |n: usize| Record {
        id: n as u64,
        name: format!("record {n}"),
        score: n as f64 * 0.37,
        tags: [format!("tag {}", n % 17), format!("group {}", n % 5)],
    };
    (0..COUNT).map(record).collect()
}

/// Writes values as CPython's pickler does.
struct Pickler {
    out: Vec<u8>,
    memo: u32,
}

impl Pickler {
    /// A list, which is what all values here are: in batches of a thousand.
    fn list<T>(items: &[T], item: impl Fn(&mut Self, &T)) -> Vec<u8> {
        let mut pickler = Self { out: b"\x80\x05]".to_vec(), memo: 0 };
        pickler.memoize();
        for batch in items.chunks(1000) {
            pickler.out.push(b'(');
            batch.iter().for_each(|part| item(&mut pickler, part));
            pickler.out.push(b'e');
        }
        pickler.out.push(b'.');
        pickler.out
    }

    fn int(&mut self, value: i64) {
        match value {
            0..=0xff => self.out.extend([b'K', value as u8]),
            0x100..=0xffff => {
                self.out.push(b'M');
                self.out.extend((value as u16).to_le_bytes());
            }
            _ => {
                self.out.push(b'J');
                self.out.extend((value as i32).to_le_bytes());
            }
        }
    }

    fn float(&mut self, value: f64) {
        self.out.push(b'G');
        self.out.extend(value.to_be_bytes());
    }

    fn text(&mut self, value: &str) {
        self.out.extend([0x8c, value.len() as u8]);
        self.out.extend(value.as_bytes());
        self.memoize();
    }

    fn record(&mut self, record: &Record) {
        // The keys of the first record take the places 2, 3, 5 and 6; the rest fetch them.
        let first = self.memo == 1;
        let key = |this: &mut Self, name: &str, place: u8| match first {
            true => this.text(name),
            false => this.out.extend([b'h', place]),
        };
        self.out.push(b'}');
        self.memoize();
        self.out.push(b'(');
        key(self, "id", 2);
        self.int(record.id as i64);
        key(self, "name", 3);
        self.text(&record.name);
        key(self, "score", 5);
        self.float(record.score);
        key(self, "tags", 6);
        self.out.push(b']');
        self.memoize();
        self.out.push(b'(');
        record.tags.iter().for_each(|tag| self.text(tag));
        self.out.extend(b"eu");
    }

    fn memoize(&mut self) {
        self.memo += 1;
        self.out.push(0x94);
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.value(value).unwrap();
    encoder.finish()
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> T {
    let tape = Tape::scan(body, Limits::DEFAULT).unwrap();
    tape.decode().unwrap()
}

fn values(criterion: &mut Criterion) {
    fn both<T>(criterion: &mut Criterion, name: &str, value: &T, pickled: &[u8])
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        assert!(decode::<T>(pickled) == *value && decode::<T>(&encode(value)) == *value);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(COUNT as u64));
        group.bench_function("encode", |b| b.iter(|| encode(black_box(value))));
        group.bench_function("decode", |b| b.iter(|| decode::<T>(black_box(pickled))));
        group.finish();
    }
    let (list, pickled) = (ints(), Pickler::list(&ints(), |p, n| p.int(*n)));
    both(criterion, "ints", &list, &pickled);
    let (list, pickled) = (floats(), Pickler::list(&floats(), |p, n| p.float(*n)));
    both(criterion, "floats", &list, &pickled);
    let (list, pickled) = (strings(), Pickler::list(&strings(), |p, text| p.text(text)));
    both(criterion, "strings", &list, &pickled);
    let (list, pickled) = (records(), Pickler::list(&records(), Pickler::record));
    both(criterion, "records", &list, &pickled);
}

/// What a small call does with bytes: the request written, the reply cut out and read.
fn call(criterion: &mut Criterion) {
    let header = |kind, len: usize| Header { kind, flags: 0, session: 1, len: len as u64 };
    let mut group = criterion.benchmark_group("call");
    group.bench_function("request", |b| {
        b.iter(|| {
            let mut frame = Vec::with_capacity(256);
            frame.resize(HEADER_LEN, 0);
            let mut encoder = Encoder::new(frame);
            encoder.begin_tuple();
            encoder.str(black_box("math"));
            encoder.str(black_box("sqrt"));
            encoder.begin_tuple();
            encoder.value(black_box(&16)).unwrap();
            encoder.end_tuple();
            encoder.end_tuple();
            let mut frame = encoder.finish();
            let head = header(Kind::Call, frame.len() - HEADER_LEN).to_bytes();
            frame[..HEADER_LEN].copy_from_slice(&head);
            frame
        });
    });
    let body = [b"\x80\x05G", &4.0_f64.to_be_bytes()[..], b"."].concat();
    let reply = [&header(Kind::Value, body.len()).to_bytes()[..], &body].concat();
    let mut deframer = Deframer::default();
    group.bench_function("reply", |b| {
        b.iter(|| {
            deframer.buffer().extend_from_slice(black_box(&reply));
            let frame = deframer.frame().unwrap().unwrap();
            let root: f64 = decode(frame.body);
            deframer.advance();
            root
        });
    });
    group.finish();
}

criterion_group!(benches, values, call);
criterion_main!(benches);
