"""Arrays: of numpy, and of all that numpy can look at without a copy.

Imported only when there is one.
"""

from __future__ import annotations

import sys

from . import regions
from .encode import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # numpy's name of the type of its items, how many of them in each dimension, and the items.
    Parts = tuple[str, tuple[int, ...], "bytes | tuple[int, int]"]

# From this size on shared memory is worth its while.
_LARGE = 1 << 16

# What numpy calls the types that `memoryview` knows too.
_FORMATS = {
    "|i1": "b",
    "|u1": "B",
    "|b1": "?",
    "<i2": "h",
    "<u2": "H",
    "<i4": "i",
    "<u4": "I",
    "<i8": "q",
    "<u8": "Q",
    "<f4": "f",
    "<f8": "d",
}
_DTYPES = {format_: dtype for dtype, format_ in _FORMATS.items()}
# `long` has eight bytes wherever this runs.
_DTYPES.update(l="<i8", L="<u8")


def build(dtype: str, shape: tuple[int, ...], data: bytes | tuple[int, int]) -> Any:
    """The array that the host has sent. Nobody can write to it.

    Its items are in the bytes, or at the start of a segment of shared memory.
    """
    try:
        numpy = sys.modules.get("numpy") or __import__("numpy")
    except ModuleNotFoundError:
        numpy = None
    if numpy is not None and dtype not in _FORMATS:
        return _build_unusual(numpy, dtype, shape, data)
    if type(data) is bytes:
        return _view(dtype, shape, data) if numpy is None else numpy.ndarray(shape, dtype, data)
    return _build_shared(numpy, dtype, shape, data)


def _build_unusual(numpy: Any, text: str, shape: tuple[int, ...], data: Any) -> Any:
    """The same for dtypes that the host knows by what they are called only."""
    dtype: Any = text
    if text.startswith("["):
        import ast

        dtype = _format().descr_to_dtype(ast.literal_eval(text))
    count = len(data) if type(data) is bytes else data[1]
    size = numpy.dtype(dtype).itemsize
    places = 1
    for many in shape:
        places *= many
    if places * size != count:
        raise ValueError(
            f"{count} bytes are no array of shape {shape} whose items are {text}, of {size} bytes"
        )
    if type(data) is bytes:
        return numpy.ndarray(shape, dtype, data)
    return _build_shared(numpy, dtype, shape, data)


def _build_shared(numpy: Any, dtype: Any, shape: tuple[int, ...], data: Any) -> Any:
    segment, count = data
    mapped = regions.find(segment)
    if numpy is None:
        return _view(dtype, shape, mapped[:count])
    array = numpy.ndarray(shape, dtype, mapped)
    # The memory of a result of this worker that comes back could be written to.
    array.flags.writeable = False
    # Whatever is made of it without a copy holds it: numpy goes no further than to this one.
    regions.note(segment, array)
    return array


def _view(dtype: str, shape: tuple[int, ...], data: bytes) -> Any:
    format_ = _FORMATS.get(dtype)
    if format_ is None or not data or not shape:
        raise TypeError(
            f"an array of dtype {dtype} and shape {shape} needs numpy, which is not installed"
        )
    # The stubs know literal formats only.
    flat: Any = memoryview(data).cast(format_)  # type: ignore[call-overload]
    return flat if len(shape) == 1 else flat.cast("B").cast(format_, shape)


def is_array_class(cls: type, bases: list[type]) -> bool:
    """Whether instances of a class are arrays, by what is imported already."""
    if cls is memoryview or cls is getattr(sys.modules.get("array"), "array", None):
        return True
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    if ndarray in bases:
        return masked not in bases  # Its mask would be lost.
    return getattr(sys.modules.get("torch"), "Tensor", None) in bases


def look_at(obj: Any) -> Any:
    """An array without a copy, of numpy or a `memoryview`; `None` if it cannot be sent."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        view = memoryview(obj)
        return view if view.format in _DTYPES else None
    if hasattr(obj, "detach"):
        obj = _of_tensor(obj)
    array = numpy.asarray(obj)
    return None if array.dtype.hasobject else array


def _of_tensor(tensor: Any) -> Any:
    """An array that has the memory of a tensor."""
    if tensor.device.type != "cpu":
        raise Refused(
            f"a tensor on {tensor.device} cannot be sent as an array: "
            "`.cpu()` copies it to memory from which it can"
        )
    try:
        return tensor.detach().numpy()
    except (TypeError, RuntimeError) as error:
        raise Refused(f"a {tensor.dtype} tensor cannot be sent as an array: {error}") from error


def take_apart(obj: Any, taken: list[int]) -> Parts | None:
    """An array as its parts, its items in C order; `None` if it cannot be sent.

    Notes the segment of shared memory that was taken for it, if one was.
    """
    array = look_at(obj)
    if array is None:
        return None
    if isinstance(array, memoryview):
        shape: Any = array.shape
        return _DTYPES[array.format], shape, array.tobytes()
    dtype = array.dtype
    text = dtype.str if dtype.names is None else _describe(dtype)
    return text, array.shape, _shared(array, taken) or array.tobytes()


def _describe(dtype: Any) -> str:
    """The fields of records."""
    return repr(_format().dtype_to_descr(dtype))


def _format() -> Any:
    return __import__("numpy.lib.format").lib.format


def _shared(array: Any, taken: list[int]) -> tuple[int, int] | None:
    """The array in shared memory, if it is large enough for that."""
    if array.nbytes < _LARGE:
        return None
    found = regions.take(array.nbytes)
    if found is None:
        return None
    segment, mapped = found
    taken.append(segment)
    sys.modules["numpy"].ndarray(array.shape, array.dtype, mapped)[...] = array
    return segment, array.nbytes
