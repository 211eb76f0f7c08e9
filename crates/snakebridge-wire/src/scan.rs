//! From pickle bytes to a [`Tape`]: the stack machine, for data opcodes only.
//!
//! Nothing is executed. The only names that are understood are the [`Marker`]s; any other name,
//! and any opcode that builds objects, is an error.

use crate::error::{Careful, DecodeError};
use crate::limits::Limits;
use crate::opcode as op;
use crate::tape::{NO_RUN, Node, Run, Runs, Span, Tape};
use crate::token::{MARKER_MODULE, Marker};

type Result<T = ()> = std::result::Result<T, DecodeError>;

impl<'a> Tape<'a> {
    /// Indexes the body of a frame.
    ///
    /// # Errors
    /// The bytes are not in the subset, exceed a limit, or must be
    /// [encoded again](crate::Careful).
    pub fn scan(body: &'a [u8], limits: Limits) -> Result<Self> {
        let mut scanner = Scanner::new(body, limits);
        scanner.skip_preamble()?;
        // Most results are one scalar: it needs no stack, no node list and so no allocation.
        let opcode = scanner.byte()?;
        if let Some(node) = scanner.scalar(opcode)? {
            let end = scanner.at;
            match scanner.byte()? {
                op::STOP => return scanner.finish(node),
                op::MEMOIZE if scanner.byte()? == op::STOP => return scanner.finish(node),
                _ => scanner.at = end,
            }
            scanner.push(node)?;
        } else {
            scanner.step(opcode)?;
        }
        scanner.run()
    }
}

/// Items that a small value has.
const SMALL: usize = 16;

struct Scanner<'a> {
    tape: Tape<'a>,
    at: usize,
    stack: Vec<u32>,
    marks: Vec<usize>,
    memo: Vec<u32>,
    /// A container was fetched from the memo, so there may be cycles.
    shared: bool,
}

