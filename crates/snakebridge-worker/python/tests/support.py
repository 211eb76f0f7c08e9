"""What the tests share: reading what the worker writes."""

from __future__ import annotations

import io
import pickle
from struct import iter_unpack
from typing import Any, NamedTuple

from snakebridge_worker import markers


class Ref(NamedTuple):
    """A place where the worker wrote a ref."""

    id: int
    module: str
    qualname: str
    traits: int


class _Unpickler(pickle.Unpickler):
    """Reads results, and takes no other names than the host does."""

    def find_class(self, module: str, name: str) -> Any:
        if module != "snakebridge_worker.markers" or getattr(markers, name) not in markers.ALL:
            raise AssertionError(f"the name {module}.{name} must not be on the wire")
        return Ref if name == "ref" else getattr(markers, name)


def decode(data: bytes) -> Any:
    """A result as the host reads it; `Ref`s stand for refs."""
    return _Unpickler(io.BytesIO(data)).load()


def numbers(body: bytes) -> tuple[int, ...]:
    """The body of a frame of numbers."""
    return tuple(number for (number,) in iter_unpack("<Q", body))
