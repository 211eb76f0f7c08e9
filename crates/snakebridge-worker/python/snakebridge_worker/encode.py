"""From a result to the bytes of a reply: what is a value, what is a ref.

Builtin values are copied, exactly; instances of their subclasses as the builtin value; dates,
decimals and UUIDs by their markers. Everything else stays here, and a ref goes in its place.

The C pickler walks the result, and asks `reducer_override` only about what is no plain builtin.
What it cannot say (cycles, great depth, lone surrogates, classes that misbehave) is said by the
careful mode: a copy made step by step, with refs where values end.
"""

from __future__ import annotations

import sys

from . import lazy, markers
from .codec import PICKLE_PROTOCOL, Pickler, dumps
from .frames import ARRAYS, TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .sessions import Sessions

    # What a converter gives to the pickler: a marker and its arguments.
    Reduced = Any
    Converter = Callable[["ResultPickler", Any], Reduced]

# Types that the pickler writes by itself, whatever is in them.
CONTAINERS = frozenset((list, tuple, dict, set, frozenset))
PLAIN = CONTAINERS | {type(None), bool, int, float, str, bytes, bytearray}


class Refused(Exception):
    """What was asked for by value cannot be sent, for a reason that the host has to know."""


class ResultPickler(Pickler):
    """Writes a result; objects that are no values are kept in a session."""

    sessions: Sessions
    session: int
    made: list[int]
    # Whether arrays are values, and whether tables are.
    arrays: bool
    tables: bool
    # Segments of shared memory for arrays of the result that is being written.
    taken: list[int]

    def reducer_override(self, obj: Any) -> Any:
        """Called by the C code for all but plain builtins."""
        cls = type(obj)
        convert = _converters.get(cls)
        if convert is None:
            convert = _find_converter(cls)
        return convert(self, obj)


# From this size on a result gets a pickler of its own.
_LARGE = 1 << 16


class _Sink:
    """Where the pickler writes: it hands over what it has in a few pieces."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.write = chunks.append


class Encoder:
    """Encodes results of one worker."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._chunks: list[bytes] = []
        self._pickler = self._new_pickler()

    def is_value(self, obj: Any) -> bool:
        """Whether a result is copied; otherwise it is a ref as a whole."""
        cls = type(obj)
        if cls in PLAIN:
            return True
        convert = _converters.get(cls) or _find_converter(cls)
        if convert is _array and self._pickler.arrays:
            return lazy.arrays().look_at(obj) is not None
        if convert is _table and self._pickler.tables:
            return True
        return convert is not _keep and convert(_PROBE, obj) is not _NO_VALUE

    def fast(self, session: int, obj: Any) -> bytes:
        """The result as a value, by the C pickler. Raises whatever goes wrong."""
        pickler, chunks = self._pickler, self._chunks
        pickler.session = session
        if pickler.made:
            pickler.made = []
        try:
            pickler.dump(obj)
            encoded = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except BaseException:
            chunks.clear()
            pickler.clear_memo()
            self._give_back()
            raise
        chunks.clear()
        if pickler.taken:
            pickler.taken = []  # They are the host's with the reply.
        if len(encoded) < _LARGE:
            pickler.clear_memo()
        else:
            # Its memo has grown, and clearing it would cost every small result from here on.
            self._pickler = self._new_pickler()
            self._pickler.session, self._pickler.made = session, pickler.made
            self._pickler.arrays, self._pickler.tables = pickler.arrays, pickler.tables
        return encoded

    def _give_back(self) -> None:
        """Frees segments for arrays that will not be sent."""
        taken, self._pickler.taken = self._pickler.taken, []
        if taken:
            from . import regions

            for segment in taken:
                regions.freed(segment)

    def _new_pickler(self) -> ResultPickler:
        # One pickler serves many results: making one costs more than a small result does.
        pickler = ResultPickler(_Sink(self._chunks), PICKLE_PROTOCOL)
        pickler.sessions = self.sessions
        pickler.session = 0
        # Refs made for the last result, in case it has to be encoded again.
        pickler.made = []
        pickler.arrays = pickler.tables = False
        pickler.taken = []
        return pickler

    def careful(self, session: int, obj: Any) -> bytes:
        """The result as a value again, with refs where the fast way failed."""
        self.forget()
        return self.fast(session, _Copy(self._pickler).copy(obj, 0))

    def copy(self, flags: int) -> None:
        """By the flags of a request, what is a value from here on; it is a ref otherwise."""
        pickler = self._pickler
        pickler.arrays, pickler.tables = bool(flags & ARRAYS), bool(flags & TABLES)

    def forget(self) -> None:
        """Drops the refs that were made for the last result."""
        table = self.sessions.table(self._pickler.session)
        for ref_id in self._pickler.made:
            table.pop(ref_id, None)
        self._pickler.made = []

    def ref(self, session: int, obj: Any) -> bytes:
        """The result as a ref, whatever it is."""
        described = self.sessions.keep(session, obj)
        self._pickler.session, self._pickler.made = session, [described[0]]
        return dumps(described, PICKLE_PROTOCOL)

    def large(self, obj: bytes | bytearray | str) -> bytes | None:
        """A result that is bytes or text, in shared memory. `None` if it has to go another way."""
        from . import regions

        try:
            data: Any = obj.encode() if type(obj) is str else obj
        except UnicodeEncodeError:
            return None
        found = regions.take(len(data))
        if found is None:
            return None
        segment, mapped = found
        try:
            mapped[: len(data)] = data
            marker = markers.text if type(obj) is str else markers.bytes_
            return self.plain(_Applied(marker, ((segment, len(data)),)))
        except BaseException:
            regions.freed(segment)
            raise

    def plain(self, obj: Any) -> bytes:
        """A result that needs no look inside. It makes no refs."""
        if self._pickler.made:
            self._pickler.made = []
        return dumps(obj, PICKLE_PROTOCOL)


