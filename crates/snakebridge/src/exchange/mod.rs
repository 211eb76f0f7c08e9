//! Making a call: a lane, the request, the reply.

mod background;
mod batch;
mod binding;
mod callbacks;
mod errors;
mod nested;
mod outcomes;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use snakebridge_pool::{LaneKey, WorkerKey};
use snakebridge_wire::frame::{HEADER_LEN, flags};
use snakebridge_wire::{Careful, DecodeError, DecodeErrorKind, Frame, Header, Kind, Limits, Tape};

use crate::call::{Plan, RawCall};
use crate::engine::gear::Shift;
use crate::engine::lane::Lane;
use crate::engine::memory::Region;
use crate::engine::placement::Grant;
use crate::engine::results::Lookup;
use crate::engine::sessions::SessionState;
use crate::engine::waiting::{Wait, thread};
use crate::engine::{Command, Engine, Shared, supervisor, system_error};
use crate::error::Result;
use crate::options::CallOptions;
use crate::refs::{Described, Ref};
use crate::scope::{self, Noted};
pub(crate) use background::{Asked, BRIDGE_ENDED, carry_out, refusal};
pub(crate) use batch::{Batch, BatchEnd};
use binding::Peer;
pub(crate) use callbacks::{read_pairs, stop_frame};
use nested::Conversation;

/// Sends the request and waits for its reply.
pub(crate) async fn run<W: Wait>(call: &RawCall, plan: &Plan) -> Result<Answer> {
    begin::<W>(call, plan).await?.finish::<W>().await
}

/// Sends the request.
pub(crate) async fn begin<W: Wait>(call: &RawCall, plan: &Plan) -> Result<Answer> {
    let engine = Arc::clone(call.home.engine()?);
    let around = nested::around(&engine, plan.session.pool, plan.pinned);
    let lane = match &around {
        Some(around) => nested::lane_of::<W>(around, plan.deadline).await,
        None => None,
    };
    let mut answer = match around.zip(lane) {
        Some((around, lane)) => Answer::nested(around, lane, plan, &call.home.defaults),
        None => {
            let grant = W::lease(&engine.shared.placement, &plan.want()).await?;
            Answer::new(engine, grant, plan, &call.home.defaults)
        }
    };
    answer.copied = call.flags & COPIED;
    answer.lend(&call.noted.regions)?;
    for callback in &call.noted.callbacks {
        answer.engine.shared.callbacks.sent(answer.worker, callback.id());
    }
    answer.send::<W>(&call.frame, LaneState::writing(&call.noted)).await?;
    Ok(answer)
}

/// Whether the call goes down the lane of a call whose callback this thread runs.
pub(crate) fn is_nested(call: &RawCall, plan: &Plan) -> Result<bool> {
    Ok(nested::around(call.home.engine()?, plan.session.pool, plan.pinned).is_some())
}

/// Reads a result that was kept; `None` if there is none, or it does not fit: then the call itself says
/// what is wrong.
pub(crate) fn decode_kept<R: DeserializeOwned>(kept: &Lookup) -> Option<R> {
    let tape = Tape::scan(kept.found.as_ref()?, Limits::DEFAULT).ok()?;
    tape.decode().ok()
}

