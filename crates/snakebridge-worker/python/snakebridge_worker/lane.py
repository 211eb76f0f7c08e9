"""One lane: a pair of pipes, served by one thread, one conversation at a time.

    host --- request ---> read -> loads -> operation -> encode -> write --- reply ---> host

The loop is the way of every call, so it is written out rather than divided into small functions:
a request that fits into one read and gives a plain scalar costs one `read`, one `loads` and one
`write`.
"""

from __future__ import annotations

import _thread
import os
import sys
from io import BytesIO

from . import callbacks, errors, frames, news, pipelines, scalars
from .codec import PICKLE_PROTOCOL, Unpickler, dumps, loads
from .contexts import Contexts
from .encode import Encoder, Kept, Refused
from .operations import OPERATIONS, WITH_RESULTS
from .operations import running as running_call
from .pipelines import Outcomes
from .sessions import RefNotFound, Sessions
from .streams import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .control import Control
    from .mailbox import Mailbox
    from .operations import Operation

    # Kind, flags, session and body of what answers a callback.
    Answer = tuple[int, int, int, Any]

# Looked up for each callback.
PROTOCOL_VERSION, CALLBACK = frames.PROTOCOL_VERSION, frames.CALLBACK
callback_head, NUMBER_LEN = frames.CALLBACK_HEAD.pack, frames.NUMBER.size

# Results that `dumps` writes exactly and that need no look inside.
SCALARS = frozenset((type(None), bool, int, float, bytes))
# Arguments of callbacks that need no look inside: whether text is valid shows when it is read.
PLAIN = SCALARS | {str}
# What the host sends in answer to a callback.
ANSWERS = frozenset((frames.CALLBACK_VALUE, frames.CALLBACK_ERROR))
# One read holds any small request. Larger ones are read to their exact length.
CHUNK = 8192
# From here on header and body are written from where they are instead of being joined.
LARGE = 1 << 16
# From here on bytes and text are worth shared memory.
BULKY = 1 << 18


class _ArgumentLoader(Unpickler):
    """Loads arguments with refs and callbacks among them."""

    objects: dict[int, Any]
    callbacks: callbacks.Callbacks
    session: int
    # Finds results of the pipeline that the request is a part of.
    result: Callable[[int], Any] | None

    def persistent_load(self, pid: Any) -> Any:
        """The object behind a ref; a callback has an id below zero."""
        if pid < 0:
            return self.callbacks.find(-pid, self.session)
        if pid >= frames.FIRST_RESULT and self.result is not None:
            return self.result(pid)
        try:
            return self.objects[pid]
        except KeyError:
            raise RefNotFound(str(pid)) from None