class _Applied:
    """A marker applied to its arguments."""

    def __init__(self, marker: Any, args: tuple[Any, ...]) -> None:
        self._reduced = marker, args

    def __reduce__(self) -> Any:
        return self._reduced


# Converters, by the exact class of the object.


class _NoValue:
    """What a converter gives for an instance that is no value, though its class may be."""


_NO_VALUE = _NoValue()


class _Probe:
    """Stands for the pickler where only the kind of an object is asked for."""


_PROBE: Any = _Probe()


def _keep(pickler: ResultPickler, obj: Any) -> Reduced:
    if pickler is _PROBE:
        return _NO_VALUE
    described = pickler.sessions.keep(pickler.session, obj)
    pickler.made.append(described[0])
    return markers.ref, described


def _function(pickler: ResultPickler, obj: Any) -> Reduced:
    # The pickler asks about our own markers too, right before it writes them by name.
    if pickler is not _PROBE and obj in markers.ALL:
        return NotImplemented
    return _keep(pickler, obj)


def _kept(pickler: ResultPickler, obj: Kept) -> Reduced:
    """A place that is a ref whatever is there. The same one gives the same ref."""
    if obj.described is None:
        obj.described = pickler.sessions.keep(pickler.session, obj.target)
        pickler.made.append(obj.described[0])
    return markers.ref, obj.described


def _array(pickler: ResultPickler, obj: Any) -> Reduced:
    """An array is a value only where the host asks for that."""
    if pickler is not _PROBE and pickler.arrays:
        parts = lazy.arrays().take_apart(obj, pickler.taken)
        if parts is not None:
            return markers.array, parts
    return _keep(pickler, obj)


def _table(pickler: ResultPickler, obj: Any) -> Reduced:
    """A table is a value only where the host asks for that."""
    if pickler is not _PROBE and pickler.tables:
        from . import tables

        return markers.table, tables.take_apart(obj, pickler.taken)
    return _keep(pickler, obj)


def _complex(pickler: ResultPickler, obj: complex) -> Reduced:
    return markers.complex_, (obj.real, obj.imag)


def _complex_subclass(pickler: ResultPickler, obj: complex) -> Reduced:
    return markers.complex_, (complex.real.__get__(obj), complex.imag.__get__(obj))


def _date(pickler: ResultPickler, obj: Any) -> Reduced:
    return markers.date, (obj.year, obj.month, obj.day)


def _timedelta(pickler: ResultPickler, obj: Any) -> Reduced:
    return markers.timedelta, (obj.days, obj.seconds, obj.microseconds)


