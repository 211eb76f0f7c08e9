from __future__ import annotations

import array
import sys
import unittest
from typing import Any
from unittest import mock

from snakebridge_worker import arrays, frames
from snakebridge_worker.encode import Encoder, Refused
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


class Device:
    def __init__(self, kind: str) -> None:
        self.type = kind

    def __str__(self) -> str:
        return self.type + ":0"


class Tensor:
    """As much of a tensor of torch as there has to be."""

    dtype = "torch.bfloat16"

    def __init__(self, device: str, made: Any) -> None:
        self.device = Device(device)
        self.made = made

    def detach(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        if self.made is None:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.made


class Array:
    """As much of an array of numpy as there has to be."""

    dtype = mock.Mock(hasobject=False, names=None, str="|u1")
    shape = (2,)
    nbytes = 2

    def tobytes(self) -> bytes:
        return b"ab"


class Tensors(unittest.TestCase):
    def setUp(self) -> None:
        numpy = mock.Mock(asarray=lambda made: made, generic=None, ndarray=Array)
        modules = {"torch": mock.Mock(Tensor=Tensor), "numpy": numpy}
        patch = mock.patch.dict(sys.modules, modules)
        patch.start()
        self.addCleanup(patch.stop)

    def test_those_in_memory_are_arrays_without_another_copy(self) -> None:
        made = Array()
        self.assertIs(arrays.look_at(Tensor("cpu", made)), made)
        self.assertEqual(arrays.take_apart(Tensor("cpu", made), []), ("|u1", (2,), b"ab"))

    def test_those_that_cannot_be_sent_say_why(self) -> None:
        with self.assertRaisesRegex(Refused, r"on cuda:0 cannot .* `.cpu\(\)` copies it"):
            arrays.look_at(Tensor("cuda", None))
        with self.assertRaisesRegex(Refused, "a torch.bfloat16 tensor cannot be sent"):
            arrays.look_at(Tensor("cpu", None))


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
