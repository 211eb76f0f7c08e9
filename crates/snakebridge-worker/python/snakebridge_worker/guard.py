"""What the host may name: lists of modules and names that are allowed, or denied.

A guard against mistakes, and no more: code that runs can do what it likes, and so can a function
that is given another one's name. It looks at names before anything is imported, and at modules
where a name leads from one into another. Without one, calls do not even come by here.
"""

from __future__ import annotations

import sys

from . import frames, operations, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .operations import Operation

_Module = type(sys)
# What an error may hold.
_MOST_NAMED = 10
# Bounds what is remembered for programs that make up names.
_MOST_PASSED = 10_000


class Guard:
    """Two lists of names, each of which stands for all that is in it; denied stays denied."""

    def __init__(self, allow: list[str] | None, deny: list[str]) -> None:
        self.allow = allow
        self.deny = deny
        # What was found and may be used: where it is called again, it is only looked up.
        self.passed: set[tuple[str, str]] = set()
        # Modules that have been looked at, by identity, with the names that they had then.
        self.known: dict[int, tuple[Any, list[str]]] = {}

    def install(self) -> None:
        """Has all requests of this worker looked at that name something."""

        def call(parts: tuple[Any, ...]) -> Any:
            function = self.find(parts[0], parts[1])
            if len(parts) == 3:
                return function(*parts[2])
            return function(*parts[2], **parts[3])

        def get(parts: tuple[Any, ...]) -> Any:
            return self.find(parts[0], parts[1])

        operations.replace(frames.CALL, call)
        operations.replace(frames.GET, get)
        for kind in (frames.METHOD, frames.ATTR, frames.SET_ATTR, frames.DEL_ATTR):
            operations.replace(kind, self.of_member(operations.OPERATIONS[kind]))

    def of_member(self, operation: Operation) -> Operation:
        """The same operation; on a module only with a name that may be used."""

        def guarded(parts: tuple[Any, ...]) -> Any:
            if isinstance(parts[0], _Module):
                self.check(self.names(parts[0]), parts[1])
            return operation(parts)

        return guarded

    def find(self, path: str, name: str) -> Any:
        """A dotted name in a module, as without a guard, if it may be used."""
        if (path, name) in self.passed:
            return operations.lookup(path, name)
        self.check([path], name)
        found = operations.find(path, name, self.look)
        if len(self.passed) < _MOST_PASSED:
            self.passed.add((path, name))
        return found

    def look(self, owner: Any, name: str) -> None:
        """Raises `Fault` where a dotted name leads through a module in which it may not be used."""
        if isinstance(owner, _Module):
            self.check(self.names(owner), name)

    def names(self, module: Any) -> list[str]:
        """The names by which a module can be imported: `os.path` is `posixpath` too."""
        known = self.known.get(id(module))
        if known is None:
            known = self.known[id(module)] = (module, _names(module))
        return known[1]

    def check(self, modules: list[str], name: str) -> None:
        """Raises `Fault` unless a name in a module, which has these names, may be used."""
        names = [f"{module}.{name}" for module in modules]
        for found in names:
            for rule in self.deny:
                if rules.covers([rule], found):
                    raise frames.Fault(frames.FAULT_NOT_ALLOWED, f"the guard denies `{rule}`")
        if self.allow is not None and not any(rules.covers(self.allow, found) for found in names):
            listed = ", ".join(f"`{rule}`" for rule in self.allow[:_MOST_NAMED]) or "nothing"
            more = ", ..." if len(self.allow) > _MOST_NAMED else ""
            text = f"the guard does not allow `{names[0]}`, only {listed}{more}"
            raise frames.Fault(frames.FAULT_NOT_ALLOWED, text)


def _names(module: Any) -> list[str]:
    names = [name for name, found in list(sys.modules.items()) if found is module]
    own = getattr(module, "__name__", None)
    return names if own in names or not isinstance(own, str) else [own, *names]
