"""Tables: of pyarrow, pandas, polars, and all that can be looked at as a stream of Arrow.

They travel as streams of Arrow's IPC format, which pyarrow reads without a copy. Where it is
missing, polars reads them by itself, and simple columns of pandas are made one by one
(`columns.py`).

Imported only when there is a table.
"""

from __future__ import annotations

import sys
from io import BytesIO

from .encode import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .columns import Column

    Data = bytes | tuple[int, int]
    # What it was, columns one by one where it is no stream, and the bytes.
    Parts = tuple[str, "tuple[Column, ...] | None", Data]

# From this size on shared memory is worth its while.
_LARGE = 1 << 16


def build(kind: str, columns: list[Column] | None, data: Data) -> Any:
    """The table that the host has sent, as `kind` says."""
    view = _look_at(data)
    pyarrow = _imported("pyarrow")
    if kind == "polars":
        polars = _needed("polars", "a table as a data frame of polars")
        if pyarrow is None:
            return polars.read_ipc_stream(BytesIO(view))
        return polars.from_arrow(_read(pyarrow, view))
    if pyarrow is not None:
        table = _read(pyarrow, view)
        return _to_pandas(pyarrow, table) if kind == "pandas" else table
    if kind == "pandas":
        _needed("pandas", "a table as a data frame of pandas")
        if columns is not None:
            from .columns import to_pandas

            return to_pandas(columns, view)
        raise TypeError(
            "a data frame of pandas with such columns needs pyarrow, which is not installed"
        )
    raise TypeError(
        "a table needs pyarrow, which is not installed; a data frame of pandas or polars may not"
    )


def _look_at(data: Data) -> memoryview:
    """The bytes of a table, which nobody can write to."""
    if type(data) is bytes:
        return memoryview(data)
    from . import regions

    segment, count = data
    # The memory of a result of this worker that comes back could be written to.
    view = memoryview(regions.find(segment))[:count].toreadonly()
    # Whatever pyarrow makes of it without a copy holds it.
    regions.note(segment, view)
    return view


def _read(pyarrow: Any, view: memoryview) -> Any:
    ipc = sys.modules.get("pyarrow.ipc") or _imported("pyarrow.ipc").ipc
    return ipc.open_stream(pyarrow.py_buffer(view)).read_all()


def _to_pandas(pyarrow: Any, table: Any) -> Any:
    """A data frame of which nothing is lost: numbers with nulls have nullable types."""
    types = pyarrow.types
    pandas = _needed("pandas", "a table as a data frame of pandas")
    frame = table.to_pandas(date_as_object=True)
    for place, column in enumerate(table.columns):
        kind = column.type
        if column.null_count and (
            types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind)
        ):
            name = str(pandas.Series(dtype=kind.to_pandas_dtype()).dtype)
            name = name.replace("uint", "UInt").replace("int", "Int").replace("float", "Float")
        elif column.null_count and types.is_boolean(kind):
            name = "boolean"
        else:
            continue
        dtype = pandas.api.types.pandas_dtype(name)
        frame.isetitem(place, pandas.Series(dtype.__from_arrow__(column), index=frame.index))
    return frame


def take_apart(obj: Any, taken: list[int]) -> Parts:
    """A table as its parts. Notes the segment of memory that was taken for it, if one was."""
    try:
        pyarrow = _imported("pyarrow")
        if pyarrow is not None:
            table = _to_arrow(pyarrow, obj)
            return "pyarrow", None, _write(pyarrow, table, taken)
        if _is_frame_of("polars", obj):
            out = BytesIO()
            level = sys.modules["polars"].CompatLevel.oldest()
            obj.write_ipc_stream(out, compat_level=level)
            return "polars", None, _share(out.getbuffer(), taken)
        if _is_frame_of("pandas", obj):
            from .columns import of_pandas

            columns, parts = of_pandas(obj)
            return "pandas", columns, _share(b"".join(parts), taken)
    except Exception as error:
        raise Refused(f"{_name(obj)} cannot be sent as a table: {error}") from error
    raise Refused(f"to send {_name(obj)} as a table needs pyarrow, which is not installed")


def _to_arrow(pyarrow: Any, obj: Any) -> Any:
    if isinstance(obj, pyarrow.Table):
        return obj
    if isinstance(obj, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([obj])
    if _is_frame_of("polars", obj):
        return obj.to_arrow()  # Text as all know it, rather than views of it.
    if not _is_frame_of("pandas", obj):
        if not isinstance(obj, pyarrow.RecordBatchReader):
            obj = pyarrow.RecordBatchReader.from_stream(obj)
        table: Any = obj.read_all()
        return table
    from .columns import with_index

    names, columns = with_index(obj)
    return pyarrow.Table.from_arrays([_column(pyarrow, column) for column in columns], names)


def _column(pyarrow: Any, series: Any) -> Any:
    """A column of pandas. Missing values are nulls, but NaN in an array of floats is a number."""
    if getattr(series.dtype, "kind", "") == "f" and hasattr(series.dtype, "newbyteorder"):
        return pyarrow.array(series.to_numpy(), from_pandas=False)
    return pyarrow.array(series, from_pandas=True)


def _write(pyarrow: Any, table: Any, taken: list[int]) -> Data:
    # Its size is counted first; that copies nothing.
    counter = pyarrow.MockOutputStream()
    _write_to(pyarrow, table, counter)
    size = counter.size()
    found = _segment(size)
    if found is None:
        out = pyarrow.BufferOutputStream()
        _write_to(pyarrow, table, out)
        whole: bytes = out.getvalue().to_pybytes()
        return whole
    segment, mapped = found
    taken.append(segment)
    _write_to(pyarrow, table, pyarrow.FixedSizeBufferWriter(pyarrow.py_buffer(mapped)))
    return segment, size


def _write_to(pyarrow: Any, table: Any, out: Any) -> None:
    ipc = sys.modules.get("pyarrow.ipc") or _imported("pyarrow.ipc").ipc
    with ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)


def _share(data: Any, taken: list[int]) -> Data:
    """Bytes that are complete, in shared memory if they are many."""
    found = _segment(len(data))
    if found is None:
        return bytes(data)
    segment, mapped = found
    taken.append(segment)
    mapped[: len(data)] = data
    return segment, len(data)


def _segment(size: int) -> tuple[int, Any] | None:
    if size < _LARGE:
        return None
    from . import regions

    return regions.take(size)


def _is_frame_of(module: str, obj: Any) -> bool:
    return isinstance(obj, getattr(sys.modules.get(module), "DataFrame", ()))


def _name(obj: Any) -> str:
    cls = type(obj)
    return f"a {cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def _imported(name: str) -> Any:
    try:
        return sys.modules.get(name) or __import__(name)
    except ModuleNotFoundError:
        return None


def _needed(name: str, what: str) -> Any:
    module = _imported(name)
    if module is None:
        raise TypeError(f"{what} needs {name}, which is not installed")
    return module
