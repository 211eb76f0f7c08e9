"""Names that stand for typed values on the wire.

Each is a function from plain values to the object it stands for. The host writes a marker applied
to a tuple, and unpickling calls it; results are written with the same names, and the host knows
what they mean without calling anything. Nothing else is ever looked up by name.
"""

from __future__ import annotations

import sys

from . import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime as dt
    import decimal as dec
    import uuid as uuids
    from typing import Any


def array(dtype: str, shape: tuple[int, ...], data: bytes | tuple[int, int]) -> Any:
    """An array that cannot be written to: of numpy, or where that is missing a `memoryview`."""
    return lazy.arrays().build(dtype, shape, data)


def bytes_(data: tuple[int, int]) -> bytes:
    """`bytes` that are in shared memory."""
    return bytes(_look_at(data))


def text(data: tuple[int, int]) -> str:
    """`str` that is in shared memory."""
    return str(_look_at(data), "utf-8")


def _look_at(data: tuple[int, int]) -> memoryview:
    from . import regions

    segment, count = data
    return memoryview(regions.find(segment))[:count]


def complex_(real: float, imag: float) -> complex:
    """A complex number, with the signs of its zeros."""
    return complex(real, imag)


def date(year: int, month: int, day: int) -> dt.date:
    """A calendar date."""
    import datetime

    return datetime.date(year, month, day)


def _zone(offset: int | None) -> dt.tzinfo | None:
    import datetime

    if offset is None:
        return None
    if offset == 0:
        return datetime.timezone.utc
    return datetime.timezone(datetime.timedelta(microseconds=offset))


def time(
    hour: int, minute: int, second: int, micros: int, fold: int, offset: int | None
) -> dt.time:
    """A time of day; `offset` in microseconds, or None for a naive one."""
    import datetime

    return datetime.time(hour, minute, second, micros, _zone(offset), fold=fold)


def datetime(
    year: int,
    month: int,
    day: int,
    hour: int,
    minute: int,
    second: int,
    micros: int,
    fold: int,
    offset: int | None,
) -> dt.datetime:
    """A date and time; `offset` in microseconds, or None for a naive one."""
    import datetime

    return datetime.datetime(
        year, month, day, hour, minute, second, micros, _zone(offset), fold=fold
    )


def timedelta(days: int, seconds: int, micros: int) -> dt.timedelta:
    """A span of time."""
    import datetime

    return datetime.timedelta(days, seconds, micros)


def decimal(text: str) -> dec.Decimal:
    """A decimal number, digit by digit, whatever the context's precision."""
    module = sys.modules.get("decimal") or __import__("decimal")
    number: dec.Decimal = module.Decimal(text)
    return number


def uuid(data: bytes) -> uuids.UUID:
    """A UUID from its sixteen bytes."""
    module = sys.modules.get("uuid") or __import__("uuid")
    number: uuids.UUID = module.UUID(bytes=data)
    return number


def plain(value: Any) -> Any:
    """The builtin value of an instance of a subclass. Only ever written by a worker."""
    return value


def ref(ref_id: int, module: str, qualname: str, traits: int) -> Any:
    """An object that stays here. Only ever written by a worker."""
    raise TypeError("a ref reaches the worker as a persistent id")


def table(kind: str, columns: Any, data: bytes | tuple[int, int]) -> Any:
    """A table of pyarrow, pandas or polars."""
    from . import tables

    return tables.build(kind, columns, data)


def adapter(kind: str, callback: Any) -> Any:
    """A file or an iterator around a callback. Only ever written by the host."""
    from . import adapters

    return adapters.make(kind, callback)


# Those that a result can have.
ALL = frozenset(
    (
        array,
        bytes_,
        complex_,
        date,
        time,
        datetime,
        timedelta,
        decimal,
        uuid,
        plain,
        ref,
        table,
        text,
    )
)
