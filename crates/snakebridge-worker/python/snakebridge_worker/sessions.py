"""Objects that the host holds refs to, by session."""

from __future__ import annotations

from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a host can know about an object without asking; bits of a ref's traits.
CALLABLE = 1
ITERABLE = 2
STREAM = 4
CONTEXT_MANAGER = 8
AWAITABLE = 16


class RefNotFound(Exception):
    """No object has this id in this session."""


class Sessions:
    """The registry of one worker. Ids are never used twice. Any thread may keep objects here."""

    def __init__(self) -> None:
        self._tables: dict[int, dict[int, Any]] = {}
        self._next_id = count(1).__next__
        # Context variables of what was awaited in a session.
        self.contexts: dict[int, Any] = {}

    def keep(self, session: int, obj: Any) -> tuple[int, str, str, int]:
        """Registers an object and describes it: id, module and name of its class, traits."""
        ref_id = self._next_id()
        table = self._tables.get(session)
        if table is None:
            table = self._tables.setdefault(session, {})
        table[ref_id] = obj
        if self._tables.get(session) is not table:
            # This is not the thread of the lane, which has just dropped the table as empty.
            self._tables.setdefault(session, {})[ref_id] = obj
        module, qualname, traits = describe(obj)
        return ref_id, module, qualname, traits

    def find(self, session: int, ref_id: int) -> Any:
        """The object behind a ref."""
        try:
            return self._tables[session][ref_id]
        except KeyError:
            raise RefNotFound(str(ref_id)) from None

    def table(self, session: int) -> dict[int, Any]:
        """All objects of a session by id."""
        return self._tables.get(session, {})

    def release(self, pairs: tuple[int, ...]) -> None:
        """Forgets refs: session and id in turn, where 0 stands for all of the session.

        Unknown ones are no error.
        """
        tables = self._tables
        flat = iter(pairs)
        for session, ref_id in zip(flat, flat):
            table = tables.get(session)
            if ref_id == 0:
                self.close(session)
            elif table is not None:
                table.pop(ref_id, None)
                if not table and tables.pop(session, table):
                    # Another thread has just kept the arguments of a callback in it.
                    tables.setdefault(session, {}).update(table)

    def close(self, session: int) -> None:
        """Forgets all that there is of a session."""
        self._tables.pop(session, None)
        self.contexts.pop(session, None)

    def count(self) -> int:
        """How many objects are held in all."""
        return sum(map(len, self._tables.values()))


_described: dict[type, tuple[str, str, int]] = {}
# Bounds what is remembered for programs that make classes all the time.
_MOST_DESCRIBED = 1000


def describe(obj: Any) -> tuple[str, str, int]:
    """Module and qualified name of an object's class, and its traits."""
    cls = type(obj)
    try:
        known = _described.get(cls)
    except Exception:
        # A metaclass may have an equality of its own; then its classes have no hash.
        return _describe(cls)
    if known is None:
        known = _describe(cls)
        if len(_described) >= _MOST_DESCRIBED:
            _described.clear()
        _described[cls] = known
    return known


# `type`'s own descriptors: a metaclass may define these names for itself.
_module_of = type.__dict__["__module__"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__
_dict_of = type.__dict__["__dict__"].__get__


def _describe(cls: type) -> tuple[str, str, int]:
    module, qualname = class_name(cls)
    traits = 0
    if _has(cls, "__call__"):
        traits |= CALLABLE
    if _has(cls, "__iter__") or _has(cls, "__aiter__") or _has(cls, "__getitem__"):
        traits |= ITERABLE
    if _has(cls, "__await__"):
        traits |= AWAITABLE
    if _has(cls, "__enter__") and _has(cls, "__exit__"):
        traits |= CONTEXT_MANAGER
    elif (_has(cls, "__next__") and _has(cls, "__iter__")) or (
        _has(cls, "__anext__") and _has(cls, "__aiter__")
    ):
        traits |= STREAM
    return module, qualname, traits


def class_name(cls: type) -> tuple[str, str]:
    """Module and qualified name of a class, whatever its metaclass says."""
    try:
        module = _module_of(cls)
    except AttributeError:
        module = None
    return _text(module, "builtins"), _text(_qualname_of(cls), "object")


def _has(cls: type, name: str) -> bool:
    """Whether instances have a special method, as the interpreter looks it up: on the class."""
    for base in type.mro(cls) if cls is not type else (type, object):
        names = _dict_of(base)
        if name in names:
            return names[name] is not None
    return False


def _text(value: Any, default: str) -> str:
    """A name that can be sent: exactly `str`, and valid Unicode."""
    if not isinstance(value, str):
        return default
    return str.encode(value, "utf-8", "backslashreplace").decode("utf-8")
