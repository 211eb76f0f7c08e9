from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any

from snakebridge_worker import frames, streams

from .support import Ref
from .test_lane import Case, call, request

if TYPE_CHECKING:
    from collections.abc import Iterator


def breaking(count: int) -> Iterator[int]:
    yield from range(count)
    raise LookupError("it broke")


def slow(count: int) -> Iterator[int]:
    import time

    for number in range(count):
        if number == 3:
            time.sleep(2 * streams.BUDGET)
        yield number


class NoIter:
    """An iterator without `__iter__`."""

    def __init__(self) -> None:
        self.left = 2

    def __next__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left


class Source:
    def __iter__(self) -> Any:
        return NoIter()


class Batches(unittest.TestCase):
    def test_count(self) -> None:
        numbers = iter(range(5))
        batch = streams.take(numbers, 3)
        self.assertEqual((batch.items, batch.state), ([0, 1, 2], streams.QUICK))
        batch = streams.take(numbers, 3)
        self.assertEqual((batch.items, batch.state), ([3, 4], streams.AT_END))

    def test_a_slow_item_ends_a_batch(self) -> None:
        batch = streams.take(slow(10), 10)
        self.assertEqual((batch.items, batch.state), ([0, 1, 2, 3], streams.SLOW))

    def test_an_exception_comes_after_the_items_before_it(self) -> None:
        numbers = breaking(2)
        batch = streams.take(numbers, 10)
        self.assertEqual((batch.items, batch.state), ([0, 1], streams.AT_END))
        self.assertIsInstance(batch.error, LookupError)
        with self.assertRaises(LookupError):
            streams.take(breaking(0), 10)

    def test_the_first_item_and_the_iterator(self) -> None:
        batch = streams.begin([7, 8])
        self.assertEqual(batch.items, [7])
        self.assertEqual(list(batch.iterator), [8])
        batch = streams.begin([])
        self.assertEqual((batch.items, batch.state, batch.iterator), ([], streams.AT_END, None))

    def test_iterators_that_do_not_say_that_they_are(self) -> None:
        batch = streams.begin(Source())
        self.assertEqual(batch.items, [1])
        self.assertEqual(streams.take(batch.iterator, 10).items, [0])

    def test_results_without_items(self) -> None:
        for result in (None, 4, "text", b"raw", object()):
            batch = streams.begin_result(result)
            self.assertEqual((batch.items, batch.state), ([result], streams.AT_END))


class Requests(Case):
    def first(self, code: str, flags: int = 0) -> Any:
        kind = frames.CALL + frames.ITERATED
        return self.value(request(kind, "builtins", "eval", (code,), flags=flags))

    def next(self, ref_id: int, count: int, flags: int = 0) -> Any:
        return self.value(request(frames.NEXT, ref_id, count, flags=flags | frames.TARGET_REF))

    def test_a_stream(self) -> None:
        iterator, items, state, error = self.first("iter([1, 'two', (3,), object()])")
        self.assertEqual((items, error), ([1], None))
        self.assertEqual(iterator[1:3], ("builtins", "list_iterator"))
        _, items, state, error = self.next(iterator[0], 10)
        self.assertEqual(items[:2], ["two", (3,)])
        self.assertIsInstance(items[2], Ref)
        self.assertEqual((state, error), (streams.AT_END, None))

    def test_items_as_refs(self) -> None:
        iterator, items, _, _ = self.first("iter([1, 2])", frames.BY_REF)
        self.assertIsInstance(items[0], Ref)
        _, items, _, _ = self.next(iterator[0], 10, frames.BY_REF)
        self.assertIsInstance(items[0], Ref)

    def test_again_gives_the_same_items(self) -> None:
        iterator, _, _, _ = self.first("iter([1, '\\ud800', 2])")
        self.next(iterator[0], 10)
        before = self.sessions.count()
        _, items, state, _ = self.value(request(frames.AGAIN))
        self.assertIsInstance(items[0], Ref)
        self.assertEqual((items[1], state), (2, streams.AT_END))
        self.assertEqual(self.sessions.count(), before + 1)

    def test_again_gives_new_refs_for_those_that_were_forgotten(self) -> None:
        self.first("iter([[], []])", frames.BY_REF)
        before = self.sessions.count()
        self.value(request(frames.AGAIN))
        self.assertEqual(self.sessions.count(), before)

    def test_an_object_without_items(self) -> None:
        ref_id = self.keep("builtins", "object")
        error = self.error(request(frames.ITER, ref_id, flags=frames.TARGET_REF))
        self.assertIn("TypeError", error)

    def test_a_plain_call_is_not_iterated(self) -> None:
        self.assertEqual(self.value(call("builtins", "list", (1, 2))), [1, 2])
