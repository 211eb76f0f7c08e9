//! Putting the frame of a call together.

use std::ops::Range;

use snakebridge_wire::frame::{HEADER_LEN, flags};
use snakebridge_wire::{EncodeError, Encoder, Kind, plain};

use crate::args::IntoArgs;
use crate::bridge::Home;
use crate::call::{Call, Named, RawCall};
use crate::error::{Error, ErrorKind};
use crate::options::CallOptions;
use crate::refs::Ref;
use crate::scope::{self, Noted};

/// Puts the frame of a call together.
pub(crate) struct Draft {
    encoder: Encoder,
    call: RawCall,
}

/// Room for the header and the body of a small call, so that most calls allocate once.
const FRAME_CAPACITY: usize = 128;

impl Draft {
    #[inline]
    pub(crate) fn new(kind: Kind, home: Home) -> Self {
        let mut frame = Vec::with_capacity(FRAME_CAPACITY);
        frame.resize(HEADER_LEN, 0);
        let mut encoder = Encoder::new(frame).sharing(scope::share_if_large);
        encoder.begin_tuple();
        let call = RawCall {
            kind,
            flags: 0,
            frame: Vec::new(),
            named: Named::Operation("the call"),
            home,
            receiver: None,
            noted: Noted::default(),
            used: 0,
            error: None,
            options: CallOptions::default(),
        };
        Self { encoder, call }
    }

    /// A draft whose first item is the object of a ref.
    pub(crate) fn on_ref(kind: Kind, receiver: &Ref) -> Self {
        let mut draft = Self::new(kind, receiver.home());
        draft.call.flags |= flags::TARGET_REF;
        draft.encoder.unsigned(receiver.id());
        draft.call.receiver = Some(receiver.clone());
        draft
    }

    #[inline]
    pub(crate) fn function(mut self, module: &str, name: &str) -> Self {
        let module = self.text(module);
        let name = self.text(name);
        self.call.named = Named::Function { module, name };
        self
    }

    pub(crate) fn helper(mut self, name: &str) -> Self {
        let name = self.text(name);
        self.call.named = Named::Helper(name);
        self
    }

    /// Adds the value on which a method or an attribute is looked up.
    pub(crate) fn receiver(mut self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        let encoder = &mut self.encoder;
        let (done, noted) = scope::encoding(|| encoder.value_before_splice(value));
        self.note("the value", done, noted);
        self
    }

    pub(crate) fn member(mut self, name: &str) -> Self {
        let name = self.text(name);
        self.call.named = Named::Member(name);
        self
    }

    pub(crate) fn operation(mut self, name: &'static str) -> Self {
        self.call.named = Named::Operation(name);
        self
    }

    /// Adds one item, which may be or contain refs.
    pub(crate) fn item(mut self, what: &str, value: &(impl serde::Serialize + ?Sized)) -> Self {
        let encoder = &mut self.encoder;
        let (done, noted) = scope::encoding(|| encoder.value(value));
        self.note(what, done, noted);
        self
    }

    fn note(&mut self, what: &str, done: Result<(), EncodeError>, noted: Noted) {
        self.call.noted.extend(noted);
        if let Err(error) = done {
            let message = format!("{what} cannot be sent: {error}");
            self.call.error.get_or_insert_with(|| Error::new(ErrorKind::Encode, message));
        }
    }

    #[inline]
    pub(crate) fn args(mut self, args: impl IntoArgs) -> Self {
        match args.write(&mut self.encoder) {
            Ok(noted) if self.call.noted.is_empty() => self.call.noted = noted,
            Ok(noted) => self.call.noted.extend(noted),
            Err(error) => {
                self.call.error.get_or_insert(error);
            }
        }
        self
    }

    /// Adds a call of a pipeline. Gives where its frame would begin if it had a header.
    pub(crate) fn step(&mut self, kind: Kind, flags: u16, body: &[u8]) -> usize {
        self.encoder.unsigned(kind as u64);
        self.encoder.unsigned(flags.into());
        let has_ids = flags & (flags::HAS_REFS | flags::TARGET_REF) != 0;
        let opcodes = plain(body).filter(|_| !has_ids);
        match opcodes {
            // Python makes it together with all the others.
            Some(opcodes) => self.encoder.plain(opcodes),
            None => self.encoder.bytes(body),
        }
        self.encoder.position() - opcodes.unwrap_or(body).len() - HEADER_LEN
    }

    /// What has to live as long as the frame does.
    pub(crate) fn keep(&mut self, noted: Noted, receiver: Option<Ref>) {
        self.call.noted.extend(noted);
        self.call.noted.refs.extend(receiver);
    }

    pub(crate) fn flags(mut self, flags: u16) -> Self {
        self.call.flags |= flags;
        self
    }

    #[inline]
    pub(crate) fn finish<R>(self) -> Call<R> {
        Call::new(self.finish_raw())
    }

    #[inline]
    pub(crate) fn finish_raw(mut self) -> RawCall {
        if self.encoder.has_refs() {
            self.call.flags |= flags::HAS_REFS;
        }
        self.encoder.end_tuple();
        self.call.frame = self.encoder.finish();
        self.call
    }

    fn text(&mut self, text: &str) -> Range<usize> {
        self.encoder.str(text);
        let end = self.encoder.position();
        end - text.len()..end
    }
}
