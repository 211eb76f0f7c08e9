"""Segments of shared memory: those of the host, with its arrays, and those for arrays of results.

The host makes all of them. It sends arrays in segments that can only be read here, and has them
back with the reply, unless something still holds the array, here or in a forked child: then it is
told when that is gone. For
results it lends segments, which are its own again with the reply, until it frees them; those that
stay unused it wants back.
"""

from __future__ import annotations

import mmap
import os
import select
import weakref
from itertools import chain, count
from threading import Condition
from time import monotonic

from . import frames, news

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# From this size on an array is sent in shared memory; also the smallest segment.
SMALLEST = 1 << 16
# How long to wait for the host. It answers at once, unless it is stopped.
_LIMIT = 10.0
# How long not to ask for more after there was no room for one that the host had.
_FULL = 10.0

# None for what could not be mapped.
_maps: dict[int, mmap.mmap | None] = {}
# Segments for results, by their size.
_free: dict[int, list[int]] = {}
# How often the host had none.
_refusals = [0]
# Until when there is no room for more.
_full_until = [0.0]
# Whatever of these has changed.
_changed = Condition()

# Arrays of the host that are there, by their segments: one may come several times. Each is known
# by the `id` of what tells of its end. Below, nothing has a lock, because an array can end
# anywhere: all that is done with these is done in single steps, and in an order that makes any
# mixture right.
_alive: dict[int, set[int]] = {}
# What tells of their ends, by what it is itself.
_watched: dict[int, weakref.ref[Any]] = {}
# Segments that the host was told to leave alone, with the number under which that was said last.
_kept: dict[int, int] = {}
# Up to which number the host was told that a segment is free.
_free_again: dict[int, int] = {}
_numbers = count(1)


def add(segment: int, size: int, descriptor: int | None, purpose: int) -> None:
    """The host has sent a segment. There may have been no room for its descriptor."""
    is_for_results = purpose == frames.FOR_RESULTS
    is_read_only = purpose == frames.FOR_ARGUMENTS
    access = mmap.PROT_READ if is_read_only else mmap.PROT_READ | mmap.PROT_WRITE
    # Where there is no room left, whoever waits for it learns that.
    mapped = None
    if descriptor is not None:
        try:
            mapped = mmap.mmap(descriptor, size, prot=access)
        except OSError:
            pass
        finally:
            os.close(descriptor)
    with _changed:
        _maps[segment] = mapped
        if is_for_results and mapped is None:
            # Asking again at once would have the host lend one more that is of no use.
            _full_until[0] = monotonic() + _FULL
            _refusals[0] += 1
        elif is_for_results:
            _free.setdefault(size, []).append(segment)
        _changed.notify_all()


def refused() -> None:
    """The host has no segment for results."""
    with _changed:
        _refusals[0] += 1
        _changed.notify_all()


def freed(segment: int) -> None:
    """A segment can be used for another result."""
    with _changed:
        mapped = _maps.get(segment)
        if mapped is not None:
            _free.setdefault(len(mapped), []).append(segment)


def forgotten(segment: int) -> None:
    """The host has given a segment up."""
    for known in (_alive, _kept, _free_again):
        known.pop(segment, None)
    with _changed:
        _maps.pop(segment, None)
        _full_until[0] = 0.0


def recalled(segment: int) -> bool:
    """The host wants a segment for results back. Whether it is free, and so given up."""
    with _changed:
        mapped = _maps.get(segment)
        if mapped is not None:
            free = _free.get(len(mapped), [])
            if segment not in free:
                return False
            free.remove(segment)
        _maps.pop(segment, None)
        _full_until[0] = 0.0
        return True


def find(segment: int) -> mmap.mmap:
    """A segment of the host. It may be on its way."""
    with _changed:
        if not _changed.wait_for(lambda: segment in _maps, _LIMIT):
            raise MemoryError(f"the host has not sent segment {segment}")
        mapped = _maps[segment]
        if mapped is None:
            raise MemoryError(f"segment {segment} of the host cannot be mapped: no room is left")
        return mapped


