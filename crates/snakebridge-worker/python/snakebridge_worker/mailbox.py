"""The second gear of a lane: a mailbox in shared memory, from the side of the worker.

While a lane is in second gear it reads and writes through the functions of a `Mailbox` in the
place of `os.read` and `os.write`: they look for a request in the mailbox for a while before they
sleep on the pipe, and put replies there. The host says when, and how long to look.

Places and protocol are those of `snakebridge_shm::mailbox`, where it is said why no wake-up is
lost. Cells of one byte are read and written by single instructions: the index of a `mmap` is no
more than that.
"""

from __future__ import annotations

import _thread
import os
from itertools import repeat

from . import frames, news

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from typing import Callable

# Cells of one byte: counts of messages, who sleeps.
_TO_WORKER = 0
_TO_HOST = 64
_WORKER_SLEEPS = 128
_HOST_SLEEPS = 192
# Cells of four bytes, by their index as such: lengths of messages; 0 for one that comes through
# the pipe.
_TO_WORKER_LENGTH = 1
_TO_HOST_LENGTH = 17
_CAPACITY = 30 << 10
_TO_WORKER_DATA = 4096
_TO_HOST_DATA = _TO_WORKER_DATA + _CAPACITY

# Looks of a few microseconds, within which most requests of a program that calls closely come.
_SOME_LOOKS = (None,) * 64

# Says through the pipe that there is something in the box.
_RING = frames.header(frames.RING, 0)
# Machines that keep the order of plain loads, and that of plain stores, by themselves.
_ORDERED = ("x86_64", "amd64", "i686", "i386")


class Mailbox:
    """How a lane in second gear reads and writes."""

    __slots__ = ("announce", "forget", "read", "set_looks", "write")

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        write: Callable[[int, bytes], int],
        announce: Callable[[], None],
        set_looks: Callable[[int], None],
        forget: Callable[[], None],
    ) -> None:
        # As `os.read` and `os.write` do.
        self.read = read
        self.write = write
        # Tells of a reply that goes through the pipe.
        self.announce = announce
        # Takes how often to look for a request before the lane sleeps, as a power of two.
        self.set_looks = set_looks
        # In a forked child: lets go of the memory, which is that of another process.
        self.forget = forget


def open_mailbox(box: mmap.mmap, *, is_ordered: bool | None = None) -> Mailbox:
    """The mailbox in some memory, beside the pipes of a lane."""
    if is_ordered is None:
        is_ordered = os.uname().machine.lower() in _ORDERED
    lengths = memoryview(box).cast("I")
    # A full fence is to release this lock and to acquire it, which nobody else ever does.
    lock = _thread.allocate_lock()
    lock.acquire()
    release, acquire = lock.release, lock.acquire
    read_pipe, write_pipe = os.read, os.write
    count_threads, own_threads = _thread._count, news.own_threads
    # Messages that were taken note of, and that were sent, modulo 256.
    seen = sent = 0
    # Whether the host was told that this side sleeps.
    sleeps = True
    looks = 0

    def read(reader: int, length: int) -> bytes:
        """The next request, or a part of it: from the box, or what `os.read` gives."""
        nonlocal seen, sleeps
        if sleeps:
            return sleep(reader, length)
        count = last = seen
        for _ in _SOME_LOOKS:
            count = box[_TO_WORKER]
            if count != last:
                break
        else:
            # Other threads would have to wait for the interpreter meanwhile.
            if count_threads() <= own_threads[0]:
                for _ in repeat(None, looks):
                    count = box[_TO_WORKER]
                    if count != last:
                        break
        if count != last:
            # As in `sleep`: written out, because it is the way of every request in second gear.
            if not is_ordered:
                release()
                acquire()
            seen = count
            size = lengths[_TO_WORKER_LENGTH]
            if size:
                return box[_TO_WORKER_DATA : _TO_WORKER_DATA + size]
        sleeps = True
        box[_WORKER_SLEEPS] = 1
        release()
        acquire()
        return sleep(reader, length)

    def sleep(reader: int, length: int) -> bytes:
        """Reads the pipe, or the box if there is something or the host has rung."""
        nonlocal seen
        while True:
            count = box[_TO_WORKER]
            if count != seen:
                if not is_ordered:
                    release()
                    acquire()
                seen = count
                size = lengths[_TO_WORKER_LENGTH]
                if size:
                    return box[_TO_WORKER_DATA : _TO_WORKER_DATA + size]
            data = read_pipe(reader, length)
            if data[: frames.HEADER_LEN] == _RING:
                while data[: frames.HEADER_LEN] == _RING:
                    data = data[frames.HEADER_LEN :]
                # Without anything else it says no more than: look.
                if not data:
                    continue
            # It may have been announced.
            seen = box[_TO_WORKER]
            return data

    def write(writer: int, data: bytes) -> int:
        """Sends a reply as a whole or, through the pipe, a part of it. How many bytes."""
        nonlocal sent, sleeps
        size = len(data)
        if size > _CAPACITY:
            announce()
            return write_pipe(writer, data)
        # The host may have something to send at once, and has to find this side awake then.
        if sleeps:
            sleeps = False
            box[_WORKER_SLEEPS] = 0
        box[_TO_HOST_DATA : _TO_HOST_DATA + size] = data
        lengths[_TO_HOST_LENGTH] = size
        if not is_ordered:
            release()
            acquire()
        box[_TO_HOST] = sent = (sent + 1) & 255
        release()
        acquire()
        if box[_HOST_SLEEPS]:
            write_pipe(writer, _RING)
        return size

    def announce() -> None:
        """Has the host read the pipe, if it looks at its box."""
        nonlocal sent, sleeps
        sleeps = False
        box[_WORKER_SLEEPS] = 0
        lengths[_TO_HOST_LENGTH] = 0
        if not is_ordered:
            release()
            acquire()
        box[_TO_HOST] = sent = (sent + 1) & 255

    def set_looks(exponent: int) -> None:
        """Has `read` look 2^exponent times."""
        nonlocal looks
        looks = 1 << exponent

    def forget() -> None:
        """Whoever reads or writes now gets an error."""
        lengths.release()
        box.close()

    return Mailbox(read, write, announce, set_looks, forget)


def leave_core(core: int) -> None:
    """Goes to another core, if this thread is on that one and may run elsewhere."""
    try:
        cores = os.sched_getaffinity(0)
        if core in cores and len(cores) > 1:
            # The kernel has to move it now. Where it runs later is for the kernel to say again.
            os.sched_setaffinity(0, cores - {core})
            os.sched_setaffinity(0, cores)
    except (AttributeError, OSError):
        pass  # Not all systems have this, and it may be forbidden.
