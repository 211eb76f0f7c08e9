"""Segments of shared memory: those of the host, with its arrays, and those for arrays of results.

The host makes all of them. It sends arrays in segments that can only be read here, and has them
back with the reply, unless something still holds the array: then it is told when that is gone. For
results it lends segments, which are its own again with the reply, until it frees them; those that
stay unused it wants back.
"""

from __future__ import annotations

import mmap
import os
import weakref
from threading import Condition
from time import monotonic

from . import frames, news
from .codec import PICKLE_PROTOCOL, dumps

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

# How many arrays of the host are there, by their segments: one may come several times.
_alive: dict[int, int] = {}
# What tells of their ends, by what it is itself.
_watched: dict[int, weakref.ref[Any]] = {}
# Segments that the host was told to leave alone.
_kept: set[int] = set()


def add(segment: int, size: int, descriptor: int, purpose: int) -> None:
    """The host has sent a segment."""
    is_for_results = purpose == frames.FOR_RESULTS
    is_read_only = purpose == frames.FOR_ARGUMENTS
    access = mmap.PROT_READ if is_read_only else mmap.PROT_READ | mmap.PROT_WRITE
    mapped = None
    try:
        mapped = mmap.mmap(descriptor, size, prot=access)
    except OSError:
        pass  # There is no room left. Whoever waits for it learns that.
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
        mapped = _maps[segment]
        if mapped is not None:
            _free.setdefault(len(mapped), []).append(segment)


def forgotten(segment: int) -> None:
    """The host has given a segment up."""
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


def take(count: int) -> tuple[int, mmap.mmap] | None:
    """A segment for so many bytes of a result, if there is one to be had."""
    control = news.control
    if control is None or count < SMALLEST:
        return None
    size = 1 << (count - 1).bit_length()
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

    def ended(watch: weakref.ref[Any]) -> None:
        del _watched[id(watch)]
        _alive[segment] -= 1
        _check(segment)

    getattr(news.local, "arrived", news.arrived).append(segment)
    _alive[segment] = _alive.get(segment, 0) + 1
    watch = weakref.ref(array, ended)
    _watched[id(watch)] = watch


def _check(segment: int) -> None:
    """Takes note of it if the last array in a segment is gone."""
    if _alive.get(segment) == 0:
        del _alive[segment]
        if segment in _kept:
            _kept.discard(segment)
            news.gone.append(segment)


def tell(arrived: list[int]) -> bytes:
    """What the host has to know ahead of a reply, about arrays of the request and earlier ones."""
    kept = [segment for segment in arrived if segment in _alive]
    arrived.clear()
    _kept.update(kept)
    for segment in kept:
        if segment not in _alive and segment in _kept:  # It has ended in this moment.
            _kept.discard(segment)
            news.gone.append(segment)
    gone = news.gone[:]
    del news.gone[: len(gone)]
    told = b""
    if kept:
        told += frames.frame(frames.REGIONS_KEPT, dumps(tuple(kept), PICKLE_PROTOCOL))
    if gone:
        told += frames.frame(frames.REGIONS_GONE, dumps(tuple(gone), PICKLE_PROTOCOL))
    return told
