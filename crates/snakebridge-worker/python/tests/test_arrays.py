from __future__ import annotations

import array
import sys
import unittest
from typing import Any
from unittest import mock

from snakebridge_worker import arrays, frames
from snakebridge_worker.encode import Encoder
from snakebridge_worker.sessions import Sessions

from .support import Ref, decode
from .test_lane import Case, call, request

NO_NUMPY: Any = {"numpy": None}


class WithoutNumpy(unittest.TestCase):
    """The tests run on a Python of which nothing is known."""

    def setUp(self) -> None:
        patch = mock.patch.dict(sys.modules, NO_NUMPY)
        patch.start()
        self.addCleanup(patch.stop)

    def test_views_take_the_place_of_arrays(self) -> None:
        view = arrays.build("<i2", (2, 3), bytes(12))
        self.assertEqual((view.format, view.shape, view.readonly), ("h", (2, 3), True))
        self.assertEqual(arrays.build("|u1", (3,), b"abc").tolist(), [97, 98, 99])

    def test_what_a_view_cannot_be(self) -> None:
        for dtype, shape, data in (
            ("<c8", (1,), bytes(8)),
            ("<f8", (), bytes(8)),
            ("<f8", (0,), b""),
        ):
            with self.assertRaisesRegex(TypeError, "needs numpy"):
                arrays.build(dtype, shape, data)

    def test_views_and_arrays_are_taken_apart(self) -> None:
        self.assertEqual(arrays.take_apart(memoryview(b"ab"), []), ("|u1", (2,), b"ab"))
        self.assertEqual(arrays.take_apart(array.array("h", [1]), []), ("<i2", (1,), b"\x01\x00"))
        view = memoryview(bytes(range(6))).cast("B", (2, 3))
        self.assertEqual(arrays.take_apart(view, []), ("|u1", (2, 3), bytes(range(6))))
        self.assertIsNone(arrays.take_apart(memoryview(b"ab").cast("c"), []))

    def test_they_are_values_only_where_that_is_wanted(self) -> None:
        encoder = Encoder(Sessions())
        found = array.array("B", [1, 2])
        self.assertFalse(encoder.is_value(found))
        self.assertIsInstance(decode(encoder.fast(1, [found]))[0], Ref)
        encoder.copy(frames.ARRAYS)
        self.assertTrue(encoder.is_value(found))
        for encoded in (encoder.fast(1, [found]), encoder.careful(1, [found])):
            self.assertEqual(decode(encoded)[0].tolist(), [1, 2])


class Again(Case):
    def test_a_ref_can_be_asked_for_as_an_array(self) -> None:
        self.assertEqual(self.ask(call("builtins", "memoryview", b"ab")).kind, frames.REF)
        self.assertEqual(self.sessions.count(), 1)
        again = self.ask(request(frames.AGAIN, flags=frames.ARRAYS))
        self.assertEqual(again.kind, frames.VALUE)
        self.assertIn(b"ab", again.body)
        self.assertEqual(self.sessions.count(), 0)

    def test_a_request_can_ask_for_them_at_once(self) -> None:
        reply = self.ask(call("builtins", "memoryview", b"ab", flags=frames.ARRAYS))
        self.assertEqual(reply.kind, frames.VALUE)
        # The next one does not.
        self.assertEqual(self.ask(call("builtins", "memoryview", b"ab")).kind, frames.REF)