def _offset(delta: Any) -> int:
    micros: int = (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds
    return micros


def _time(pickler: ResultPickler, obj: Any) -> Reduced:
    offset = None
    if obj.tzinfo is not None:
        delta = obj.utcoffset()
        if delta is None:
            # Its zone has an offset only together with a date: leaving it out would lose it.
            return _keep(pickler, obj)
        offset = _offset(delta)
    return markers.time, (obj.hour, obj.minute, obj.second, obj.microsecond, obj.fold, offset)


def _datetime(pickler: ResultPickler, obj: Any) -> Reduced:
    offset = None
    if obj.tzinfo is not None:
        delta = obj.utcoffset()
        if delta is None:
            return _keep(pickler, obj)
        offset = _offset(delta)
    return markers.datetime, (
        obj.year,
        obj.month,
        obj.day,
        obj.hour,
        obj.minute,
        obj.second,
        obj.microsecond,
        obj.fold,
        offset,
    )


def _decimal(pickler: ResultPickler, obj: Any) -> Reduced:
    return markers.decimal, (str(obj),)


def _uuid(pickler: ResultPickler, obj: Any) -> Reduced:
    return markers.uuid, (obj.bytes,)


# Instances of subclasses of builtins, as the builtin value. The base's own methods are used, so
# that no code of the subclass runs and none can change the value.


def _int(pickler: ResultPickler, obj: int) -> Reduced:
    return markers.plain, (int.__int__(obj),)


def _float(pickler: ResultPickler, obj: float) -> Reduced:
    return markers.plain, (float.__float__(obj),)


def _str(pickler: ResultPickler, obj: str) -> Reduced:
    return markers.plain, (str.__str__(obj),)


def _bytes(pickler: ResultPickler, obj: bytes) -> Reduced:
    return markers.plain, (bytes.__getitem__(obj, slice(None)),)


def _bytearray(pickler: ResultPickler, obj: bytearray) -> Reduced:
    return markers.plain, (bytes(memoryview(obj)),)


def _list(pickler: ResultPickler, obj: list[Any]) -> Reduced:
    return markers.plain, (list.__getitem__(obj, slice(None)),)


def _tuple(pickler: ResultPickler, obj: tuple[Any, ...]) -> Reduced:
    return markers.plain, (tuple.__getitem__(obj, slice(None)),)


def _set(pickler: ResultPickler, obj: set[Any]) -> Reduced:
    return markers.plain, (set.copy(obj),)


def _frozenset(pickler: ResultPickler, obj: frozenset[Any]) -> Reduced:
    return markers.plain, (frozenset.copy(obj),)


def _dict(pickler: ResultPickler, obj: dict[Any, Any]) -> Reduced:
    copy = dict(dict.items(obj))
    # Keys that became equal would swallow each other.
    return (markers.plain, (copy,)) if len(copy) == dict.__len__(obj) else _keep(pickler, obj)


def _ordered_dict(pickler: ResultPickler, obj: Any) -> Reduced:
    # It keeps an order of its own, which `dict.items` does not know.
    ordered = sys.modules["collections"].OrderedDict
    return markers.plain, (dict(ordered.items(obj)),)


def _numpy_scalar(pickler: ResultPickler, obj: Any) -> Reduced:
    value = obj.item()
    if type(value) is complex:
        return markers.complex_, (value.real, value.imag)
    if type(value) in (bool, int, float):
        return markers.plain, (value,)
    return _keep(pickler, obj)


_SUBCLASSES: tuple[tuple[type, Converter], ...] = (
    (int, _int),
    (float, _float),
    (str, _str),
    (bytes, _bytes),
    (bytearray, _bytearray),
    (complex, _complex_subclass),
    (dict, _dict),
    (list, _list),
    (tuple, _tuple),
    (set, _set),
    (frozenset, _frozenset),
)

# Classes whose instances are values, only exactly: module, name, converter. Looked up in
# `sys.modules`, because an instance proves that the module is there.
_EXACT: tuple[tuple[str, str, Converter], ...] = (
    ("datetime", "datetime", _datetime),
    ("datetime", "date", _date),
    ("datetime", "time", _time),
    ("datetime", "timedelta", _timedelta),
    ("decimal", "Decimal", _decimal),
    ("uuid", "UUID", _uuid),
)

_MOST_CONVERTERS = 1000
_BUILTIN_CONVERTERS: dict[type, Converter] = {
    complex: _complex,
    type(_complex): _function,
}
_converters: dict[type, Converter] = {}


def _find_converter(cls: type) -> Converter:
    convert = _search_converter(cls)
    if len(_converters) >= _MOST_CONVERTERS:
        _converters.clear()
        _converters.update(_BUILTIN_CONVERTERS)
    _converters[cls] = convert
    return convert


def _search_converter(cls: type) -> Converter:
    # `type.mro` rather than `issubclass`: metaclasses may answer that as they like.
    bases = type.mro(cls) if cls is not type else [type, object]
    if getattr(sys.modules.get("collections"), "OrderedDict", None) in bases:
        return _ordered_dict
    for base, convert in _SUBCLASSES:
        if base in bases:
            return convert
    for module, name, convert in _EXACT:
        if getattr(sys.modules.get(module), name, None) is cls:
            return convert
    numpy = sys.modules.get("numpy")
    if numpy is not None and getattr(numpy, "generic", None) in bases:
        # Kinds whose `item()` is the same number. Dates in nanoseconds and records are not.
        kind = numpy.dtype(cls).kind if _is_number(numpy, bases) else "?"
        if kind in "biufc":
            return _numpy_scalar
    if _is_array(cls, bases):
        return _array
    return _table if _is_table(bases) else _keep


def _is_array(cls: type, bases: list[type]) -> bool:
    if cls is not memoryview and sys.modules.keys().isdisjoint(("array", "numpy", "torch")):
        return False
    return bool(lazy.arrays().is_array_class(cls, bases))


def _is_table(bases: list[type]) -> bool:
    if getattr(sys.modules.get("pandas"), "DataFrame", None) in bases:
        return True
    # A metaclass may answer `hasattr` as it likes.
    dicts = (type.__getattribute__(base, "__dict__") for base in bases)
    return any("__arrow_c_stream__" in members for members in dicts)


def _is_number(numpy: Any, bases: list[type]) -> bool:
    return any(getattr(numpy, name, None) in bases for name in ("number", "bool_"))


# The careful mode.


class Kept:
    """A place in a result that becomes a ref, whatever is there."""

    __slots__ = ("described", "target")

    def __init__(self, target: Any) -> None:
        self.target = target
        self.described: tuple[int, str, str, int] | None = None


_BUILTIN_CONVERTERS[Kept] = _kept
_converters.update(_BUILTIN_CONVERTERS)

# Containers deeper than this become refs. Far below the limit of the host and of the interpreter.
_DEEPEST = 100
# Most parts of a careful copy; the rest become refs.
_MOST_PARTS = 10_000_000


class _Copy:
    """Copies a result so far as it is made of values."""

    def __init__(self, pickler: ResultPickler) -> None:
        self.by_value = [_array] * pickler.arrays + [_table] * pickler.tables
        self.active: set[int] = set()
        self.kept: dict[int, Kept] = {}
        self.parts = 0

    def copy(self, obj: Any, depth: int) -> Any:
        cls = type(obj)
        self.parts += 1
        if self.parts > _MOST_PARTS:
            return self.keep(obj)
        if cls is Kept:
            return self.keep(obj.target)  # Its ref was forgotten.
        try:
            if cls in PLAIN:
                if cls is str:
                    return self.text(obj)
                return self.container(obj, obj, depth) if cls in CONTAINERS else obj
            convert = _converters.get(cls) or _find_converter(cls)
            if convert in self.by_value:
                return obj
            reduced = convert(_PROBE, obj)
        except Exception:
            return self.keep(obj)
        if reduced is _NO_VALUE:
            return self.keep(obj)
        marker, args = reduced
        if marker is not markers.plain:
            # The pickler writes it by its own class; what matters is that it can be written.
            return obj
        inner = args[0]
        if type(inner) is str:
            return self.text(inner)
        return self.container(obj, inner, depth) if type(inner) in CONTAINERS else inner

    def container(self, obj: Any, plain: Any, depth: int) -> Any:
        """Copies the items of `plain`, the builtin form of `obj`."""
        if id(obj) in self.active or depth >= _DEEPEST:
            return self.keep(obj)
        self.active.add(id(obj))
        try:
            if type(plain) is dict:
                items = list(plain.items())
                copied = {
                    self.copy(key, depth + 1): self.copy(value, depth + 1) for key, value in items
                }
                # Keys that became equal would swallow each other.
                return copied if len(copied) == len(items) else self.keep(obj)
            parts = [self.copy(item, depth + 1) for item in list(plain)]
            made = type(plain)(parts)
            return made if len(made) == len(parts) else self.keep(obj)
        except Exception:
            return self.keep(obj)
        finally:
            self.active.discard(id(obj))

    def text(self, obj: str) -> Any:
        try:
            obj.encode("utf-8")
        except UnicodeEncodeError:
            return self.keep(obj)
        return obj

    def keep(self, obj: Any) -> Kept:
        kept = self.kept.get(id(obj))
        if kept is None:
            kept = self.kept[id(obj)] = Kept(obj)
        return kept
