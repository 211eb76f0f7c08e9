"""Writes `spec/vectors/worker.json` anew: what a worker writes for values of every kind.

The keys are the values as the Rust side prints them, which is how Python prints them but for dates
and times. Run it from anywhere after a change of the format, and look at the difference.
"""

import collections
import datetime as dt
import decimal
import enum
import json
import pathlib
import sys
import uuid

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
VECTORS = PACKAGE.parents[2] / "spec" / "vectors"
sys.path.insert(0, str(PACKAGE))

from snakebridge_worker.encode import Encoder  # noqa: E402
from snakebridge_worker.sessions import Sessions  # noqa: E402


class Level(enum.IntEnum):
    """A subclass of a builtin, which arrives as the builtin."""

    HIGH = 10


Pair = collections.namedtuple("Pair", "left right")
SHARED = [1, 2]
DAY = dt.date(2024, 2, 29)
ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30))

VALUES = {
    "None": None,
    "True": True,
    "-1": -1,
    "70000": 70000,
    "4294967296": 2**32,
    "-9223372036854775809": -(2**63) - 1,
    "0.5": 0.5,
    "nan": float("nan"),
    "'naïve 🐍'": "naïve 🐍",
    repr("x" * 300): "x" * 300,
    "b'\\x00\\xff'": b"\x00\xff",
    "b'array'": bytearray(b"array"),
    "[]": [],
    "[1]": [1],
    "[1, 2]": [1, 2],
    "()": (),
    "(1,)": (1,),
    "(1, 2, 3, 4)": (1, 2, 3, 4),
    "{1}": {1},
    "frozenset({'a'})": frozenset("a"),
    "set()": set(),
    "{}": {},
    "{'id': 1}": {"id": 1},
    "{(0, 1): None, 1: 2}": {(0, 1): None, 1: 2},
    "[{'id': 1, 'name': 'x'}, {'id': 2, 'name': 'x'}]": [
        {"id": 1, "name": "x"},
        {"id": 2, "name": "x"},
    ],
    repr(list(range(2500))): list(range(2500)),
    repr({str(i): i for i in range(1200)}): {str(i): i for i in range(1200)},
    "{'first': [1, 2], 'second': [1, 2]}": {"first": SHARED, "second": SHARED},
    "(1.5-0j)": complex(1.5, -0.0),
    "Date(2024-02-29)": DAY,
    "Time(12:30:15.123456+05:30)": dt.time(12, 30, 15, 123456, ZONE),
    "DateTime(2024-02-29T12:30:15)": dt.datetime(2024, 2, 29, 12, 30, 15),
    "DateTime(2024-02-29T12:30:15+05:30)": dt.datetime(2024, 2, 29, 12, 30, 15, tzinfo=ZONE),
    "TimeDelta(-1 days, 0:00:05.000006)": dt.timedelta(-1, 5, 6),
    "Decimal('1.50')": decimal.Decimal("1.50"),
    "UUID('07070707-0707-0707-0707-070707070707')": uuid.UUID(bytes=b"\x07" * 16),
    "10": Level.HIGH,
    "(1, 'r')": Pair(1, "r"),
    "{'b': 1, 'a': 2}": collections.OrderedDict(b=1, a=2),
}


def main() -> None:
    """Writes the file."""
    encoder = Encoder(Sessions())
    out = {shown: encoder.fast(1, value).hex() for shown, value in VALUES.items()}
    text = json.dumps(out, indent=2, sort_keys=True, ensure_ascii=False)
    (VECTORS / "worker.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
