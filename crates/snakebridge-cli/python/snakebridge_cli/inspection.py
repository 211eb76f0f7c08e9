"""What can be said of an object: its kind, signature, documentation, source and members."""

from __future__ import annotations

import inspect
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def resolve(path: str) -> Any:
    """The object with a dotted name: as many parts of it as possible are a module."""
    from importlib import import_module

    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        try:
            found: Any = import_module(name)
        except ModuleNotFoundError as error:
            if count == 1 or error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(f"No module named {path!r}")


def describe_path(path: str, private: bool) -> dict[str, Any]:
    """Describes what has a dotted name."""
    return describe(path, resolve(path), private)


def describe_typed(expression: str) -> dict[str, Any]:
    """Describes what has a name at the prompt."""
    from .console import look_up

    return describe(expression, look_up(expression), False)


def describe(name: str, found: Any, private: bool) -> dict[str, Any]:
    """All that is known, as plain values."""
    kind = kind_of(found)
    return {
        "name": name,
        "kind": kind,
        "type": _type_name(found),
        "signature": _signature(found),
        "value": _repr(found) if kind == "value" else None,
        "doc": _doc(found, kind),
        "module": getattr(found, "__module__", None) if kind != "module" else None,
        "version": _version(found),
        "bases": [_class_name(base) for base in found.__bases__] if isinstance(found, type) else [],
        "file": _file(found),
        "line": _line(found),
        "source": _source(found),
        "members": _members(found, kind, private),
    }


def kind_of(found: Any) -> str:
    """A word for people: module, class, function, value."""
    if isinstance(found, ModuleType):
        return "module"
    if isinstance(found, type):
        return "exception" if issubclass(found, BaseException) else "class"
    if isinstance(found, property) or inspect.isdatadescriptor(found):
        return "property"
    if inspect.ismethod(found):
        return "method"
    return "function" if callable(found) else "value"


def _signature(found: Any) -> str | None:
    if not callable(found):
        return None
    try:
        return str(inspect.signature(found))
    except (ValueError, TypeError):
        # Builtins often say it in the first line of their documentation: `dict(**kwargs) -> ..`.
        first = (inspect.getdoc(found) or "").partition("\n")[0]
        name = getattr(found, "__name__", None)
        return first[len(name) :] if name and first.startswith(f"{name}(") else None


def _doc(found: Any, kind: str) -> str | None:
    try:
        doc = inspect.getdoc(type(found)) if kind == "value" else inspect.getdoc(found)
    except Exception:
        return None
    return doc or None


def _version(found: Any) -> str | None:
    version = getattr(found, "__version__", None) if isinstance(found, ModuleType) else None
    return version if isinstance(version, str) else None


def _file(found: Any) -> str | None:
    try:
        return inspect.getsourcefile(found) or inspect.getfile(found)
    except (TypeError, OSError):
        return None


def _line(found: Any) -> int | None:
    try:
        return None if isinstance(found, ModuleType) else inspect.getsourcelines(found)[1]
    except (TypeError, OSError):
        return None


def _source(found: Any) -> str | None:
    try:
        return inspect.getsource(found)
    except (TypeError, OSError):
        return None


def _members(found: Any, kind: str, private: bool) -> list[dict[str, Any]]:
    if kind not in ("module", "class", "exception"):
        return []
    out = []
    for name in _member_names(found, private):
        try:
            member = getattr(found, name)
        except Exception:
            # One that computes itself, and fails.
            out.append({"name": name, "kind": "value", "signature": None, "summary": None})
            continue
        kind_of_member = kind_of(member)
        if kind_of_member == "module" and not _is_submodule(found, member):
            continue
        doc = None if kind_of_member == "value" else _doc(member, kind_of_member)
        summary = _repr(member) if kind_of_member == "value" else _summary(doc)
        out.append(
            {
                "name": name,
                "kind": kind_of_member,
                "signature": _signature(member),
                "summary": summary,
            }
        )
    return out


def _member_names(found: Any, private: bool) -> list[str]:
    """Of a module with `__all__`, what that says."""
    listed = getattr(found, "__all__", None) if isinstance(found, ModuleType) else None
    if isinstance(listed, (list, tuple)) and not private:
        return sorted(name for name in listed if isinstance(name, str))
    return [name for name in dir(found) if private or not name.startswith("_")]


def _is_submodule(owner: Any, module: ModuleType) -> bool:
    return module.__name__.startswith(f"{getattr(owner, '__name__', '')}.")


def _summary(doc: str | None) -> str | None:
    for line in (doc or "").splitlines():
        text = line.strip()
        # The first line of builtins is mostly their signature.
        if text and "->" not in text and not text.endswith(")"):
            return text
    return None


def _repr(found: Any) -> str:
    import reprlib

    short = reprlib.Repr()
    short.maxstring = short.maxother = 70
    return short.repr(found)  # Of what fails to show itself it says the class.


def _type_name(found: Any) -> str:
    return _class_name(type(found))


def _class_name(found: type) -> str:
    module = found.__module__
    return found.__qualname__ if module == "builtins" else f"{module}.{found.__qualname__}"