/// A lane with the reply of a call in it. Gives the lane back when it is dropped, whatever happens
/// in between.
pub(crate) struct Answer {
    engine: Arc<Engine>,
    worker: WorkerKey,
    /// The number of its lane.
    number: u32,
    lane: Option<Box<Lane>>,
    releases: Vec<u64>,
    state: LaneState,
    /// What of the result is to be copied, as flags.
    copied: u16,
    /// How many regions the requests around this one have on the lane.
    first_region: usize,
    /// Whether the result has arrays in shared memory.
    has_regions: Cell<bool>,
    /// Refs that were made of the reply.
    made: Cell<u64>,
    session: Arc<SessionState>,
    defaults: Arc<CallOptions>,
    deadline: Option<Instant>,
    limit: Option<Duration>,
    /// What calls from inside of its callbacks find, once there was a callback.
    conversation: Option<Arc<Conversation>>,
    /// The call within whose callback this one is made, and which gets the lane back.
    around: Option<Arc<Conversation>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LaneState {
    /// Nothing was written yet, or the reply was read.
    Quiet,
    /// A part of a frame was written, perhaps.
    Writing,
    /// A reply is on its way.
    Waiting,
    /// What is in the pipes is not known.
    Damaged,
}

impl LaneState {
    /// While a frame with this in it is written.
    fn writing(noted: &Noted) -> Self {
        match noted.callbacks.is_empty() {
            true => Self::Writing,
            // Of a part, it would not be known which functions the worker has come to know by it.
            false => Self::Damaged,
        }
    }
}

/// What of a result can be copied or stay in Python.
const COPIED: u16 = flags::ARRAYS | flags::TABLES;

/// The flags with which the worker may be able to encode a result so that it can be read, after it was
/// asked with those before.
fn more_care(error: &DecodeError, asked: Option<u16>) -> Option<u16> {
    let flag = match error.kind() {
        DecodeErrorKind::Careful(Careful::Array) => flags::ARRAYS,
        DecodeErrorKind::Careful(Careful::Table) => flags::TABLES,
        DecodeErrorKind::Careful(_) => 0,
        _ => return None,
    };
    // What is missing shows one by one: an array, then a table.
    asked.is_none_or(|asked| flag & !asked != 0).then(|| asked.unwrap_or_default() | flag)
}

impl Answer {
    fn new(engine: Arc<Engine>, grant: Grant, plan: &Plan, defaults: &Arc<CallOptions>) -> Self {
        let (mut deadline, mut limit) = (plan.deadline, plan.limit);
        if let Some(run) = plan.run_limit {
            let until = Instant::now().checked_add(run);
            if until.is_some_and(|until| deadline.is_none_or(|deadline| until < deadline)) {
                (deadline, limit) = (until, Some(run));
            }
        }
        let first_region = grant.lane.regions.len();
        Self {
            engine,
            worker: grant.worker,
            number: grant.lane.number,
            lane: Some(grant.lane),
            releases: grant.releases,
            state: LaneState::Quiet,
            copied: 0,
            first_region,
            has_regions: Cell::new(false),
            made: Cell::new(0),
            session: Arc::clone(&plan.session),
            defaults: Arc::clone(defaults),
            deadline,
            limit,
            conversation: None,
            around: None,
        }
    }

    /// A call from inside of a callback.
    fn nested(
        around: Arc<Conversation>,
        lane: Box<Lane>,
        plan: &Plan,
        defaults: &Arc<CallOptions>,
    ) -> Self {
        let grant = Grant { worker: around.worker, lane, releases: Vec::new() };
        let mut answer = Self::new(Arc::clone(&around.engine), grant, plan, defaults);
        if let Some(until) = around.deadline
            && answer.deadline.is_none_or(|deadline| until < deadline)
        {
            let left = until.saturating_duration_since(Instant::now());
            (answer.deadline, answer.limit) = (Some(until), Some(left));
        }
        answer.around = Some(around);
        answer
    }

    /// Lends arguments in shared memory to the worker.
    fn lend(&mut self, regions: &[Region]) -> Result<()> {
        let Some(lane) = self.lane.as_mut().filter(|_| !regions.is_empty()) else { return Ok(()) };
        let Shared { memory, placement, .. } = &*self.engine.shared;
        let (new, forgotten) = memory
            .introduce(self.worker, regions)
            .map_err(|error| system_error("cannot share memory with a worker", error))?;
        if !new.is_empty() || !forgotten.is_empty() {
            placement.ask(Command::Introduce(self.worker, new, forgotten));
        }
        lane.regions.extend_from_slice(regions);
        Ok(())
    }

    /// The worker has replied: what was lent to it comes back.
    fn settle(&mut self) {
        let first = self.first_region;
        let Some(lane) = self.lane.as_mut().filter(|lane| lane.regions.len() > first) else {
            return;
        };
        let used = lane.settle(first);
        self.engine.shared.memory.keep(self.worker, used);
    }

    /// Waits for the reply.
    pub(crate) async fn finish<W: Wait>(mut self) -> Result<Self> {
        self.await_reply::<W>().await?;
        match self.reply()?.header.kind {
            Kind::Value | Kind::Ref => Ok(self),
            Kind::Error => Err(self.raised()),
            Kind::Fault => Err(self.fault()),
            kind => {
                self.state = LaneState::Damaged;
                Err(self.protocol(&format!("a reply of kind {kind:?}")))
            }
        }
    }

    /// Waits until there is something to read, or the time is over. False if the other end of
    /// `cancelled` was closed first.
    pub(crate) fn wait_unless(&mut self, cancelled: &OwnedFd) -> bool {
        let lane = self.lane.as_mut();
        lane.is_none_or(|lane| thread::wait_unless(lane, cancelled, self.deadline))
    }

