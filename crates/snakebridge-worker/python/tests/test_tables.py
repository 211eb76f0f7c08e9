from __future__ import annotations

import array
import sys
import unittest
from typing import Any
from unittest import mock

from snakebridge_worker import frames, tables
from snakebridge_worker.encode import Encoder, Refused
from snakebridge_worker.sessions import Sessions

from .support import Ref, decode
from .test_lane import Case, call, request

NONE_OF_THEM: Any = {"pandas": None, "polars": None, "pyarrow": None}


class Stream:
    """What pyarrow, which is not there, could look at."""

    def __arrow_c_stream__(self) -> None:
        raise AssertionError("nobody may look at it")


class Without(unittest.TestCase):
    """The tests run on any Python. What takes packages is tested from Rust."""

    def setUp(self) -> None:
        patch = mock.patch.dict(sys.modules, NONE_OF_THEM)
        patch.start()
        self.addCleanup(patch.stop)

    def test_tables_are_values_only_where_that_is_wanted(self) -> None:
        encoder = Encoder(Sessions())
        self.assertFalse(encoder.is_value(Stream()))
        self.assertIsInstance(decode(encoder.fast(1, [Stream()]))[0], Ref)
        encoder.copy(frames.ARRAYS)
        self.assertFalse(encoder.is_value(Stream()))
        encoder.copy(frames.TABLES)
        self.assertTrue(encoder.is_value(Stream()))
        with self.assertRaisesRegex(Refused, "a tests.Stream as a table needs pyarrow"):
            encoder.fast(1, [Stream()])

    def test_what_is_missing_is_named(self) -> None:
        for kind, missing in (("pyarrow", "pyarrow"), ("polars", "polars"), ("pandas", "pandas")):
            with self.assertRaisesRegex(TypeError, f"needs {missing}, which is not installed"):
                tables.build(kind, None, b"")

    def test_a_class_cannot_say_what_it_has_not(self) -> None:
        class Meta(type):
            def __getattribute__(cls, name: str) -> Any:
                raise AssertionError(name)

        class Odd(metaclass=Meta):
            pass

        encoder = Encoder(Sessions())
        encoder.copy(frames.TABLES)
        self.assertFalse(encoder.is_value(Odd()))


class Replies(Case):
    def setUp(self) -> None:
        super().setUp()
        patch = mock.patch.dict(sys.modules, NONE_OF_THEM)
        patch.start()
        self.addCleanup(patch.stop)

    def test_the_host_is_told_why_a_table_is_refused(self) -> None:
        self.assertEqual(self.ask(call(__name__, "Stream")).kind, frames.REF)
        refused = self.ask(request(frames.AGAIN, flags=frames.TABLES))
        self.assertEqual(refused.kind, frames.ERROR)
        self.assertIn(b"needs pyarrow, which is not installed", refused.body)
        refused = self.ask(call(__name__, "Stream", flags=frames.TABLES))
        self.assertEqual(refused.kind, frames.ERROR)

    def test_what_is_asked_for_again_can_be_asked_for_once_more(self) -> None:
        view = memoryview(array.array("B", [1, 2]))
        with mock.patch.object(sys.modules[__name__], "Stream", lambda: [view]):
            self.assertNotIn(b"array", self.ask(call(__name__, "Stream")).body)
        tried = self.ask(request(frames.AGAIN, flags=frames.TABLES))
        self.assertNotIn(b"array", tried.body)
        again = self.ask(request(frames.AGAIN, flags=frames.TABLES | frames.ARRAYS))
        self.assertIn(b"array", again.body)
        self.assertEqual(self.sessions.count(), 0)
