"""Data frames of pandas as columns one by one, for where there is no pyarrow.

A column is its name, what its items are, the zone of times, and its pieces. A piece is the number
of items, then start and length of three runs of bytes: the bits that say which items are there, the
places of text, and the items. Numbers and times are what numpy calls by the same name; booleans are
bits.

Imported only when there is such a frame.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Run = tuple[int, int]
    Piece = tuple[int, tuple[Run, Run, Run]]
    Column = tuple[str, str, "str | None", "list[Piece] | tuple[Piece, ...]"]

_NOTHING = (0, 0)
_TEXT = "text"
# Arrow wants its runs to begin at multiples of this.
_ALIGNMENT = 64


def to_pandas(columns: list[Column], view: memoryview) -> Any:
    """The data frame with these columns. Nothing of it is in the memory that they come from."""
    numpy: Any = __import__("numpy")
    pandas: Any = __import__("pandas")

    made = {}
    for place, (_, kind, zone, pieces) in enumerate(columns):
        parts = [_items(numpy, kind, view, piece) for piece in pieces]
        missing = numpy.concatenate([_missing(numpy, view, piece) for piece in pieces] or [[]])
        made[place] = _series(numpy, pandas, kind, zone, parts, missing.astype(bool))
    frame = pandas.DataFrame(made)
    frame.columns = [name for name, *_ in columns]
    return frame


def _series(
    numpy: Any, pandas: Any, kind: str, zone: str | None, parts: list[Any], missing: Any
) -> Any:
    if kind.startswith(_TEXT):
        texts: list[str | None] = [text for part in parts for text in part]
        for place in numpy.flatnonzero(missing):
            texts[place] = None
        return pandas.Series(texts, dtype=None if texts else object)
    dtype = "bool" if kind == "bool" else kind
    items = numpy.concatenate(parts) if parts else numpy.empty(0, dtype)
    if items.dtype.kind in "mM":
        items[missing] = "NaT"
        series = pandas.Series(items)
        return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)
    if not missing.any():
        return pandas.Series(items)
    arrays = pandas.arrays
    nullable = {"b": arrays.BooleanArray, "f": arrays.FloatingArray}
    return pandas.Series(nullable.get(items.dtype.kind, arrays.IntegerArray)(items, missing))


def _items(numpy: Any, kind: str, view: memoryview, piece: Piece) -> Any:
    count, (_, (places, _), (start, length)) = piece
    if kind == "bool":
        return _bits(numpy, view, start, count)
    if not kind.startswith(_TEXT):
        return numpy.frombuffer(view, kind, count, start).copy()
    if not count:
        return []
    ends = numpy.frombuffer(view, kind[len(_TEXT) :], count + 1, places).tolist()
    data = view[start : start + length]
    return [str(data[begin:end], "utf-8") for begin, end in zip(ends, ends[1:])]


def _missing(numpy: Any, view: memoryview, piece: Piece) -> Any:
    count, ((start, length), _, _) = piece
    return ~_bits(numpy, view, start, count) if length else numpy.zeros(count, bool)


def _bits(numpy: Any, view: memoryview, start: int, count: int) -> Any:
    octets = numpy.frombuffer(view, "u1", (count + 7) // 8, start)
    return numpy.unpackbits(octets, count=count, bitorder="little").astype(bool)


def with_index(frame: Any) -> tuple[list[str], list[Any]]:
    """Names and columns of a frame; first those of its index, if that is more than row numbers."""
    pandas = sys.modules["pandas"]
    names = [str(name) for name in frame.columns]
    index = frame.index
    is_plain = type(index) is pandas.RangeIndex and index.start == 0 and index.step == 1
    columns = [frame.iloc[:, place] for place in range(len(names))]
    if is_plain and index.name is None:
        return names, columns
    levels = range(index.nlevels)
    labels = [f"index_{n}" if index.names[n] is None else str(index.names[n]) for n in levels]
    values = [index.get_level_values(n).to_series() for n in levels]
    return labels + names, values + columns


def of_pandas(frame: Any) -> tuple[tuple[Column, ...], list[bytes]]:
    """The columns of a frame, and the bytes that they are in."""
    names, columns = with_index(frame)
    out = _Bytes()
    described = [_describe(name, series, out) for name, series in zip(names, columns)]
    return tuple(described), out.parts


def _describe(name: str, series: Any, out: _Bytes) -> Column:
    numpy: Any = sys.modules["numpy"]  # pandas has imported it.

    dtype, zone = series.dtype, None
    missing = series.isna().to_numpy()
    has_missing = bool(missing.any())
    if getattr(dtype, "tz", None) is not None:
        zone = str(dtype.tz)
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        items = series.to_numpy()
    elif hasattr(dtype, "numpy_dtype"):  # A nullable type of pandas.
        items = series.fillna(dtype.type(0)).to_numpy(dtype=dtype.numpy_dtype)
    elif isinstance(dtype, numpy.dtype) and dtype.kind in "biufmM":
        items = series.to_numpy()
        has_missing = has_missing and dtype.kind in "mM"  # NaN is a number.
    else:
        return _describe_text(numpy, name, series, missing, out)
    kind = "bool" if items.dtype.kind == "b" else items.dtype.newbyteorder("<").str
    items = items.astype(items.dtype.newbyteorder("<"), copy=False)
    validity = out.bits(numpy, ~missing) if has_missing else _NOTHING
    run = out.bits(numpy, items) if kind == "bool" else out.add(items.tobytes())
    return name, kind, zone, ((len(items), (validity, _NOTHING, run)),)


def _describe_text(numpy: Any, name: str, series: Any, missing: Any, out: _Bytes) -> Column:
    texts = [None if is_missing else text for text, is_missing in zip(series, missing)]
    other = next((text for text in texts if text is not None and not isinstance(text, str)), None)
    if other is not None:
        raise TypeError(
            f"column {name!r} holds other objects than text ({type(other).__qualname__}), which "
            "takes pyarrow, which is not installed"
        )
    encoded = [b"" if text is None else text.encode() for text in texts]
    ends = numpy.cumsum([0, *map(len, encoded)], dtype="<i8")
    validity = out.bits(numpy, ~missing) if missing.any() else _NOTHING
    places, run = out.add(ends.tobytes()), out.add(b"".join(encoded))
    return name, "text<i8", None, ((len(texts), (validity, places, run)),)


class _Bytes:
    """Runs of bytes, one after the other."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.end = 0

    def add(self, data: bytes) -> Run:
        start, length = self.end, len(data)
        padding = -length % _ALIGNMENT
        self.parts += (data, bytes(padding))
        self.end += length + padding
        return start, length

    def bits(self, numpy: Any, flags: Any) -> Run:
        return self.add(numpy.packbits(flags, bitorder="little").tobytes())
