//! A value from Python, indexed but not yet built: what [`scan`](crate::scan) makes of the bytes.
//!
//! Pickle is postfix: that a group of values was a tuple is only known at its end. So the bytes
//! are walked once, and a flat list of nodes says where each value stands and what its parts are.
//! serde then reads along the nodes; texts and bytes stay where they are in the frame.

use serde::de::Deserialize;

use crate::de::Deserializer;
use crate::error::{Careful, DecodeError};
use crate::limits::Limits;
use crate::token::{Marker, Shape};

/// An indexed value; borrows the body of the frame.
#[derive(Debug)]
pub struct Tape<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) nodes: Vec<Node>,
    /// Parts of containers: node numbers, in runs.
    pub(crate) children: Vec<u32>,
    pub(crate) runs: Vec<Run>,
    pub(crate) root: Node,
    /// Numbers of the nodes that are refs, each once.
    pub(crate) refs: Vec<u32>,
    /// Nodes of arrays, tables and others that may be in shared memory, in order.
    pub(crate) arrays: Vec<u32>,
    pub(crate) limits: Limits,
    pub(crate) ref_key: u64,
    pub(crate) copy: Option<Copier>,
}

/// Copies bytes out of a segment of shared memory, by its id.
type Copier = fn(u64) -> Option<Vec<u8>>;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// Two's complement, little-endian, and too large for `Int`.
    BigInt(Span),
    Float(f64),
    Str(Span),
    Bytes(Span),
    List(Runs),
    Tuple(Runs),
    Set(Runs),
    FrozenSet(Runs),
    /// Keys and values in turn.
    Dict(Runs),
    /// A marker applied to the values of a run.
    Special(Marker, u32),
    /// A marker by itself. Sound values do not have them.
    Marker(Marker),
}

/// A place in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// The runs of one container; pickle writes long containers in batches. `NO_RUN` where empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

/// How many bytes of text weigh as much as a value.
const WEIGHED: u64 = 64;

pub(crate) const NO_RUN: u32 = u32::MAX;

impl Runs {
    pub(crate) const EMPTY: Self = Self { first: NO_RUN, last: NO_RUN };
}

/// Neighbouring parts of one container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) next: u32,
}

impl<'a> Tape<'a> {
    /// Reads the whole value into a Rust type.
    ///
    /// # Errors
    /// The value does not fit the type, or must be [encoded again](crate::Careful).
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        T::deserialize(self.deserializer())
    }

    /// A deserializer for the whole value.
    #[must_use]
    pub fn deserializer(&self) -> Deserializer<'_, 'a> {
        Deserializer::new(self)
    }

    /// Indexes the body of a reply of kind [`Ref`](crate::Kind::Ref), as the value that the ref is.
    ///
    /// # Errors
    /// It is no ref.
    pub fn scan_ref(body: &'a [u8], limits: Limits) -> Result<Self, DecodeError> {
        let mut tape = Self::scan(body, limits)?;
        let number = tape.nodes.len() as u32;
        if let Node::Tuple(Runs { first, .. }) = tape.root
            && tape.ref_parts(first).is_some()
        {
            tape.root = Node::Special(Marker::Ref, first);
            tape.nodes.push(tape.root);
            tape.refs.push(number);
            return Ok(tape);
        }
        Err(DecodeError::malformed("the reply is no ref"))
    }

    /// Sets the secret that proves to the type behind [`token::REF`](crate::token::REF) that a
    /// ref comes from this tape, and not from data that only looks like one.
    pub fn set_ref_key(&mut self, key: u64) {
        self.ref_key = key;
    }

    /// What kind of value the whole is.
    ///
    /// # Errors
    /// The value is a marker by itself.
    pub fn shape(&self) -> Result<Shape, DecodeError> {
        self.root.shape()
    }

    /// Number of refs in the value.
    #[must_use]
    pub fn ref_count(&self) -> usize {
        self.refs.len()
    }

    /// The refs in the value: id, module and qualified name of the class, traits.
    pub fn refs(&self) -> impl Iterator<Item = (u64, &'a str, &'a str, u32)> {
        self.refs.iter().filter_map(|node| match self.nodes[*node as usize] {
            Node::Special(_, run) => self.ref_parts(run),
            _ => None,
        })
    }

    /// Segments of shared memory that parts of the value are in: id, and bytes of each.
    pub fn segments(&self) -> impl Iterator<Item = (u64, u64)> {
        self.arrays.iter().filter_map(|node| match self.nodes[*node as usize] {
            Node::Special(_, run) => self.segment(run),
            _ => None,
        })
    }

    /// What copies bytes out of a segment, by its id.
    pub fn set_copier(&mut self, copy: fn(u64) -> Option<Vec<u8>>) {
        self.copy = Some(copy);
    }

    /// The bytes that a marker says are in shared memory.
    pub(crate) fn copied(&self, run: u32) -> Result<Vec<u8>, DecodeError> {
        let found = self.segment(run).zip(self.copy).and_then(|((id, _), copy)| copy(id));
        found.ok_or_else(|| DecodeError::malformed("bytes that are nowhere"))
    }

    fn segment(&self, run: u32) -> Option<(u64, u64)> {
        let data = self.items(Runs { first: run, last: run }).last()?;
        let Node::Tuple(runs) = self.nodes[data as usize] else { return None };
        let mut parts = self.items(runs).map(|part| self.nodes[part as usize]);
        match (parts.next()?, parts.next()?) {
            (Node::Int(id), Node::Int(len)) => {
                Some((u64::try_from(id).ok()?, u64::try_from(len).ok()?))
            }
            _ => None,
        }
    }

    fn ref_parts(&self, run: u32) -> Option<(u64, &'a str, &'a str, u32)> {
        let mut parts = self.items(Runs { first: run, last: run });
        let mut next = || parts.next().map(|node| self.nodes[node as usize]);
        let (Some(Node::Int(id)), Some(Node::Str(module))) = (next(), next()) else {
            return None;
        };
        let (Some(Node::Str(qualname)), Some(Node::Int(traits))) = (next(), next()) else {
            return None;
        };
        Some((id as u64, self.str(module), self.str(qualname), traits as u32))
    }

    /// Text at a place that was checked when it was scanned.
    pub(crate) fn str(&self, span: Span) -> &'a str {
        // Checking again costs little beside building the String, and needs no unsafe code.
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }

    pub(crate) fn bytes(&self, span: Span) -> &'a [u8] {
        &self.input[span.start..span.start + span.len]
    }

    pub(crate) fn items(&self, runs: Runs) -> Items<'_> {
        let mut left = 0;
        let mut run = runs.first;
        while let Some(at) = self.runs.get(run as usize) {
            left += at.len as usize;
            run = at.next;
        }
        Items { children: &self.children, runs: &self.runs, run: runs.first, at: 0, left }
    }

    /// Refuses cycles, and shared containers that unfold into too many values. Only needed where a
    /// container was fetched from the memo.
    pub(crate) fn check_sharing(&self, root: u32) -> Result<(), DecodeError> {
        const UNSEEN: u64 = 0;
        const OPEN: u64 = u64::MAX;
        // What is there but once is not what is guarded against.
        let limit = self.limits.values.saturating_add(self.input.len() as u64 / WEIGHED);
        // Weight of all values under each node once it is known, its own included.
        let mut sizes = vec![UNSEEN; self.nodes.len()];
        let weight = |node: u32| self.nodes[node as usize].weight();
        let mut stack = vec![(root, self.parts(root), weight(root))];
        sizes[root as usize] = OPEN;
        while let Some((node, parts, size)) = stack.last_mut() {
            let Some(part) = parts.next() else {
                if *size > limit {
                    return Err(DecodeError::careful(Careful::Values));
                }
                let (node, size) = (*node, *size);
                sizes[node as usize] = size;
                stack.pop();
                if let Some((_, _, parent)) = stack.last_mut() {
                    *parent = parent.saturating_add(size);
                }
                continue;
            };
            match sizes[part as usize] {
                OPEN => return Err(DecodeError::careful(Careful::Cycle)),
                UNSEEN => {
                    sizes[part as usize] = OPEN;
                    stack.push((part, self.parts(part), weight(part)));
                }
                known => *size = size.saturating_add(known),
            }
        }
        Ok(())
    }

    fn parts(&self, node: u32) -> Items<'_> {
        match self.nodes[node as usize] {
            Node::List(runs)
            | Node::Tuple(runs)
            | Node::Set(runs)
            | Node::FrozenSet(runs)
            | Node::Dict(runs) => self.items(runs),
            _ => self.items(Runs::EMPTY),
        }
    }
}