impl<'a> Scanner<'a> {
    fn new(input: &'a [u8], limits: Limits) -> Self {
        let tape = Tape {
            input,
            nodes: Vec::new(),
            children: Vec::new(),
            runs: Vec::new(),
            root: Node::None,
            refs: Vec::new(),
            arrays: Vec::new(),
            limits,
            ref_key: 0,
            copy: None,
        };
        Self { tape, at: 0, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), shared: false }
    }

    fn run(mut self) -> Result<Tape<'a>> {
        loop {
            let opcode = self.byte()?;
            if opcode == op::STOP {
                break;
            }
            match self.scalar(opcode)? {
                Some(node) => self.push(node)?,
                None => self.step(opcode)?,
            }
        }
        let [root] = self.stack[..] else {
            return Err(self.malformed("the value does not end with one item"));
        };
        if self.shared {
            self.tape.check_sharing(root)?;
        }
        let node = self.node(root);
        self.finish(node)
    }

    fn finish(mut self, root: Node) -> Result<Tape<'a>> {
        if self.at != self.tape.input.len() {
            return Err(self.malformed("bytes are left after the value"));
        }
        self.tape.root = root;
        Ok(self.tape)
    }

    fn skip_preamble(&mut self) -> Result {
        if self.tape.input.first() == Some(&op::PROTO) {
            self.at = 1;
            self.byte()?;
        }
        if self.tape.input.get(self.at) == Some(&op::FRAME) {
            self.at += 1;
            self.take(8)?;
        }
        Ok(())
    }

    /// Reads a value without parts; `None` if the opcode is none.
    fn scalar(&mut self, opcode: u8) -> Result<Option<Node>> {
        Ok(Some(match opcode {
            op::NONE => Node::None,
            op::NEWTRUE => Node::Bool(true),
            op::NEWFALSE => Node::Bool(false),
            op::BININT1 => Node::Int(self.byte()?.into()),
            op::BININT2 => Node::Int(u16::from_le_bytes(self.array()?).into()),
            op::BININT => Node::Int(i32::from_le_bytes(self.array()?).into()),
            op::LONG1 => {
                let len = self.byte()?.into();
                self.long(len)?
            }
            op::LONG4 => {
                let len = self.len4()?;
                self.long(len)?
            }
            op::BINFLOAT => Node::Float(f64::from_bits(u64::from_be_bytes(self.array()?))),
            op::SHORT_BINUNICODE => {
                let len = self.byte()?.into();
                self.text(len)?
            }
            op::BINUNICODE => {
                let len = self.len4()?;
                self.text(len)?
            }
            op::BINUNICODE8 => {
                let len = self.len8()?;
                self.text(len)?
            }
            op::SHORT_BINBYTES => {
                let len = self.byte()?.into();
                Node::Bytes(self.take(len)?)
            }
            op::BINBYTES => {
                let len = self.len4()?;
                Node::Bytes(self.take(len)?)
            }
            op::BINBYTES8 | op::BYTEARRAY8 => {
                let len = self.len8()?;
                Node::Bytes(self.take(len)?)
            }
            _ => return Ok(None),
        }))
    }

    /// Carries out an opcode that works on the stack.
    fn step(&mut self, opcode: u8) -> Result {
        match opcode {
            op::FRAME => self.take(8).map(|_| ()),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop().map(|_| ()),
            op::POP_MARK => {
                let from = self.mark()?;
                self.stack.truncate(from);
                Ok(())
            }
            op::EMPTY_LIST => self.push(Node::List(Runs::EMPTY)),
            op::EMPTY_DICT => self.push(Node::Dict(Runs::EMPTY)),
            op::EMPTY_SET => self.push(Node::Set(Runs::EMPTY)),
            op::EMPTY_TUPLE => self.push(Node::Tuple(Runs::EMPTY)),
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::TUPLE => {
                let from = self.mark()?;
                let runs = self.gather(from)?;
                self.push(Node::Tuple(runs))
            }
            op::FROZENSET => {
                let from = self.mark()?;
                let runs = self.gather(from)?;
                self.push(Node::FrozenSet(runs))
            }
            op::APPEND => {
                let from = self.depth(1)?;
                self.extend(from, Fill::List)
            }
            op::SETITEM => {
                let from = self.depth(2)?;
                self.extend(from, Fill::Dict)
            }
            op::APPENDS => {
                let from = self.mark()?;
                self.extend(from, Fill::List)
            }
            op::SETITEMS => {
                let from = self.mark()?;
                self.extend(from, Fill::Dict)
            }
            op::ADDITEMS => {
                let from = self.mark()?;
                self.extend(from, Fill::Set)
            }
            op::MEMOIZE => {
                let top = self.top()?;
                self.memo.push(top);
                Ok(())
            }
            op::BINGET => {
                let index = self.byte()?.into();
                self.fetch(index)
            }
            op::LONG_BINGET => {
                let index = self.len4()?;
                self.fetch(index)
            }
            op::STACK_GLOBAL => self.global(),
            op::REDUCE => self.reduce(),
            _ => Err(self.malformed(format!("opcode {opcode:#04x} is not allowed"))),
        }
    }

    fn tuple(&mut self, len: usize) -> Result {
        let from = self.depth(len)?;
        let runs = self.gather(from)?;
        self.push(Node::Tuple(runs))
    }

    /// Takes the items above `from` off the stack and makes them a run.
    fn gather(&mut self, from: usize) -> Result<Runs> {
        if from == self.stack.len() {
            return Ok(Runs::EMPTY);
        }
        let run = self.new_run(from)?;
        Ok(Runs { first: run, last: run })
    }

    fn new_run(&mut self, from: usize) -> Result<u32> {
        let items = &self.stack[from..];
        let number = index(self.tape.runs.len())?;
        let start = index(self.tape.children.len())?;
        self.tape.children.extend_from_slice(items);
        self.tape.runs.push(Run { start, len: index(items.len())?, next: NO_RUN });
        self.stack.truncate(from);
        Ok(number)
    }

    /// Adds the items above `from` to the container below them.
    fn extend(&mut self, from: usize, fill: Fill) -> Result {
        let Some(owner) = from.checked_sub(1).map(|below| self.stack[below]) else {
            return Err(self.malformed("items without a container"));
        };
        let (Node::List(runs) | Node::Dict(runs) | Node::Set(runs)) = self.node(owner) else {
            return Err(self.malformed("items for something that is no container"));
        };
        if fill == Fill::Dict && (self.stack.len() - from) % 2 == 1 {
            return Err(self.malformed("a key without a value"));
        }
        let runs = self.add_run(runs, from)?;
        let node = &mut self.tape.nodes[owner as usize];
        match (node, fill) {
            (Node::List(own), Fill::List)
            | (Node::Dict(own), Fill::Dict)
            | (Node::Set(own), Fill::Set) => *own = runs,
            _ => return Err(self.malformed("items for another kind of container")),
        }
        Ok(())
    }

    fn add_run(&mut self, runs: Runs, from: usize) -> Result<Runs> {
        if from == self.stack.len() {
            return Ok(runs);
        }
        let Some(last) = self.tape.runs.get(runs.last as usize).copied() else {
            return self.gather(from);
        };
        let neighbour = (last.start + last.len) as usize == self.tape.children.len();
        if neighbour {
            // The container's last run is the newest of all: it simply grows.
            let items = &self.stack[from..];
            self.tape.runs[runs.last as usize].len += index(items.len())?;
            self.tape.children.extend_from_slice(items);
            self.stack.truncate(from);
            return Ok(runs);
        }
        let run = self.new_run(from)?;
        self.tape.runs[runs.last as usize].next = run;
        Ok(Runs { first: runs.first, last: run })
    }

    fn fetch(&mut self, index: usize) -> Result {
        let Some(&number) = self.memo.get(index) else {
            return Err(self.malformed("nothing in the memo at this index"));
        };
        self.shared |= match self.node(number) {
            Node::List(_) | Node::Dict(_) | Node::Set(_) | Node::Tuple(_) | Node::FrozenSet(_) => {
                true
            }
            // Short text may be repeated at will: what repeats it has a length too.
            node => node.weight() > 4,
        };
        self.stack.push(number);
        Ok(())
    }

    fn global(&mut self) -> Result {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Node::Str(name), Node::Str(module)) = (self.node(name), self.node(module)) else {
            return Err(self.malformed("a name that is no text"));
        };
        let name = self.tape.bytes(name);
        let marker = match self.tape.bytes(module) == MARKER_MODULE.as_bytes() {
            true => Marker::from_name(name),
            false => None,
        };
        match marker {
            Some(marker) => self.push(Node::Marker(marker)),
            None => Err(self
                .malformed(format!("the name `{}` is not allowed", String::from_utf8_lossy(name)))),
        }
    }

    fn reduce(&mut self) -> Result {
        let (args, callable) = (self.pop()?, self.pop()?);
        let (Node::Tuple(runs), Node::Marker(marker)) = (self.node(args), self.node(callable))
        else {
            return Err(self.malformed("only markers can be applied"));
        };
        let parts: Vec<u32> = self.tape.items(runs).take(MAX_PARTS + 1).collect();
        if marker == Marker::Plain {
            let [value] = parts[..] else {
                return Err(self.malformed("`plain` takes one value"));
            };
            self.stack.push(value);
            return Ok(());
        }
        let nodes: Vec<Node> = parts.iter().map(|part| self.node(*part)).collect();
        if !fits(marker, &nodes) {
            let name = marker.name();
            return Err(self.malformed(format!("`{name}` with wrong arguments")));
        }
        let number = index(self.tape.nodes.len())?;
        self.push(Node::Special(marker, runs.first))?;
        match marker {
            Marker::Ref => self.tape.refs.push(number),
            Marker::Array | Marker::Bytes | Marker::Table | Marker::Text => {
                self.tape.arrays.push(number);
            }
            _ => {}
        }
        Ok(())
    }

    fn long(&mut self, len: usize) -> Result<Node> {
        let span = self.take(len)?;
        let bytes = self.tape.bytes(span);
        if len > 8 {
            return Ok(Node::BigInt(span));
        }
        let sign = bytes.last().map_or(0, |byte| (byte >> 7) * 0xff);
        let mut wide = [sign; 8];
        wide[..len].copy_from_slice(bytes);
        Ok(Node::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, len: usize) -> Result<Node> {
        let span = self.take(len)?;
        match std::str::from_utf8(self.tape.bytes(span)) {
            Ok(_) => Ok(Node::Str(span)),
            Err(_) => Err(DecodeError::careful(Careful::Surrogate)),
        }
    }

    /// Small values fit without anything being moved.
    fn make_room(&mut self) {
        // An item takes two bytes at the least and eight or so on average.
        self.tape.nodes.reserve((self.tape.input.len() / 8).clamp(SMALL, 1 << 16));
        self.tape.children.reserve(SMALL);
        self.stack.reserve(SMALL);
        // Python puts each text and each container there.
        self.memo.reserve(SMALL);
    }

    fn push(&mut self, node: Node) -> Result {
        if self.tape.nodes.len() as u64 >= self.tape.limits.values {
            return Err(DecodeError::limit(format!(
                "the value has more than {} parts",
                self.tape.limits.values
            )));
        }
        if self.tape.nodes.capacity() == 0 {
            self.make_room();
        }
        self.stack.push(index(self.tape.nodes.len())?);
        self.tape.nodes.push(node);
        Ok(())
    }

    fn node(&self, number: u32) -> Node {
        self.tape.nodes[number as usize]
    }

    fn pop(&mut self) -> Result<u32> {
        self.depth(1)?;
        self.stack.pop().ok_or_else(|| self.malformed("the stack is empty"))
    }

    fn top(&self) -> Result<u32> {
        self.depth(1)?;
        self.stack.last().copied().ok_or_else(|| self.malformed("the stack is empty"))
    }

    /// Position of the topmost `count` items, none of which may lie below the last mark.
    fn depth(&self, count: usize) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(from) if from >= floor => Ok(from),
            _ => Err(self.malformed("the stack is empty")),
        }
    }

    fn mark(&mut self) -> Result<usize> {
        self.marks.pop().ok_or_else(|| self.malformed("there is no mark"))
    }

    fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn len4(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn len8(&mut self) -> Result<usize> {
        let len = u64::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| self.malformed("a length of more than the memory"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.tape.input[self.at..].first_chunk() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.malformed("the value is cut off")),
        }
    }

    fn take(&mut self, len: usize) -> Result<Span> {
        if len > self.tape.input.len() - self.at {
            return Err(self.malformed("the value is cut off"));
        }
        let span = Span { start: self.at, len };
        self.at += len;
        Ok(span)
    }

    fn malformed(&self, what: impl std::fmt::Display) -> DecodeError {
        DecodeError::malformed(format!("{what} (byte {} of the value)", self.at))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fill {
    Dict,
    List,
    Set,
}

/// Most arguments that any marker takes.
const MAX_PARTS: usize = 9;

/// Whether a marker may be applied to these values.
fn fits(marker: Marker, parts: &[Node]) -> bool {
    let int = |node: &Node, low: i64, high: i64| matches!(node, Node::Int(value) if (low..=high).contains(value));
    let date = |parts: &[Node]| {
        matches!(parts, [year, month, day]
            if int(year, 1, 9999) && int(month, 1, 12) && int(day, 1, 31))
    };
    let offset = |node: &Node| {
        // Less than a day to either side, in microseconds.
        const DAY: i64 = 86_400_000_000;
        matches!(node, Node::None) || int(node, 1 - DAY, DAY - 1)
    };
    let time = |parts: &[Node]| {
        matches!(parts, [hour, minute, second, micros, fold, off]
            if int(hour, 0, 23) && int(minute, 0, 59) && int(second, 0, 59)
                && int(micros, 0, 999_999) && int(fold, 0, 1) && offset(off))
    };
    match marker {
        Marker::Adapter => false,
        Marker::Array => {
            matches!(parts, [Node::Str(_), Node::Tuple(_), Node::Bytes(_) | Node::Tuple(_)])
        }
        Marker::Bytes | Marker::Text => matches!(parts, [Node::Tuple(_)]),
        Marker::Complex => matches!(parts, [Node::Float(_), Node::Float(_)]),
        Marker::Date => date(parts),
        Marker::DateTime => parts.len() == 9 && date(&parts[..3]) && time(&parts[3..]),
        Marker::Decimal => matches!(parts, [Node::Str(_)]),
        Marker::Plain => parts.len() == 1,
        Marker::Ref => matches!(parts, [id, Node::Str(_), Node::Str(_), traits]
            if int(id, 1, i64::MAX) && int(traits, 0, i64::from(u32::MAX))),
        Marker::Table => matches!(parts, [Node::Str(_), columns, data]
            if matches!(columns, Node::None | Node::Tuple(_))
                && matches!(data, Node::Bytes(_) | Node::Tuple(_))),
        Marker::Time => time(parts),
        Marker::TimeDelta => matches!(parts, [days, seconds, micros]
            if int(days, -999_999_999, 999_999_999) && int(seconds, 0, 86_399)
                && int(micros, 0, 999_999)),
        Marker::Uuid => matches!(parts, [Node::Bytes(bytes)] if bytes.len == 16),
    }
}

fn index(value: usize) -> Result<u32> {
    // NO_RUN is not a valid index.
    match u32::try_from(value) {
        Ok(value) if value != NO_RUN => Ok(value),
        _ => Err(DecodeError::limit("the value has more than 2^32 parts")),
    }
}
