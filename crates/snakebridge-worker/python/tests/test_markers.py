from __future__ import annotations

import datetime as dt
import decimal
import pickle
import unittest
import uuid
from typing import Any

from snakebridge_worker import markers


class Markers(unittest.TestCase):
    """Each makes the exact object from plain values."""

    def assert_same(self, found: Any, value: Any) -> None:
        self.assertIs(type(found), type(value))
        self.assertEqual(repr(found), repr(value))

    def test_complex(self) -> None:
        self.assert_same(markers.complex_(-0.0, 2.0), complex(-0.0, 2.0))

    def test_date_and_time(self) -> None:
        self.assert_same(markers.date(2024, 2, 29), dt.date(2024, 2, 29))
        self.assert_same(markers.time(1, 2, 3, 4, 1, None), dt.time(1, 2, 3, 4, fold=1))
        hour = dt.timezone(dt.timedelta(hours=1))
        self.assert_same(markers.time(1, 0, 0, 0, 0, 3_600_000_000), dt.time(1, tzinfo=hour))
        self.assert_same(
            markers.datetime(2024, 1, 2, 3, 4, 5, 6, 1, None),
            dt.datetime(2024, 1, 2, 3, 4, 5, 6, fold=1),
        )
        found = markers.datetime(2024, 1, 1, 0, 0, 0, 0, 0, 0)
        self.assertIs(found.tzinfo, dt.timezone.utc)
        found = markers.datetime(2024, 1, 1, 0, 0, 0, 0, 0, -1)
        self.assertEqual(found.utcoffset(), dt.timedelta(microseconds=-1))
        self.assert_same(markers.timedelta(-1, 2, 3), dt.timedelta(-1, 2, 3))

    def test_what_is_no_date_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            markers.date(2023, 2, 29)
        with self.assertRaises(ValueError):
            markers.time(0, 0, 0, 0, 0, 86_400_000_000)

    def test_decimal_whatever_the_precision(self) -> None:
        digits = "1." + "0123456789" * 10
        with decimal.localcontext() as context:
            context.prec = 3
            self.assertEqual(str(markers.decimal(digits)), digits)

    def test_uuid(self) -> None:
        self.assert_same(markers.uuid(bytes(range(16))), uuid.UUID(bytes=bytes(range(16))))

    def test_what_only_a_worker_writes(self) -> None:
        value = [1]
        self.assertIs(markers.plain(value), value)
        with self.assertRaises(TypeError):
            markers.ref(1, "m", "C", 0)

    def test_all_are_found_by_name(self) -> None:
        for marker in markers.ALL:
            self.assertIs(pickle.loads(pickle.dumps(marker, 5)), marker)
            self.assertEqual(marker.__module__, "snakebridge_worker.markers")
        self.assertEqual(len(markers.ALL), 13)


if __name__ == "__main__":
    unittest.main()
