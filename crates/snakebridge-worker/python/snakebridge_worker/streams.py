"""Streams: items of an iterator, a batch at a time.

A batch ends when it has as many items as the host has asked for, or when making them has taken a
while: whoever waits for the first of them is not to wait for the last. An exception comes after the
items that were made before it.
"""

from __future__ import annotations

from time import monotonic

from .sessions import ITERABLE, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# How long a batch may take once it has an item.
BUDGET = 0.001

# How a batch has ended: there is nothing more; there may be, and the last item was made quickly;
# or slowly.
AT_END = 0
QUICK = 1
SLOW = 2

_MISSING = object()


class Batch:
    """Some items of an iterator; with the iterator itself where the host does not have it yet."""

    __slots__ = ("error", "items", "iterator", "state")

    def __init__(
        self,
        items: list[Any],
        state: int,
        error: BaseException | None = None,
        iterator: Any = None,
    ) -> None:
        self.items = items
        self.state = state
        self.error = error
        self.iterator = iterator


def begin(source: Any) -> Batch:
    """The first item of anything that can be iterated over."""
    iterator = _asynchronous(source) or iter(source)
    item = next(iterator, _MISSING)
    if item is _MISSING:
        return Batch([], AT_END)
    # Whether items are slow shows with the second one.
    return Batch([item], SLOW, None, iterator)


def _asynchronous(source: Any) -> Any:
    """An iterator over what can only be iterated over asynchronously."""
    cls = type(source)
    # In this order, because it takes longer to see that something is not there.
    if hasattr(cls, "__iter__") or not hasattr(cls, "__aiter__"):
        return None
    from .coroutines import AsyncItems

    return AsyncItems(source)


def begin_result(result: Any) -> Batch:
    """The first item of a result. One that has no items, and text, is a stream of its own."""
    if type(result) in (str, bytes, bytearray) or not describe(result)[2] & ITERABLE:
        return Batch([result], AT_END)
    return begin(result)


def take(iterator: Any, count: int) -> Batch:
    """The next items, this many at most."""
    items: list[Any] = []
    add, now = items.append, monotonic
    time = now()
    deadline = time + BUDGET
    try:
        # Not every iterator says that it is its own.
        for item in iterator if hasattr(type(iterator), "__iter__") else _Own(iterator):
            add(item)
            before, time = time, now()
            count -= 1
            if not count or time >= deadline:
                return Batch(items, SLOW if time - before > BUDGET / 2 else QUICK)
    except KeyboardInterrupt:
        raise  # The host has given up.
    except BaseException as error:
        if not items:
            raise
        return Batch(items, AT_END, error)
    return Batch(items, AT_END)


class _Own:
    """An iterator that lacks `__iter__`."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __iter__(self) -> Any:
        step = type(self._iterator).__next__
        while True:
            try:
                item = step(self._iterator)
            except StopIteration:
                return
            yield item
