"""The control channel: frames to the host from any thread, and what the host says there.

any thread ---ask---> the host
<--- a thread that watches <--- answers, wishes, and the end
"""

from __future__ import annotations

import _signal
import _socket
import _thread
import faulthandler
import os
import sys
from itertools import count
from struct import Struct

from . import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # Number, kind, flags, session and body of what the host has answered.
    Answer = tuple[int, int, int, int, bytes]


EXIT_HOST_GONE = 0
# Late enough not to slow down the first calls.
_SETTLED_AFTER = 0.2
_PR_SET_PDEATHSIG = 1
_TIMEVAL = Struct("ll")
# Of one frame.
_MOST_DESCRIPTORS = 32
# In the place of one that this process had no room for.
_LOST = -1
# Answers may be large.
_CHUNK = 1 << 16


class Control:
    """One end of the control channel, for all threads of the worker."""

    def __init__(self, channel: _socket.socket) -> None:
        self.is_open = True
        self._channel = channel
        # One frame at a time.
        self._sending = _thread.allocate_lock()
        self._next_number = count(1).__next__
        # Those who wait for an answer, by the number of what they asked.
        self._waiting: dict[int, _Waiting] = {}
        # What has come of a frame that is not whole yet, and the descriptors of such.
        self._received = bytearray()
        self._descriptors: list[int] = []

    def send(self, frame: bytes) -> None:
        """Sends a whole frame, however long the host takes."""
        with self._sending:
            self._channel.sendall(frame)

    def ask(self, kind: int, session: int, body: bytes) -> Answer:
        """Sends a frame with a number ahead of its body; waits for the answer with that number."""
        if not self.is_open:
            raise RuntimeError("a process that was forked cannot call functions of the host")
        number = self._next_number()
        waiting = self._waiting[number] = _Waiting()
        head = frames.header(kind, frames.NUMBER.size + len(body), session)
        try:
            self.send(head + frames.NUMBER.pack(number) + body)
            waiting.done.acquire()
        finally:
            del self._waiting[number]
        answer: Answer = waiting.answer
        return answer

    def taken(self, number: int) -> None:
        """Says that the refs in an answer have become objects."""
        head = frames.header(frames.BACKGROUND_TAKEN, frames.NUMBER.size)
        self.send(head + frames.NUMBER.pack(number))

    def forget(self) -> None:
        """In a forked child: the channel is not its own."""
        self.is_open = False
        self._channel.close()

    def watch(self, host: int) -> None:
        """Ends the worker when the host closes the channel or is gone, whatever runs.

        Until then it hands out answers, and writes the stacks of all threads when the host wants
        them.
        """
        # Interrupts are for the main thread.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGINT})
        if not _limit_receiving(self._channel, _SETTLED_AFTER):
            die_with(host)
        while True:
            try:
                data, descriptors = receive(self._channel, _CHUNK)
            except BlockingIOError:
                _limit_receiving(self._channel, 0)
                die_with(host)
                continue
            except OSError:
                break
            if not data:
                break
            self._descriptors += descriptors
            self.take(data)
        os._exit(EXIT_HOST_GONE)

    def take(self, data: bytes) -> None:
        """Hands out the answers in what has come."""
        received = self._received
        received += data
        while len(received) >= frames.HEADER_LEN:
            _, kind, flags, session, length = frames.HEADER.unpack_from(received)
            end = frames.HEADER_LEN + length
            if len(received) < end:
                return
            body = bytes(received[frames.HEADER_LEN : end])
            del received[:end]
            if kind in (frames.BACKGROUND_VALUE, frames.BACKGROUND_ERROR):
                self._answered(kind, flags, session, body)
            elif kind == frames.DUMP_STACKS:
                descriptor = self._descriptor()
                if descriptor is not None:
                    faulthandler.dump_traceback(descriptor, all_threads=True)
                    os.close(descriptor)
            elif frames.SEGMENT <= kind <= frames.SEGMENT_RECALLED:
                self._segment(kind, body)

    def _segment(self, kind: int, body: bytes) -> None:
        """Takes note of what the host says of shared memory."""
        from . import regions

        if kind == frames.SEGMENT:
            segment, size, purpose = frames.SEGMENT_PARTS.unpack(body)
            if not size:
                return regions.refused()
            return regions.add(segment, size, self._descriptor(), purpose)
        (segment,) = frames.NUMBER.unpack(body)
        if kind == frames.SEGMENT_RECALLED:
            if regions.recalled(segment):
                self.send(frames.frame(frames.SEGMENT_RETURNED, body))
            return None
        (regions.freed if kind == frames.SEGMENT_FREED else regions.forgotten)(segment)
        return None

    def _descriptor(self) -> int | None:
        """What has come with a frame, unless this process had no room for it."""
        descriptor = self._descriptors.pop(0) if self._descriptors else _LOST
        return None if descriptor == _LOST else descriptor

    def _answered(self, kind: int, flags: int, session: int, body: bytes) -> None:
        (number,) = frames.NUMBER.unpack_from(body)
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.answer = number, kind, flags, session, body[frames.NUMBER.size :]
            waiting.done.release()
        elif flags & frames.HAS_REFS:
            self.taken(number)  # An exception has ended the waiting.


