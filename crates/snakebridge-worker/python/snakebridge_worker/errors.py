"""From an exception to data: everything that a traceback shows, and the classes behind it."""

from __future__ import annotations

import os
import sys

from .codec import PICKLE_PROTOCOL, dumps
from .sessions import class_name

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

# The interpreter's own descriptors: a class may define these names for itself.
_mro_of = type.__dict__["__mro__"].__get__
_args_of = BaseException.__dict__["args"].__get__
_cause_of = BaseException.__dict__["__cause__"].__get__
_context_of = BaseException.__dict__["__context__"].__get__
_suppress_context_of = BaseException.__dict__["__suppress_context__"].__get__
_traceback_of = BaseException.__dict__["__traceback__"].__get__


def encode(error: BaseException) -> bytes:
    """The body of an error reply."""
    try:
        return dumps(_Describer().describe(error), PICKLE_PROTOCOL)
    except BaseException:
        return dumps(_bare(error), PICKLE_PROTOCOL)


def describe(error: BaseException) -> tuple[Any, ...]:
    """The same as a part of a result."""
    try:
        return _Describer().describe(error)
    except BaseException:
        return _bare(error)


def _bare(error: BaseException) -> tuple[Any, ...]:
    # Classes can make all else fail. What is certain is that there was an exception.
    bare = (*class_name(type(error)), (), "the exception could not be described")
    return (*bare, None, (), (), None, None, True, ())


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
        cause = self.link(_cause_of(error))
        # `raise ... from e` while `e` is handled: it is both, and is sent once.
        same = cause is not None and _context_of(error) is _cause_of(error)
        context = True if same else self.link(_context_of(error))
        members = tuple(
            self.describe(member) for member in _members(error)[:_MOST_MEMBERS] if self.left > 0
        )
        return (
            *class_name(cls),
            tuple(".".join(class_name(base)) for base in _mro_of(cls)),
            message(error),
            _args(error),
            _frames(_traceback_of(error)),
            _notes(error),
            cause,
            context,
            _suppress_context_of(error),
            members,
        )

    def link(self, error: BaseException | None) -> tuple[Any, ...] | None:
        if error is None or id(error) in self.seen or self.left <= 0:
            return None
        return self.describe(error)


def message(error: BaseException) -> str:
    """`str(error)`, or what the interpreter prints where that fails."""
    try:
        return clean_text(str(error))
    except Exception:
        return f"<exception str() failed: {class_name(type(error))[1]}>"


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions of a group; none for any other."""
    group = getattr(sys.modules["builtins"], "BaseExceptionGroup", None)
    if not any(base is group for base in _mro_of(type(error))):
        return ()
    members: tuple[BaseException, ...] = group.__dict__["exceptions"].__get__(error)
    return members


def _notes(error: BaseException) -> tuple[str, ...]:
    try:
        notes = getattr(error, "__notes__", None)
        return tuple(clean_text(str(n)) for n in notes) if isinstance(notes, (list, tuple)) else ()
    except Exception:
        return ()


def _args(error: BaseException) -> tuple[Any, ...] | None:
    """The arguments of the exception if all are plain values, else nothing."""
    args: tuple[Any, ...] = _args_of(error)
    left = [_MOST_ARG_PARTS]
    if all(_is_plain(arg, left, 0) for arg in args):
        return args
    return None


def _is_plain(value: Any, left: list[int], depth: int) -> bool:
    left[0] -= 1
    if left[0] < 0 or depth > 20:
        return False
    cls = type(value)
    if cls is str:
        return len(value) <= _LONGEST_TEXT and clean_text(value) == value
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
        (clean_text(name), line, clean_text(function), _source(name, line, scope))
        for name, line, function, scope in frames
    )


def _source(name: str, line: int, scope: dict[str, Any]) -> str | None:
    try:
        import linecache

        text = linecache.getline(name, line, scope).strip()
    except Exception:
        return None
    return clean_text(text) if text else None


def clean_text(value: Any) -> str:
    """Text that can be sent: exactly `str`, valid Unicode, of bounded length."""
    text = value if type(value) is str else str.__str__(value) if isinstance(value, str) else "?"
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "..."
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
