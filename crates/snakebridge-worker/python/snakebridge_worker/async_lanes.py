"""Many lanes on one event loop, for workers whose calls mostly wait for something else.

    host --- request ---> lane -> loads -> operation -> task -> encode --- reply ---> host

Each lane has one call at a time, like that of any worker; it is the lanes that are many. What
does not await keeps the loop, and so all other lanes, waiting while it runs.
"""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import os

from . import coroutines, frames, news, streams
from .lane import LARGE, Lane
from .operations import OPERATIONS, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Callable

    from .control import Control
    from .operations import Operation
    from .sessions import Sessions

    # What came of a call: its result, or an exception.
    Outcome = tuple[Any, BaseException | None]

# Session and name of the call that the current task belongs to.
_call: contextvars.ContextVar[tuple[int, str | None]] = contextvars.ContextVar(
    "call", default=(0, None)
)


class AsyncLanes:
    """All lanes of a worker."""

    def __init__(
        self, descriptors: list[int], sessions: Sessions, control: Control | None = None
    ) -> None:
        self.loop = coroutines.the_loop()
        lanes = (AsyncLane(end, sessions, control, self.loop, self.closed) for end in descriptors)
        self.open = set(lanes)

    def serve(self) -> None:
        """Serves the lanes until the host has closed all of them."""
        for lane in self.open:
            self.loop.add_reader(lane.reader, lane.read_some)
        self.loop.run_forever()

    def closed(self, lane: AsyncLane) -> None:
        """The host has closed a lane."""
        self.open.remove(lane)
        if not self.open:
            self.loop.stop()

    def where(self) -> tuple[int, str | None]:
        """Session and name of the call that the current code belongs to, if any."""
        return _call.get()

    def forget(self) -> None:
        """In a forked child: the sockets are those of another process."""
        for lane in self.open:
            lane.forget()