class Lane:
    """Serves one lane until the host closes it."""

    def __init__(
        self, reader: int, writer: int, sessions: Sessions, control: Control | None = None
    ) -> None:
        self.reader = reader
        self.writer = writer
        # How they are read and written: in second gear, with the mailbox beside them.
        self.read: Callable[[int, int], bytes] = os.read
        self.write: Callable[[int, bytes], int] = os.write
        self.announce: Callable[[], None] | None = None
        self.mailbox: Mailbox | None = None
        self.sessions = sessions
        self.control = control
        self.encoder = Encoder(sessions)
        self.contexts = Contexts(self.wait_for)
        self.operations: dict[int, Operation] = {
            **OPERATIONS,
            frames.AWAIT: self.await_target,
            frames.ENTER: self.enter,
            frames.EXIT: self.exit,
            frames.PIPELINE: lambda parts: pipelines.run(self, parts),
        }
        for kind in WITH_RESULTS:
            self.operations[kind + frames.AWAITED] = self.awaited(OPERATIONS[kind])
        # Whether code of the user runs, so that an interrupt is meant for it.
        self.running = False
        # The session of the call that runs.
        self.session = 0
        # The last result that was sent as a value, in case the host cannot read it.
        self.last: Any = None
        self.last_session = 0
        # Arrays in shared memory that have come with the request.
        self.arrived = news.arrived
        # What was read after the answer to a callback.
        self.unread = b""
        self.callbacks = callbacks.Callbacks(self.call_back)
        self.thread = 0
        # How many callbacks the lane waits for, one inside of the other.
        self.depth = 0

    def interrupt(self, *_: Any) -> None:
        """Handler of SIGINT: stops the user's code, never the loop itself."""
        if self.running:
            self.running = False
            raise KeyboardInterrupt("the call was interrupted by the host")

    def where(self) -> tuple[int, str | None]:
        """Session and name of the call that the current thread carries out, if any."""
        if not self.running or _thread.get_ident() != self.thread:
            return 0, None
        return self.session, running_call(sys._getframe(1))

    def serve(self, data: bytes = b"") -> Answer | None:
        """Carries out requests until the host closes its end, or answers the innermost callback.

        `data` has been read already.
        """
        self.thread = _thread.get_ident()
        news.arrived = self.arrived
        read, write = self.read, self.write
        reader, writer = self.reader, self.writer
        unpack, header_len = frames.HEADER.unpack_from, frames.HEADER_LEN
        operations = self.operations
        has_refs, target_ref = frames.HAS_REFS, frames.TARGET_REF
        special = frames.BY_REF | frames.NO_RESULT
        reply_with = scalars.REPLIES.get
        # Mostly empty; they stay the same lists.
        arrived, gone, dropped = self.arrived, news.gone, self.callbacks.dropped
        body: Any
        reply: Any
        while True:
            # Nothing may be kept alive while the lane waits.
            body = result = reply = None
            if not data:
                data = read(reader, CHUNK)
            have = len(data)
            if have < header_len:
                if not data:
                    return None
                data = self.read_more(data, header_len)
                continue
            version, kind, flags, session, length = unpack(data)
            end = header_len + length
            if have == end:
                body = data[header_len:]
                data = b""
            elif have > end:
                body, data = data[header_len:end], data[end:]
            else:
                body = self.read_body(data[header_len:], length)
                data = b""
                if body is None and kind in operations:
                    self.refuse(MemoryError(f"a request of {length} bytes"))
                    continue
            operation = operations.get(kind)
            if operation is None or version != PROTOCOL_VERSION:
                if self.depth and kind in ANSWERS:
                    self.unread = data
                    return kind, flags, session, body
                self.other(version, kind, flags, session, body)
                read, write = self.read, self.write
                continue
            self.last = None
            try:
                parts = self.load_with_refs(session, body) if flags & has_refs else loads(body)
                if flags & target_ref:
                    parts = (self.sessions.find(session, parts[0]), *parts[1:])
            except BaseException as error:
                self.refuse(error)
                continue
            body = None
            self.session = session
            try:
                try:
                    self.running = True
                    result = operation(parts)
                finally:
                    self.running = False
            except BaseException as error:
                self.send_error(session, error)
                continue
            finally:
                parts = None
            try:
                scalar = None if flags & special else reply_with(type(result))
            except Exception:
                scalar = None  # A metaclass may leave its classes without a hash.
            if scalar is not None:
                reply = scalar(result)
            if reply is None:
                self.send_result(session, flags, result)
            elif dropped or arrived or gone:
                self.write_all(self.news() + reply)
            else:
                write(writer, reply)

    def await_target(self, parts: tuple[Any, ...]) -> Any:
        """`(target,)`: what comes of awaiting it."""
        return self.wait_for(parts[0])

    def awaited(self, operation: Operation) -> Operation:
        """The same, with what comes of awaiting its result as its result."""
        return lambda parts: self.wait_for(operation(parts))

    def enter(self, parts: tuple[Any, ...]) -> Any:
        """`(target,)`: what `with target` gives."""
        return self.contexts.enter(self.session, parts[0])

    def exit(self, parts: tuple[Any, ...]) -> bool:
        """`(target, number, failure)`: the end of a `with`."""
        return self.contexts.exit(self.session, *parts)

    def wait_for(self, awaitable: Any) -> Any:
        """Awaits something in the session of the call that runs."""
        from . import coroutines

        return coroutines.run(awaitable, self.sessions, self.session)

    def send_error(self, session: int, error: BaseException) -> None:
        """Sends an exception that the user's code has raised, or why it was not run."""
        if isinstance(error, frames.Fault):
            self.fault(error.code, str(error))
            return
        self.send(frames.ERROR, errors.encode(error), self.contexts.note(session, error))

    def send_result(self, session: int, flags: int, result: Any) -> None:
        """Sends a result that is no plain scalar."""
        if flags & frames.NO_RESULT:
            self.send(frames.VALUE, dumps(None, PICKLE_PROTOCOL))
            return
        if type(result) is Batch:
            self.send_batch(session, flags, result)
            return
        if type(result) is Outcomes:
            self.send_parts(session, flags, (result.values, result.failures))
            return
        if not flags & frames.BY_REF and self.send_plain(session, result):
            return
        self.encoder.copy(flags)
        try:
            if flags & frames.BY_REF:
                self.send(frames.REF, self.encoder.ref(session, result))
                return
            self.last, self.last_session = result, session
            if not self.is_value(result):
                self.send(frames.REF, self.encoder.ref(session, result))
                return
            try:
                reply = self.encoder.fast(session, result)
            except Exception:
                reply = self.encoder.careful(session, result)
        except Refused as error:
            self.send_error(session, self.refusal(error))
            return
        except BaseException:
            self.encoder.forget()
            self.send(frames.REF, self.encoder.ref(session, result))
            return
        self.send(frames.VALUE, reply)

    def send_plain(self, session: int, result: Any) -> bool:
        """Sends bytes, text or an integer, which need no look inside. Whether it has."""
        cls = type(result)
        if cls is not bytes and cls is not str and cls is not int and cls is not bytearray:
            return False
        reply = None
        try:
            if cls is not int and len(result) >= BULKY:
                reply = self.encoder.large(result)
            if reply is None and cls is not bytearray:
                if cls is str:
                    # Whether it is valid Unicode shows when the host reads it.
                    self.last, self.last_session = result, session
                reply = self.encoder.plain(result)
        except Exception:
            pass  # There is no memory for it: it can still be a ref.
        if reply is None:
            return False
        self.send(frames.VALUE, reply)
        return True

    def refusal(self, error: Refused) -> TypeError:
        """What the host is told in the place of a result that cannot be what it asks for."""
        self.encoder.forget()
        told = TypeError(*error.args)
        told.__cause__ = error.__cause__
        return told

    def send_batch(self, session: int, flags: int, batch: Batch) -> None:
        """Sends items of a stream; the iterator as it is registered."""
        iterator = batch.iterator
        if iterator is not None:
            iterator = self.sessions.keep(session, iterator)
        error = None if batch.error is None else errors.describe(batch.error)
        items = list(map(Kept, batch.items)) if flags & frames.BY_REF else batch.items
        result = (iterator, items, batch.state, error)
        if len(items) == 1 and type(items[0]) in SCALARS:
            self.send(frames.VALUE, dumps(result, PICKLE_PROTOCOL))
            return
        self.send_parts(session, flags, result)

    def send_parts(self, session: int, flags: int, parts: tuple[Any, ...]) -> None:
        """Sends a result that is values and words about them, and so cannot be a ref as a whole."""
        self.last, self.last_session = parts, session
        self.encoder.copy(flags)
        try:
            try:
                reply = self.encoder.fast(session, parts)
            except Exception:
                reply = self.encoder.careful(session, parts)
        except Refused as error:
            self.send(frames.ERROR, errors.encode(self.refusal(error)))
            return
        except BaseException as error:
            self.encoder.forget()
            self.send(frames.ERROR, errors.encode(error))
            return
        self.send(frames.VALUE, reply)

    def is_value(self, result: Any) -> bool:
        """Whether a result is copied; an object that cannot even tell is none."""
        try:
            return self.encoder.is_value(result)
        except Refused:
            raise
        except Exception:
            return False

    def other(self, version: int, kind: int, flags: int, session: int, body: Any) -> None:
        """Carries out requests that call nothing."""
        if version != frames.PROTOCOL_VERSION:
            self.fault(
                frames.FAULT_REQUEST,
                f"frame has protocol version {version}, expected {frames.PROTOCOL_VERSION}",
            )
        elif kind == frames.RELEASE:
            # Has no reply: the host sends it ahead of a request, or while the lane is idle.
            self.last = None
            self.sessions.release(loads(body))
            if self.contexts.open:
                self.forget_contexts(loads(body))
        elif kind == frames.CLOSE_SESSION:
            self.sessions.close(session)
            self.contexts.forget(session)
            self.send(frames.VALUE, dumps(None, PICKLE_PROTOCOL))
        elif kind == frames.AGAIN:
            self.again(flags)
        elif kind == frames.MAILBOX:
            self.shift(*frames.MAILBOX_PARTS.unpack(body))
        elif kind == frames.CANCEL:
            pass  # What it was meant for has ended, or is a callback, which the host answers.
        else:
            self.fault(frames.FAULT_REQUEST, f"unknown kind of request: {kind}")

    def shift(self, segment: int, looks: int, leave: int) -> None:
        """Into second gear, with the mailbox in a segment, or into first gear, without one.

        Where the mailbox cannot be mapped, the lane stays in first gear: the host finds it asleep.
        `leave` is one more than the core to go away from, or 0.
        """
        if not segment:
            self.read, self.write, self.announce = os.read, os.write, None
            return
        from . import mailbox

        if self.mailbox is None:
            from . import regions

            try:
                self.mailbox = mailbox.open_mailbox(regions.find(segment))
            except MemoryError:
                return
        if leave:
            mailbox.leave_core(leave - 1)
        box = self.mailbox
        box.set_looks(looks)
        self.read, self.write, self.announce = box.read, box.write, box.announce

    def forget_contexts(self, pairs: tuple[int, ...]) -> None:
        """Forgets what belongs to sessions that were closed."""
        for session, ref_id in zip(pairs[::2], pairs[1::2]):
            if ref_id == 0:
                self.contexts.forget(session)

    def again(self, flags: int) -> None:
        """Encodes the last result once more, with care."""
        # It stays the last one: after an array that is missing a table may be.
        result, session = self.last, self.last_session
        self.encoder.copy(flags)
        try:
            self.send(frames.VALUE, self.encoder.careful(session, result))
        except Refused as error:
            self.send_error(session, self.refusal(error))
        except BaseException:
            self.encoder.forget()
            self.send(frames.REF, self.encoder.ref(session, result))

    def load_with_refs(
        self, session: int, body: Any, result: Callable[[int], Any] | None = None
    ) -> Any:
        """The parts of a request, with the objects in the places of their refs."""
        loader = _ArgumentLoader(BytesIO(body))
        loader.result = result
        loader.objects = self.sessions.table(session)
        loader.callbacks, loader.session = self.callbacks, session
        return loader.load()

    def call_back(
        self, callback_id: int, session: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Has the host run one of its functions."""
        if self.running and _thread.get_ident() == self.thread:
            return self.call_back_here(callback_id, session, args, kwargs)
        return self.call_back_apart(callback_id, session, args, kwargs)

    def call_back_here(
        self, callback_id: int, session: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Within a call, over its lane: serves what the host asks for meanwhile."""
        self.running = False
        self.depth += 1
        outer = self.session
        # Arrays of this call are not those of calls inside, whose replies come first.
        arrived = None
        if self.arrived:
            arrived = self.arrived[:]
            self.arrived.clear()
        try:
            body = self.encode_arguments(session, args, kwargs)
            size = len(body) + NUMBER_LEN
            head = callback_head(PROTOCOL_VERSION, CALLBACK, 0, session, size, callback_id)
            # As `write_all` does: written out, because it is the way of every callback.
            data = head + body
            done = self.write(self.writer, data)
            if done < len(data):
                self.write_rest(memoryview(data)[done:])
            kind, flags, session, body = self.await_answer()
        finally:
            self.last = None
            self.depth -= 1
            self.session = outer
            if arrived:
                self.arrived[:0] = arrived
            self.running = True
        try:
            if kind == frames.CALLBACK_ERROR:
                raise callbacks.exception(*loads(body))
            return self.load_with_refs(session, body) if flags & frames.HAS_REFS else loads(body)
        except Exception:
            if body.endswith(frames.GIVEN_UP):
                raise KeyboardInterrupt("the call was interrupted by the host") from None
            raise

    def await_answer(self) -> Answer:
        """What the host answers to a callback, after what it asks for meanwhile."""
        data = self.read(self.reader, CHUNK)
        # Mostly that is the answer, and `serve` has much to get ready.
        if len(data) >= frames.HEADER_LEN:
            _, kind, flags, session, length = frames.HEADER.unpack_from(data)
            if kind in ANSWERS and len(data) == frames.HEADER_LEN + length:
                return kind, flags, session, data[frames.HEADER_LEN :]
        answer = self.serve(data) if data else None
        if answer is None:
            raise frames.ProtocolError("the host closed the lane while it ran a callback")
        return answer

    def call_back_apart(
        self, callback_id: int, session: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """On other threads, and while nothing is called. The lane has no part in it."""
        if self.control is None:
            raise RuntimeError("there is no host that could run the callback")
        from . import background

        return background.call(self.control, self, callback_id, session, args, kwargs)

    def forget(self) -> None:
        """In a forked child: the pipes are those of another process."""
        self.thread = 0
        if self.mailbox is not None:
            self.mailbox.forget()
        if self.control is not None:
            self.control.forget()

    def encode_arguments(
        self, session: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """Arguments for the host, by the rules of results."""
        arguments = (args, kwargs)
        self.last, self.last_session = arguments, session
        try:
            if not kwargs:
                for argument in args:
                    if type(argument) not in PLAIN:
                        break
                else:
                    return self.encoder.plain(arguments)
            self.encoder.copy(0)
            return self.encoder.fast(session, arguments)
        except Exception:
            return self.encoder.careful(session, arguments)

    def news(self) -> bytes:
        """What the host has to know ahead of a reply: what is needed here, and what is not."""
        told = b""
        if self.arrived or news.gone:
            from . import regions

            told = regions.tell(self.arrived)
        if self.callbacks.dropped:
            told += frames.numbers(frames.CALLBACKS_DROPPED, self.callbacks.take_dropped())
        return told

    def refuse(self, error: BaseException) -> None:
        """Says why the arguments could not be loaded."""
        if isinstance(error, RefNotFound):
            self.fault(frames.FAULT_REF_NOT_FOUND, str(error))
        else:
            text = f"{type(error).__name__}: {errors.message(error)}"
            self.fault(frames.FAULT_ARGUMENTS, text)

    def fault(self, code: int, text: str) -> None:
        """Says that a request was not carried out."""
        self.send(frames.FAULT, dumps((code, text), PICKLE_PROTOCOL))

    def send(self, kind: int, body: bytes, number: int = 0) -> None:
        """Writes a whole reply, however large, after what the host has to know before it."""
        head = self.news() + frames.header(kind, len(body), number)
        if len(body) < LARGE:
            self.write_all(head + body)
        else:
            if self.announce is not None:
                self.announce()
            self.write_rest(head)
            self.write_rest(body)

    def write_all(self, data: bytes) -> None:
        """Writes to the end, also when a signal cuts a write short."""
        done = self.write(self.writer, data)
        if done < len(data):
            self.write_rest(memoryview(data)[done:])

    def write_rest(self, data: bytes | memoryview) -> None:
        """Writes to the pipe, to the end."""
        while data:
            data = memoryview(data)[os.write(self.writer, data) :]

    def read_more(self, data: bytes, least: int) -> bytes:
        """Goes on reading until a header is whole."""
        while len(data) < least:
            more = os.read(self.reader, CHUNK)
            if not more:
                return b""
            data += more
        return data

    def read_body(self, start: bytes, length: int) -> memoryview | None:
        """Reads the rest of a body of known length, straight to where it stays.

        Where there is no memory for it, it is read past, so that the lane stays in step.
        """
        try:
            body = bytearray(length)
        except MemoryError:
            self.skip(length - len(start))
            return None
        view = memoryview(body)
        done = len(start)
        view[:done] = start
        while done < length:
            count = os.readv(self.reader, [view[done:]])
            if not count:
                raise frames.ProtocolError("the host closed the lane in the middle of a frame")
            done += count
        return view

    def skip(self, length: int) -> None:
        """Reads past so many bytes."""
        while length > 0:
            count = len(os.read(self.reader, min(length, LARGE)))
            if not count:
                raise frames.ProtocolError("the host closed the lane in the middle of a frame")
            length -= count
