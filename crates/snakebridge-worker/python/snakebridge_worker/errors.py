"""From an exception to data: everything that a traceback shows, and the classes behind it."""

from __future__ import annotations

import os
import sys

from .codec import PICKLE_PROTOCOL, dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

# Bounds for what a single error may hold; real ones are far below.
_MOST_LINKS = 30
_MOST_FRAMES = 60
_MOST_MEMBERS = 50
_LONGEST_TEXT = 100_000
_MOST_ARG_PARTS = 1000

_OWN_FILES = os.path.dirname(__file__) + os.sep
_IMPORT_FILES = "<frozen importlib"


def encode(error: BaseException) -> bytes:
    """The body of an error reply."""
    try:
        return dumps(_Describer().describe(error), PICKLE_PROTOCOL)
    except BaseException:
        # Classes can make any of this fail. What is certain is that there was an exception.
        name = type.__dict__["__qualname__"].__get__(type(error))
        bare = ("", name, (), "the exception could not be described")
        return dumps((*bare, None, (), (), None, None, True, ()), PICKLE_PROTOCOL)


class _Describer:
    """Describes an exception with its causes, contexts and members, each once."""

    def __init__(self) -> None:
        self.left = _MOST_LINKS
        self.seen: set[int] = set()

    def describe(self, error: BaseException) -> tuple[Any, ...]:
        """One exception, in the order that the host reads."""
        self.left -= 1
        self.seen.add(id(error))
        cls = type(error)
        cause = self.link(error.__cause__)
        context = self.link(error.__context__)
        members = getattr(error, "exceptions", None)
        group: tuple[tuple[Any, ...], ...] = ()
        if isinstance(members, tuple) and _is_group(error):
            group = tuple(
                self.describe(member)
                for member in members[:_MOST_MEMBERS]
                if isinstance(member, BaseException) and self.left > 0
            )
        return (
            _text(cls.__module__),
            _text(cls.__qualname__),
            tuple(_class_name(base) for base in cls.__mro__),
            message(error),
            _args(error),
            _frames(error.__traceback__),
            _notes(error),
            cause,
            context,
            bool(error.__suppress_context__),
            group,
        )

    def link(self, error: BaseException | None) -> tuple[Any, ...] | None:
        if error is None or id(error) in self.seen or self.left <= 0:
            return None
        return self.describe(error)


def message(error: BaseException) -> str:
    """`str(error)`, or what the interpreter prints where that fails."""
    try:
        return _text(str(error))
    except Exception:
        return f"<exception str() failed: {_text(type(error).__qualname__)}>"


def _is_group(error: BaseException) -> bool:
    group = getattr(sys.modules["builtins"], "BaseExceptionGroup", None)
    return group is not None and isinstance(error, group)


def _class_name(cls: type) -> str:
    return _text(f"{cls.__module__}.{cls.__qualname__}")


def _notes(error: BaseException) -> tuple[str, ...]:
    try:
        notes = getattr(error, "__notes__", None)
        return tuple(_text(str(note)) for note in notes) if isinstance(notes, (list, tuple)) else ()
    except Exception:
        return ()


def _args(error: BaseException) -> tuple[Any, ...] | None:
    """The arguments of the exception if all are plain values, else nothing."""
    args = error.args
    left = [_MOST_ARG_PARTS]
    if type(args) is tuple and all(_is_plain(arg, left, 0) for arg in args):
        return args
    return None


def _is_plain(value: Any, left: list[int], depth: int) -> bool:
    left[0] -= 1
    if left[0] < 0 or depth > 20:
        return False
    cls = type(value)
    if cls is str:
        return len(value) <= _LONGEST_TEXT and _text(value) == value
    if cls in (type(None), bool, int, float):
        return True
    if cls is bytes:
        return len(value) <= _LONGEST_TEXT
    if cls in (list, tuple):
        return all(_is_plain(item, left, depth + 1) for item in value)
    if cls is dict:
        return all(
            _is_plain(key, left, depth + 1) and _is_plain(item, left, depth + 1)
            for key, item in value.items()
        )
    return False


def _frames(traceback: TracebackType | None) -> tuple[tuple[str, int, str, str | None], ...]:
    """File, line, function and source line, outermost first, without our own frames."""
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        name = code.co_filename
        if not name.startswith((_OWN_FILES, _IMPORT_FILES)):
            line = traceback.tb_lineno or 0
            frames.append((name, line, code.co_name, traceback.tb_frame.f_globals))
        traceback = traceback.tb_next
    if len(frames) > _MOST_FRAMES:
        half = _MOST_FRAMES // 2
        frames = frames[:half] + frames[-half:]
    return tuple(
        (_text(name), line, _text(function), _source(name, line, scope))
        for name, line, function, scope in frames
    )


def _source(name: str, line: int, scope: dict[str, Any]) -> str | None:
    try:
        import linecache

        text = linecache.getline(name, line, scope).strip()
    except Exception:
        return None
    return _text(text) if text else None


def _text(value: Any) -> str:
    """Text that can be sent: exactly `str`, valid Unicode, of bounded length."""
    text = value if type(value) is str else str.__str__(value) if isinstance(value, str) else "?"
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "..."
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
