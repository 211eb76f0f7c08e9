"""Replies that are written out: `pickle` reads the same values from them."""

from __future__ import annotations

import math
import unittest
from typing import Any

from snakebridge_worker import frames
from snakebridge_worker.codec import loads
from snakebridge_worker.scalars import REPLIES


class ScalarsTest(unittest.TestCase):
    def read(self, value: Any) -> Any:
        """What the reply says; `None` for none."""
        reply = REPLIES[type(value)](value)
        if reply is None:
            return None
        version, kind, flags, session, length = frames.HEADER.unpack_from(reply)
        self.assertEqual((version, kind), (frames.PROTOCOL_VERSION, frames.VALUE))
        self.assertEqual((flags, session, length), (0, 0, len(reply) - frames.HEADER_LEN))
        return (loads(reply[frames.HEADER_LEN :]),)

    def test_values_are_exact(self) -> None:
        values: list[Any] = [None, True, False, 0, 1, -1, 255, 256, 2**31 - 1, -(2**31)]
        values += [0.0, -0.0, 1.5, -2.25e300, 5e-324, math.inf, -math.inf]
        values += [b"", b"bytes", bytes(128), "", "text", "x" * 128, "\0"]
        for value in values:
            (found,) = self.read(value)
            self.assertEqual((type(found), repr(found)), (type(value), repr(value)))
        self.assertTrue(math.isnan(self.read(math.nan)[0]))

    def test_what_is_long_or_may_not_be_valid_takes_the_general_way(self) -> None:
        values: list[Any] = [2**31, -(2**31) - 1, 10**100]
        values += [bytes(129), "x" * 129, "\u00e4", "\ud800"]
        for value in values:
            self.assertIsNone(self.read(value), repr(value))