class _Waiting:
    """A thread that waits for an answer."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.answer: Any = None
        # Released when the answer is there.
        self.done = _thread.allocate_lock()
        self.done.acquire()


def _limit_receiving(channel: _socket.socket, seconds: float) -> bool:
    """Limits how long what is received is waited for, where the system can; 0 is no limit.

    `settimeout` would be no good: other threads send on the channel, and while it takes effect
    there is a moment when that fails because the channel is full.
    """
    whole = int(seconds)
    limit = _TIMEVAL.pack(whole, int((seconds - whole) * 1_000_000))
    try:
        channel.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, limit)
    except OSError:
        return False
    return True


def receive(channel: _socket.socket, length: int) -> tuple[bytes, list[int]]:
    """What has come, up to a length, and the descriptors that have come with it."""
    flags = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
    data, ancillary, is_cut, _ = channel.recvmsg(
        length, _socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4), flags
    )
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            view = memoryview(payload).cast("i")
            descriptors.extend(view)
    for fd in descriptors:
        os.set_inheritable(fd, False)
    if is_cut & _socket.MSG_CTRUNC and not descriptors:
        # Those of later frames must not be taken for it.
        descriptors.append(_LOST)
    return data, descriptors


def receive_frame(channel: _socket.socket) -> tuple[int, bytes, list[int]]:
    """Kind and body of the next frame, and the descriptors that come with it.

    Reads no further, so that descriptors stay with their frame. Ends the process where the host
    has closed the channel.
    """
    data, descriptors = receive(channel, frames.HEADER_LEN)
    data = _read_on(channel, data, frames.HEADER_LEN)
    version, kind, _, _, length = frames.HEADER.unpack(data)
    if version != frames.PROTOCOL_VERSION:
        raise frames.ProtocolError(f"a frame of another version: {data!r}")
    return kind, _read_on(channel, b"", length), descriptors


def _read_on(channel: _socket.socket, data: bytes, length: int) -> bytes:
    while len(data) < length:
        more = channel.recv(length - len(data))
        if not more:
            os._exit(EXIT_HOST_GONE)
        data += more
    return data


def die_with(host: int) -> None:
    """Has the kernel kill this process when the host dies, where it can (Linux).

    The end of the control channel is not seen while C code keeps the interpreter to itself. The
    signal follows the thread that started this process, which lives as long as the bridge. Where a
    fork server has started it, that is the host here.
    """
    if sys.platform != "linux":
        return
    try:
        # What `ctypes` is made of: a few hundred kilobytes less, and no public name for it.
        import _ctypes

        this: Any = None  # The stub knows libraries by name only.
        prctl = _ctypes.dlsym(_ctypes.dlopen(this, 0), "prctl")
        _ctypes.call_cdeclfunction(prctl, (_PR_SET_PDEATHSIG, int(_signal.SIGKILL), 0, 0, 0))
    except Exception:
        return
    if os.getppid() != host:
        os._exit(EXIT_HOST_GONE)
