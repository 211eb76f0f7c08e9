"""Whole replies with the scalars that most calls give: header and body in one piece.

The C pickler has to be made ready for each value, which takes longer than a small value itself.
So numbers, `None`, `True` and `False` are written out here, as the opcodes that it would give.
"""

from __future__ import annotations

from struct import Struct, error

from . import frames
from .codec import PICKLE_PROTOCOL, dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

# Opcodes of pickle.
_PROTO = b"\x80\x05"
_STOP = b"."


def _constant(opcode: bytes) -> bytes:
    return frames.frame(frames.VALUE, _PROTO + opcode + _STOP)


_NONE = _constant(b"N")
_TRUE = _constant(b"\x88")
_FALSE = _constant(b"\x89")
# BINFLOAT has its bytes in the order of networks, BININT in the other one.
_FLOAT_START = frames.header(frames.VALUE, 12) + _PROTO + b"G"
_pack_float = Struct(">19sdc").pack
_INT_START = frames.header(frames.VALUE, 8) + _PROTO + b"J"
_pack_int = Struct("<19sic").pack
# Of bytes and text: what is no longer than this has a body of less than 256 bytes.
_SHORT = 128
_HEADS = tuple(frames.header(frames.VALUE, length) for length in range(256))


def _none(_: None) -> bytes:
    return _NONE


def _bool(value: bool) -> bytes:
    return _TRUE if value else _FALSE


def _float(value: float) -> bytes:
    return _pack_float(_FLOAT_START, value, _STOP)


def _int(value: int) -> bytes | None:
    try:
        return _pack_int(_INT_START, value, _STOP)
    except error:
        return None


def _bytes(value: bytes) -> bytes | None:
    if len(value) > _SHORT:
        return None
    body = dumps(value, PICKLE_PROTOCOL)
    return _HEADS[len(body)] + body


def _str(value: str) -> bytes | None:
    # Other text may be no valid Unicode.
    if len(value) > _SHORT or not value.isascii():
        return None
    body = dumps(value, PICKLE_PROTOCOL)
    return _HEADS[len(body)] + body


# By the type of the result. `None` says that the value has to take the general way.
REPLIES: dict[type, Callable[[Any], bytes | None]] = {
    type(None): _none,
    bool: _bool,
    float: _float,
    int: _int,
    bytes: _bytes,
    str: _str,
}
