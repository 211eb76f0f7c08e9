"""Readers, writers and iterators of the host, as what Python code expects in their place.

Each is a callback with a few lines of Python around it.
"""

from __future__ import annotations

import io

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

# Most bytes of one callback.
_MOST = 1 << 20
# A callback is worth more than the 8 KiB that files have.
_BUFFER = 1 << 16


def make(kind: str, callback: Callable[..., Any]) -> Any:
    """The object for an adapter of the host."""
    if kind == "reader":
        return io.BufferedReader(_RawReader(callback), _BUFFER)
    if kind == "writer":
        return _Writer(_RawWriter(callback), _BUFFER)
    return _Items(callback)


class _Raw(io.RawIOBase):
    """A file whose bytes are in the host."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        self._callback: Callable[..., Any] | None = callback

    def close(self) -> None:
        """Lets go of what is in the host."""
        try:
            super().close()
        finally:
            self._callback = None

    def _call(self, argument: Any) -> Any:
        if self._callback is None:
            raise ValueError("I/O operation on closed file")
        return self._callback(argument)


class _RawReader(_Raw):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._call(min(len(buffer), _MOST))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._call(_MOST), b""))


class _RawWriter(_Raw):
    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data) as view, view.cast("B") as octets, octets[:_MOST] as part:
            written: int = self._call(bytes(part))
        return written

    def flush(self) -> None:
        super().flush()
        if self._callback is not None:
            self._callback(None)


class _Writer(io.BufferedWriter):
    """Has the host flush as well."""

    def flush(self) -> None:
        super().flush()
        self.raw.flush()


class _Items:
    """An iterator whose items are made in the host."""

    __slots__ = ("_next",)

    def __init__(self, callback: Callable[[], tuple[Any] | None]) -> None:
        self._next: Callable[[], tuple[Any] | None] | None = callback

    def __iter__(self) -> _Items:
        return self

    def __next__(self) -> Any:
        item = None if self._next is None else self._next()
        if item is None:
            self._next = None
            raise StopIteration
        return item[0]
