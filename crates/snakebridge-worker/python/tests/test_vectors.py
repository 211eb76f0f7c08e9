from __future__ import annotations

import datetime as dt
import json
import pickle
import unittest
from typing import Any

from snakebridge_worker.encode import Encoder
from snakebridge_worker.sessions import Sessions

from . import make_vectors
from .support import decode


def read(name: str) -> dict[str, str]:
    vectors: dict[str, str] = json.loads((make_vectors.VECTORS / name).read_text("utf-8"))
    return vectors


def show(value: Any) -> str:
    """A value as the host prints it: as Python does, but for dates and times."""
    names = {dt.date: "Date", dt.time: "Time", dt.datetime: "DateTime"}
    name = names.get(type(value))
    if name:
        return f"{name}({value.isoformat()})"
    if type(value) is dt.timedelta:
        clock = str(value - dt.timedelta(value.days))
        return f"TimeDelta({value.days} days, {clock})"
    return repr(value)


class Vectors(unittest.TestCase):
    """`spec/vectors`: values and their bytes, which both languages must agree on."""

    def test_the_worker_reads_what_the_host_writes(self) -> None:
        vectors = read("host.json")
        self.assertGreater(len(vectors), 30)
        encoder = Encoder(Sessions())
        for shown, data in vectors.items():
            with self.subTest(shown=shown):
                value = pickle.loads(bytes.fromhex(data))
                self.assertEqual(show(value), shown)
                self.assertEqual(show(decode(encoder.fast(1, value))), shown)

    def test_the_worker_writes_what_is_written_down(self) -> None:
        encoder = Encoder(Sessions())
        written = {
            shown: encoder.fast(1, value).hex() for shown, value in make_vectors.VALUES.items()
        }
        self.assertEqual(written, read("worker.json"))


if __name__ == "__main__":
    unittest.main()
