"""What the requests do: one function a kind, from the parts of the body to the result."""

from __future__ import annotations

import sys

from . import frames, streams
from .sessions import class_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Callable

    Operation = Callable[[tuple[Any, ...]], Any]

_MISSING = object()


def call(parts: tuple[Any, ...]) -> Any:
    """`(module, function, args[, kwargs])`."""
    if len(parts) == 3:
        path, name, args = parts
        return lookup(path, name)(*args)
    path, name, args, kwargs = parts
    return lookup(path, name)(*args, **kwargs)


def lookup(path: str, name: str) -> Any:
    """A name in a module, by the short way if it is there."""
    module = sys.modules.get(path)
    if module is None or "." in name:
        return find(path, name)
    found = getattr(module, name, _MISSING)
    # The module may be on its way in, by another thread: importing it waits for that.
    return find(path, name) if found is _MISSING else found


def get(parts: tuple[Any, ...]) -> Any:
    """`(module, name)`."""
    return find(parts[0], parts[1])


def find(path: str, name: str, check: Callable[[Any, str], None] | None = None) -> Any:
    """A dotted name in a module; the path may go on past the module into its names.

    `check` is given all that the name leads through, with what is left of the name there.
    """
    owner, past, missing = module(path)
    parts = [*past, *name.split(".")]
    try:
        for place, part in enumerate(parts):
            if check is not None:
                check(owner, ".".join(parts[place:]))
            try:
                owner = getattr(owner, part)
            except (AttributeError, ModuleNotFoundError):
                if place >= len(past) or missing is None:
                    raise
                raise missing from None
        return owner
    finally:
        # Once it is raised it refers to this frame.
        del missing


def module(path: str) -> tuple[Any, list[str], ModuleNotFoundError | None]:
    """The longest importable prefix of a dotted path, and the names after it.

    Also what to raise where one of these is missing.
    """
    from importlib import import_module

    try:
        return import_module(path), [], None
    except ModuleNotFoundError as error:
        # Only if it is the path itself that is missing, not something that a module of it imports.
        parent, _, name = path.rpartition(".")
        missing = error.name
        if not parent or missing is None or not f"{path}.".startswith(f"{missing}."):
            raise
        try:
            owner, past, _ = module(parent)
        except ModuleNotFoundError:
            pass
        else:
            return owner, [*past, name], error
        raise


def method(parts: tuple[Any, ...]) -> Any:
    """`(target, name, args[, kwargs])`."""
    function = getattr(parts[0], parts[1])
    if len(parts) == 3:
        return function(*parts[2])
    return function(*parts[2], **parts[3])


def invoke(parts: tuple[Any, ...]) -> Any:
    """`(target, args[, kwargs])`."""
    if len(parts) == 2:
        return parts[0](*parts[1])
    return parts[0](*parts[1], **parts[2])


def attr(parts: tuple[Any, ...]) -> Any:
    """`(target, name)`."""
    return getattr(parts[0], parts[1])


def set_attr(parts: tuple[Any, ...]) -> None:
    """`(target, name, value)`."""
    setattr(parts[0], parts[1], parts[2])


def del_attr(parts: tuple[Any, ...]) -> None:
    """`(target, name)`."""
    delattr(parts[0], parts[1])


def item(parts: tuple[Any, ...]) -> Any:
    """`(target, key)`."""
    return parts[0][parts[1]]


def set_item(parts: tuple[Any, ...]) -> None:
    """`(target, key, value)`."""
    parts[0][parts[1]] = parts[2]


def del_item(parts: tuple[Any, ...]) -> None:
    """`(target, key)`."""
    del parts[0][parts[1]]


def length(parts: tuple[Any, ...]) -> int:
    """`(target,)`."""
    return len(parts[0])


def contains(parts: tuple[Any, ...]) -> bool:
    """`(target, item)`."""
    return parts[1] in parts[0]


def to_str(parts: tuple[Any, ...]) -> str:
    """`(target,)`."""
    return str(parts[0])


def to_repr(parts: tuple[Any, ...]) -> str:
    """`(target,)`."""
    return repr(parts[0])


def helper(parts: tuple[Any, ...]) -> Any:
    """`(name, args[, kwargs])`: a function of the project's own files."""
    from .helpers import of_worker

    function = of_worker().find(parts[0])
    if len(parts) == 2:
        return function(*parts[1])
    return function(*parts[1], **parts[2])


def helpers(parts: tuple[Any, ...]) -> Any:
    """`()`: what helpers there are."""
    from .helpers import of_worker

    return of_worker().index()


def iterate(parts: tuple[Any, ...]) -> streams.Batch:
    """`(target,)`: its first items."""
    return streams.begin(parts[0])


def step(parts: tuple[Any, ...]) -> streams.Batch:
    """`(target, count)`: the next items of an iterator, this many at most."""
    return streams.take(parts[0], parts[1])


def _iterated(operation: Operation) -> Operation:
    """The same, with the first items of the result as its result."""
    return lambda parts: streams.begin_result(operation(parts))


OPERATIONS: dict[int, Operation] = {
    frames.CALL: call,
    frames.GET: get,
    frames.METHOD: method,
    frames.ATTR: attr,
    frames.SET_ATTR: set_attr,
    frames.DEL_ATTR: del_attr,
    frames.ITEM: item,
    frames.SET_ITEM: set_item,
    frames.DEL_ITEM: del_item,
    frames.INVOKE: invoke,
    frames.LEN: length,
    frames.CONTAINS: contains,
    frames.STR: to_str,
    frames.REPR: to_repr,
    frames.ITER: iterate,
    frames.NEXT: step,
    frames.HELPER: helper,
    frames.HELPERS: helpers,
}

_BY_CODE = {operation.__code__: operation for operation in OPERATIONS.values()}
# Those whose results may be iterated over, or awaited, by the same request.
WITH_RESULTS = (
    frames.CALL,
    frames.GET,
    frames.METHOD,
    frames.ATTR,
    frames.ITEM,
    frames.INVOKE,
    frames.HELPER,
)
OPERATIONS.update((kind + frames.ITERATED, _iterated(OPERATIONS[kind])) for kind in WITH_RESULTS)


def replace(kind: int, operation: Operation) -> None:
    """Has another operation in the place of one, which keeps its name."""
    _BY_CODE[operation.__code__] = _original(OPERATIONS[kind])
    OPERATIONS[kind] = operation
    if kind in WITH_RESULTS:
        OPERATIONS[kind + frames.ITERATED] = _iterated(operation)


def _original(operation: Operation) -> Operation:
    return _BY_CODE.get(operation.__code__, operation)


_OF_MODULES = (call, get)
_OF_MEMBERS = (method, attr, set_attr, del_attr)
_OF_HELPERS = (helper, helpers)


def running(frame: FrameType | None) -> str | None:
    """The call that a stack carries out, by name: `module.function`, `module.Class.method`."""
    while frame is not None:
        operation = _BY_CODE.get(frame.f_code)
        if operation is not None:
            return describe(operation, frame.f_locals["parts"])
        frame = frame.f_back
    return None


def describe(operation: Operation, parts: tuple[Any, ...]) -> str:
    """What an operation does, by name."""
    operation = _original(operation)
    if operation in _OF_MODULES:
        return f"{parts[0]}.{parts[1]}"
    if operation in _OF_HELPERS:
        return str(parts[0]) if parts else "helpers"
    owner = ".".join(class_name(type(parts[0])))
    return f"{owner}.{parts[1]}" if operation in _OF_MEMBERS else owner