impl Node {
    /// 1, and more for long text.
    pub(crate) fn weight(self) -> u64 {
        match self {
            Self::Str(span) | Self::Bytes(span) | Self::BigInt(span) => {
                1 + span.len as u64 / WEIGHED
            }
            _ => 1,
        }
    }

    pub(crate) fn shape(self) -> Result<Shape, DecodeError> {
        Ok(match self {
            Self::None => Shape::None,
            Self::Bool(_) => Shape::Bool,
            Self::Int(_) => Shape::Int,
            Self::BigInt(_) => Shape::BigInt,
            Self::Float(_) => Shape::Float,
            Self::Str(_) => Shape::Str,
            Self::Bytes(_) => Shape::Bytes,
            Self::List(_) => Shape::List,
            Self::Tuple(_) => Shape::Tuple,
            Self::Set(_) => Shape::Set,
            Self::FrozenSet(_) => Shape::FrozenSet,
            Self::Dict(_) => Shape::Dict,
            Self::Special(marker, _) => match marker {
                Marker::Array => Shape::Array,
                Marker::Bytes => Shape::Bytes,
                Marker::Text => Shape::Str,
                Marker::Table => Shape::Table,
                Marker::Complex => Shape::Complex,
                Marker::Date => Shape::Date,
                Marker::DateTime => Shape::DateTime,
                Marker::Decimal => Shape::Decimal,
                Marker::Ref => Shape::Ref,
                Marker::Time => Shape::Time,
                Marker::TimeDelta => Shape::TimeDelta,
                Marker::Uuid => Shape::Uuid,
                Marker::Adapter | Marker::Plain => {
                    return Err(DecodeError::careful(Careful::Marker));
                }
            },
            Self::Marker(_) => return Err(DecodeError::careful(Careful::Marker)),
        })
    }
}

/// Node numbers of the parts of one container, in order.
#[derive(Clone, Debug)]
pub(crate) struct Items<'t> {
    children: &'t [u32],
    runs: &'t [Run],
    run: u32,
    at: u32,
    left: usize,
}

impl Items<'_> {
    pub(crate) fn left(&self) -> usize {
        self.left
    }
}

impl Iterator for Items<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            let run = self.runs.get(self.run as usize)?;
            if self.at < run.len {
                let child = self.children[(run.start + self.at) as usize];
                self.at += 1;
                self.left -= 1;
                return Some(child);
            }
            self.run = run.next;
            self.at = 0;
        }
    }
}