def take(length: int) -> tuple[int, mmap.mmap] | None:
    """A segment for so many bytes of a result, if there is one to be had."""
    control = news.control
    if control is None or length < SMALLEST:
        return None
    size = 1 << (length - 1).bit_length()
    with _changed:
        free = _free.setdefault(size, [])
        if not free and _full_until[0] <= monotonic():
            refusals = _refusals[0]
            control.send(frames.frame(frames.WANT_SEGMENT, frames.NUMBER.pack(size)))
            _changed.wait_for(lambda: free or refusals != _refusals[0], _LIMIT)
        if not free:
            return None
        segment = free.pop()
        mapped = _maps[segment]
        return None if mapped is None else (segment, mapped)


def note(segment: int, array: Any) -> None:
    """An array of the host is there."""
    alive = _alive.setdefault(segment, set())

    def ended(watch: weakref.ref[Any]) -> None:
        alive.discard(id(watch))
        del _watched[id(watch)]
        _check(segment, alive)

    getattr(news.local, "arrived", news.arrived).append(segment)
    watch = weakref.ref(array, ended)
    alive.add(id(watch))
    _watched[id(watch)] = watch


def _check(segment: int, alive: set[int]) -> None:
    """Takes note of it if the last array in a segment is gone."""
    # In this order: what comes alive after the number was read is kept under a higher one.
    number = _kept.get(segment)
    if number is None or alive or _free_again.get(segment) == number:
        return
    _free_again[segment] = number
    news.gone.append((segment, number))


def tell(arrived: list[int]) -> bytes:
    """What the host has to know ahead of a reply, about arrays of the request and earlier ones."""
    forks.check()
    number = next(_numbers)
    kept = [(segment, number) for segment in arrived if _alive.get(segment)]
    arrived.clear()
    _kept.update(kept)
    for segment, _ in kept:
        _check(segment, _alive[segment])  # It may have ended in this moment.
    gone = news.gone[:]
    del news.gone[: len(gone)]
    return _told(frames.REGIONS_KEPT, kept) + _told(frames.REGIONS_GONE, gone)


def _told(kind: int, pairs: list[tuple[int, int]]) -> bytes:
    if not pairs:
        return b""
    return frames.numbers(kind, tuple(chain.from_iterable(pairs)))


class _Forks:
    """Children of this process, which have its arrays as well.

    For as long as one of them may use the memory of an array, the host must leave it alone. A child
    has the end of a pipe for writing, which the system closes when the child ends or becomes
    another program.
    """

    def __init__(self) -> None:
        # What to read of the pipe, and the segments.
        self.children: list[tuple[int, list[int]]] = []
        # Both ends while a child is being made; None where there was no room for a pipe: then the
        # memory is left alone as long as the worker runs.
        self.begun: list[tuple[tuple[int, int] | None, list[int]]] = []

    def before(self) -> None:
        """A child is about to be made."""
        segments = [segment for segment, alive in list(_alive.items()) if alive]
        try:
            pipe = os.pipe() if segments else None
        except OSError:
            pipe = None
        for segment in segments:
            _alive[segment].add(-1 if pipe is None else -2 - pipe[0])
        self.begun.append((pipe, segments))

    def in_parent(self) -> None:
        """The child has been made, or could not be."""
        pipe, segments = self.begun.pop()
        if pipe is not None:
            os.close(pipe[1])
            self.children.append((pipe[0], segments))

    def in_child(self) -> None:
        """In the child, which keeps its end, and has no children yet."""
        for pipe, _ in self.begun:
            if pipe is not None:
                os.close(pipe[0])
        for reader, _ in self.children:
            os.close(reader)
        self.begun.clear()
        self.children.clear()

    def check(self) -> None:
        """Whether children have ended."""
        for child in self.children[:]:
            reader, segments = child
            poll = select.poll()
            poll.register(reader)
            if not poll.poll(0):
                continue
            self.children.remove(child)
            os.close(reader)
            for segment in segments:
                alive = _alive.get(segment, set())
                alive.discard(-2 - reader)
                _check(segment, alive)


forks = _Forks()
os.register_at_fork(
    before=forks.before, after_in_parent=forks.in_parent, after_in_child=forks.in_child
)