class AsyncLane(Lane):
    """One of many lanes, over a socket that never blocks."""

    def __init__(
        self,
        socket: int,
        sessions: Sessions,
        control: Control | None,
        loop: asyncio.AbstractEventLoop,
        closed: Callable[[AsyncLane], None],
    ) -> None:
        super().__init__(socket, socket, sessions, control)
        os.set_blocking(socket, False)
        self.loop = loop
        self.closed = closed
        self.arrived: list[int] = []
        # What has come of a request, and what is left of a reply.
        self.received = bytearray()
        self.unsent = bytearray()
        # Cancels the call that runs, if it can be.
        self.cancel: Callable[[], Any] | None = None

    def read_some(self) -> None:
        """Reads what has come."""
        try:
            data = os.read(self.reader, LARGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.received += data
        self.take_frames()

    def take_frames(self) -> None:
        """Carries out requests that are there as a whole."""
        while len(self.received) >= frames.HEADER_LEN:
            version, kind, flags, session, length = frames.HEADER.unpack_from(self.received)
            end = frames.HEADER_LEN + length
            if len(self.received) < end:
                return
            body = bytes(self.received[frames.HEADER_LEN : end])
            del self.received[:end]
            self.take(version, kind, flags, session, body)

    def close(self) -> None:
        """The host has closed the lane."""
        if self.cancel is not None:
            self.cancel()
        self.loop.remove_reader(self.reader)
        self.loop.remove_writer(self.writer)
        os.close(self.reader)
        self.closed(self)

    def take(self, version: int, kind: int, flags: int, session: int, body: bytes) -> None:
        """Carries out a request."""
        operation = self.operations.get(kind)
        if kind == frames.CANCEL:
            if self.cancel is not None:
                self.cancel()
            return
        if operation is None or version != frames.PROTOCOL_VERSION:
            self.other(version, kind, flags, session, body)
            return
        self.last = None
        news.arrived = self.arrived
        try:
            parts = self.load(flags, session, body)
        except BaseException as error:
            self.refuse(error)
            return
        self.session = session
        self.thread = _thread.get_ident()
        token = _call.set((session, _name(kind, operation, parts)))
        try:
            self.carry_out(kind, flags, session, operation, parts)
        finally:
            _call.reset(token)

    def load(self, flags: int, session: int, body: bytes) -> tuple[Any, ...]:
        """The parts of a request."""
        parts: tuple[Any, ...] = self.load_with_refs(session, body)
        if flags & frames.TARGET_REF:
            parts = (self.sessions.find(session, parts[0]), *parts[1:])
        return parts

    def carry_out(
        self, kind: int, flags: int, session: int, operation: Operation, parts: tuple[Any, ...]
    ) -> None:
        """Carries out an operation: as a task if it awaits, in a thread if it awaits in between."""
        if kind > frames.AWAITED:
            awaitable = self.awaiting(OPERATIONS[kind - frames.AWAITED], parts)
        elif kind == frames.AWAIT:
            awaitable = self.awaiting(lambda parts: parts[0], parts)
        elif kind > frames.ITERATED:
            awaitable = self.first_items(OPERATIONS[kind - frames.ITERATED], parts)
        elif kind == frames.ITER and coroutines.is_asynchronous(parts[0]):
            awaitable = coroutines.begin(parts[0])
        elif kind == frames.NEXT and type(parts[0]) is coroutines.AsyncItems:
            awaitable = coroutines.take(*parts)
        elif _awaits_in_between(kind, parts):
            self.in_thread(flags, session, operation, parts)
            return
        else:
            self.answer(flags, session, self.outcome_of(operation, parts))
            return
        self.in_task(flags, session, awaitable)

    def outcome_of(self, operation: Operation, parts: tuple[Any, ...]) -> Outcome:
        """Carries out an operation at once."""
        try:
            self.running = True
            return operation(parts), None
        except BaseException as error:
            return None, error
        finally:
            self.running = False

    async def awaiting(self, operation: Operation, parts: tuple[Any, ...]) -> Any:
        """What comes of awaiting the result of an operation."""
        return await operation(parts)

    async def first_items(self, operation: Operation, parts: tuple[Any, ...]) -> streams.Batch:
        """The first items of the result of an operation."""
        result = operation(parts)
        if coroutines.is_asynchronous(result):
            return await coroutines.begin(result)
        return streams.begin_result(result)

    def in_task(self, flags: int, session: int, awaitable: Coroutine[Any, Any, Any]) -> None:
        """Has a task carry out what is left, in the context of the session."""
        contexts = self.sessions.contexts
        context = coroutines.context_of(contexts, session)
        context.run(_call.set, _call.get())

        async def outcome() -> Outcome:
            try:
                self.running = True
                return await awaitable, None
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                return None, error  # None of these is meant for the loop.
            finally:
                contexts[session] = contextvars.copy_context()

        def done(task: asyncio.Task[Outcome]) -> None:
            cancelled = None, asyncio.CancelledError()
            self.answer(flags, session, cancelled if task.cancelled() else task.result())

        task = context.run(self.loop.create_task, outcome())
        self.cancel = task.cancel
        task.add_done_callback(done)

    def in_thread(
        self, flags: int, session: int, operation: Operation, parts: tuple[Any, ...]
    ) -> None:
        """Has a thread carry out an operation, so that what it awaits can run on the loop."""
        context = contextvars.copy_context()
        self.thread = 0  # The loop goes on reading: a callback has to take another way.

        def work() -> None:
            news.local.arrived = self.arrived
            outcome = context.run(self.outcome_of, operation, parts)
            self.loop.call_soon_threadsafe(self.answer, flags, session, outcome)

        ident = _thread.start_new_thread(work, ())

        def cancel() -> None:
            self.running = False  # What comes after the present step is not carried out.
            coroutines.cancel(ident)

        self.cancel = cancel

    def answer(self, flags: int, session: int, outcome: Outcome) -> None:
        """Sends what came of a call."""
        self.cancel = None
        self.running = False
        self.session = session
        result, error = outcome
        try:
            if error is None:
                self.send_result(session, flags, result)
            else:
                self.send_error(session, error)
        except OSError:
            pass  # The host is gone, or gave this lane up: reading shows that too.

    def call_back_here(
        self, callback_id: int, session: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Within a call, while all other lanes wait."""
        os.set_blocking(self.reader, True)
        try:
            return super().call_back_here(callback_id, session, args, kwargs)
        finally:
            os.set_blocking(self.reader, False)
            self.received += self.unread
            self.unread = b""
            self.loop.call_soon_threadsafe(self.take_frames)

    def write_rest(self, data: bytes | memoryview) -> None:
        """As all else."""
        self.write_all(bytes(data))

    def write_all(self, data: bytes) -> None:
        """Writes what there is room for, and the rest when there is room for it."""
        if self.unsent:
            self.unsent += data
            return
        try:
            done = os.write(self.writer, data)
        except BlockingIOError:
            done = 0
        if done < len(data):
            self.unsent += data[done:]
            self.loop.add_writer(self.writer, self.write_more)

    def write_more(self) -> None:
        """There is room for more of the reply."""
        try:
            done = os.write(self.writer, self.unsent)
        except BlockingIOError:
            return
        except OSError:
            done = len(self.unsent)
        del self.unsent[:done]
        if not self.unsent:
            self.loop.remove_writer(self.writer)


def _name(kind: int, operation: Operation, parts: tuple[Any, ...]) -> str | None:
    """What a request does, if that can be said in a word."""
    if kind == frames.PIPELINE or not parts:
        return None
    return describe(OPERATIONS.get(kind - frames.AWAITED, operation), parts)


def _awaits_in_between(kind: int, parts: tuple[Any, ...]) -> bool:
    """Whether an operation that is no coroutine itself has something awaited."""
    if kind in (frames.ENTER, frames.EXIT):
        cls = type(parts[0])
        return hasattr(cls, "__aenter__") and not hasattr(cls, "__enter__")
    if kind == frames.PIPELINE:
        return any(step > frames.AWAITED or step == frames.AWAIT for step in parts[::3])
    return False