    /// Reads the reply into a Rust type.
    pub(crate) async fn decode<R: DeserializeOwned, W: Wait>(&mut self) -> Result<R> {
        self.with_care::<_, W>(Self::decode_reply).await
    }

    /// Reads the reply; where the worker may be able to say it better, once more after it has done so.
    async fn with_care<T, W: Wait>(
        &mut self,
        read: impl Fn(&Self) -> Result<T, DecodeError>,
    ) -> Result<T> {
        let mut asked = None;
        loop {
            let error = match read(self) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let flags = more_care(&error, asked).ok_or_else(|| self.decode_error(&error))?;
            asked = Some(flags);
            self.ask_again::<W>(self.copied | flags).await?;
        }
    }

    /// Keeps the result that was read, if it is a value without refs.
    pub(crate) fn keep(&self, kept: &Lookup) {
        if let Ok(frame) = self.reply()
            && frame.header.kind == Kind::Value
            && self.made.get() == 0
            && !self.has_regions.get()
        {
            kept.keep(frame.body, Instant::now());
        }
    }

    /// The ref that the reply is.
    pub(crate) fn as_ref(&self) -> Result<Option<Ref>> {
        let frame = self.reply()?;
        if frame.header.kind != Kind::Ref {
            return Ok(None);
        }
        let tape = Tape::scan_ref(frame.body, Limits::DEFAULT)
            .map_err(|error| self.decode_error(&error))?;
        Ok(self.make_refs(&tape, &self.session).pop())
    }

    fn decode_reply<R: DeserializeOwned>(&self) -> Result<R, DecodeError> {
        let Some(frame) = self.lane.as_ref().and_then(|lane| lane.reply()) else {
            return Err(serde::de::Error::custom("there is no reply"));
        };
        let mut tape = match frame.header.kind {
            Kind::Ref => Tape::scan_ref(frame.body, Limits::DEFAULT)?,
            _ => Tape::scan(frame.body, Limits::DEFAULT)?,
        };
        self.decoding(&mut tape, |tape| tape.decode())
    }

    /// Runs `read` with what of a result is not in its bytes: refs, and arrays in shared memory.
    fn decoding<'a, T>(
        &self,
        tape: &mut Tape<'a>,
        read: impl FnOnce(&Tape<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let regions = self.peer().regions(tape)?;
        if tape.ref_count() == 0 && regions.is_empty() {
            return read(tape);
        }
        self.has_regions.set(!regions.is_empty());
        let refs = match tape.ref_count() {
            0 => Vec::new(),
            _ => self.make_refs(tape, &self.session),
        };
        scope::decoding(refs, regions, |key| {
            tape.set_ref_key(key);
            tape.set_copier(scope::copy_region);
            read(tape)
        })
    }

    fn make_refs(&self, tape: &Tape<'_>, session: &Arc<SessionState>) -> Vec<Ref> {
        self.note_made(tape.ref_count() as u64);
        self.peer().refs(tape, session)
    }

    fn note_made(&self, count: u64) {
        self.made.set(self.made.get() + count);
    }

    fn peer(&self) -> Peer<'_> {
        Peer { engine: &self.engine, worker: self.worker, defaults: &self.defaults }
    }

    /// A ref that the worker has described by itself: id, module and name of the class, traits.
    fn make_ref(&self, described: &(u64, String, String, u32)) -> Option<Ref> {
        self.note_made(1);
        let (id, module, qualname, traits) = described;
        let described = Described { id: *id, module, qualname, traits: *traits };
        let described = std::iter::once(described);
        Ref::all(&self.engine, &self.session, &self.defaults, self.worker, described).pop()
    }

    /// Has the worker encode the result once more, with care.
    async fn ask_again<W: Wait>(&mut self, flags: u16) -> Result<()> {
        if let Some(lane) = &mut self.lane {
            lane.finish();
        }
        let header = Header { kind: Kind::Again, flags, session: self.session.number, len: 0 };
        let frame: [u8; HEADER_LEN] = header.to_bytes();
        self.send::<W>(&frame, LaneState::Writing).await?;
        self.await_reply::<W>().await
    }

    async fn send<W: Wait>(&mut self, frame: &[u8], meanwhile: LaneState) -> Result<()> {
        let mut releases = match std::mem::take(&mut self.releases) {
            pairs if pairs.is_empty() => Vec::new(),
            pairs => supervisor::release_frame(&pairs),
        };
        self.opened(1);
        // Inside of a callback the worker serves the lane within what it serves it for.
        let can_shift = self.lane.as_ref().is_some_and(|lane| lane.open == 1);
        self.shift(&mut releases, can_shift);
        self.write::<W>(&releases, frame, meanwhile).await
    }

    async fn await_reply<W: Wait>(&mut self) -> Result<()> {
        self.receive::<W>().await?;
        while is_before_reply(self.reply()?.header.kind) {
            self.converse::<W>().await?;
        }
        self.settle();
        self.opened(-1);
        self.state = LaneState::Quiet;
        Ok(())
    }

    /// Has the lane choose its gear for what is about to be sent. What the worker has to be told of that goes ahead.
    fn shift(&mut self, ahead: &mut Vec<u8>, can_shift: bool) {
        let shift = self.lane.as_mut().and_then(|lane| lane.gear.as_mut()?.before(can_shift));
        let Some(Shift { frame, introduction }) = shift else { return };
        ahead.extend_from_slice(&frame);
        if let Some(new) = introduction {
            let introduce = Command::Introduce(self.worker, vec![new], Vec::new());
            self.engine.shared.placement.ask(introduce);
        }
    }

    async fn write<W: Wait>(
        &mut self,
        releases: &[u8],
        frame: &[u8],
        meanwhile: LaneState,
    ) -> Result<()> {
        let Some(lane) = &mut self.lane else { return Err(self.protocol("no lane")) };
        self.state = meanwhile;
        match lane.write::<W>(releases, frame, self.deadline).await {
            Ok(()) => {
                self.state = LaneState::Waiting;
                Ok(())
            }
            Err(error) => Err(self.failed::<W>(error).await),
        }
    }

    /// Waits for the next frame of the worker.
    async fn receive<W: Wait>(&mut self) -> Result<()> {
        let Some(lane) = &mut self.lane else { return Err(self.protocol("no lane")) };
        match lane.read::<W>(self.deadline).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed::<W>(error).await),
        }
    }

    fn key(&self) -> LaneKey {
        LaneKey { worker: self.worker, lane: self.number }
    }

    fn advance(&mut self) {
        if let Some(lane) = &mut self.lane {
            lane.advance();
        }
    }

    /// Counts the replies that the worker owes.
    fn opened(&mut self, change: i32) {
        if let Some(lane) = &mut self.lane {
            lane.open += change;
        }
    }

    /// What the worker is to let go of, where refs were made since the call began.
    fn releases_ahead(&self) -> Vec<u8> {
        if self.made.get() == 0 {
            return Vec::new();
        }
        match self.engine.shared.placement.take_releases(self.worker) {
            pairs if pairs.is_empty() => Vec::new(),
            pairs => supervisor::release_frame(&pairs),
        }
    }

    fn reply(&self) -> Result<Frame<'_>> {
        let reply = self.lane.as_ref().and_then(|lane| lane.reply());
        reply.ok_or_else(|| self.protocol("no reply"))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stop_callback();
        let Some(mut lane) = self.lane.take() else {
            return self.around.iter().for_each(|around| around.lose());
        };
        let (placement, worker) = (&self.engine.shared.placement, self.worker);
        if self.made.get() > 0 && self.session.is_closed() {
            // It was closed while the call waited: what closing it released did not include these.
            self.engine.shared.placement.release_unseen(worker, self.session.number, &[0]);
        }
        match (self.state, &self.around) {
            (LaneState::Quiet, around) if lane.finish() => match around {
                Some(around) => around.give_back(lane, self.made.get()),
                None => placement.give_back(worker, lane, self.made.get()),
            },
            (LaneState::Waiting, Some(around)) => around.give_back_running(lane),
            // What was not written yet is kept in the lane.
            (LaneState::Writing | LaneState::Waiting, None) => {
                let (session, made) = (self.session.number, self.made.get());
                placement.give_back_running(worker, session, lane, made);
            }
            // The call around it finds the lane gone.
            (LaneState::Quiet | LaneState::Writing | LaneState::Damaged, around) => {
                placement.give_back_damaged(self.key());
                around.iter().for_each(|around| around.lose());
            }
        }
    }
}

/// Whether a frame tells something before the reply.
pub(crate) fn is_before_reply(kind: Kind) -> bool {
    use Kind::{Callback, CallbacksDropped, RegionsGone, RegionsKept};
    matches!(kind, Callback | CallbacksDropped | RegionsGone | RegionsKept)
}
