"""Functions of the project's own Python files, called by name: `file.function`.

    name ---> allowed? ---> the file of that name ---> else the registries of all files ---> helper

Imported with the first call of a helper, and so are the files: each when a helper of it is wanted,
so that one that cannot be loaded harms nobody else. They are modules of a package that exists in
memory only, and can import each other: `from . import other`.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location

from . import frames, news, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable

    Helper = Callable[..., Any]
    # Path, time of change and size of a file.
    State = tuple[str, int, int]

PACKAGE = "snakebridge_helpers"
# Where a file says itself what it offers: a dict of names to functions, or a function that gives
# one.
_REGISTRIES = ("__snakebridge_helpers__", "snakebridge_helpers", "HELPERS")
_SUFFIX = ".py"
# What an error or an index may hold.
_MOST_NAMED = 10
_LEAST_LIKENESS = 0.75
_LONGEST_DOC = 8000
_LONGEST_DEFAULT = 200


class Helpers:
    """The helpers of a worker."""

    def __init__(self, paths: list[str], allow: list[str] | None, reload: bool) -> None:
        self.paths = paths
        self.allow = allow
        self.reload = reload
        # All files by module name, and those that offer helpers: later ones take the place of
        # earlier ones.
        self.sources: dict[str, str] = {}
        self.files: list[str] = []
        # What each file offers that was loaded, and what has been found by name.
        self.loaded: dict[str, dict[str, Helper]] = {}
        self.found: dict[str, Helper] = {}
        self.states: list[State] = []
        self.discover(_scan(paths))
        sys.meta_path.insert(0, _Finder(self))

    def find(self, name: str) -> Helper:
        """The helper with this name.

        Raises `Fault` if there is none, and what the file of that name raises when it is loaded.
        """
        if self.reload:
            self.look_again()
        helper = self.found.get(name)
        if helper is None:
            helper = self.found[name] = self.search(name)
        return helper

    def search(self, name: str) -> Helper:
        """The same, among the files."""
        if self.allow is not None and not rules.covers(self.allow, name):
            allowed = ", ".join(f"`{rule}`" for rule in self.allow[:_MOST_NAMED]) or "none"
            text = f"only these helpers are allowed: {allowed}"
            raise frames.Fault(frames.FAULT_NOT_ALLOWED, text)
        own = name.partition(".")[0]
        if own in self.files:
            offered = self.load(own)
            if name in offered:
                return offered[name]
        broken = self.load_all()
        for file in reversed(self.files):
            if name in self.loaded.get(file, ()):
                return self.loaded[file][name]
        raise frames.Fault(frames.FAULT_HELPER_NOT_FOUND, self.missing(name, broken))

    def load(self, file: str) -> dict[str, Helper]:
        """What a file offers; loads it first."""
        offered = self.loaded.get(file)
        if offered is None:
            try:
                offered = _offered(file, import_module(f"{PACKAGE}.{file}"))
            except BaseException as error:
                _add_note(error, f"raised while the helper file {self.sources[file]} was loaded")
                raise
            self.loaded[file] = offered
        return offered

    def load_all(self) -> dict[str, BaseException]:
        """Loads all files; gives the errors of those that cannot be loaded."""
        broken: dict[str, BaseException] = {}
        for file in self.files:
            try:
                self.load(file)
            except (Exception, SystemExit) as error:
                broken[file] = error
        return broken

    def index(self) -> dict[str, Any]:
        """All helpers that may be called, by name, and the files that cannot be loaded."""
        if self.reload:
            self.look_again()
        broken = self.load_all()
        errors = [(self.sources[file], _in_a_line(error)) for file, error in broken.items()]
        return {
            "helpers": [_describe(name, helper) for name, helper in sorted(self.known().items())],
            "broken": [{"file": file, "error": error} for file, error in errors],
        }

    def known(self) -> dict[str, Helper]:
        """The helpers of all files that are loaded, as far as they may be called."""
        known: dict[str, Helper] = {}
        own: dict[str, Helper] = {}
        for file in self.files:
            for name, helper in self.loaded.get(file, {}).items():
                if self.allow is None or rules.covers(self.allow, name):
                    (own if name.partition(".")[0] == file else known)[name] = helper
        return {**known, **own}

    def missing(self, name: str, broken: dict[str, BaseException]) -> str:
        """What to say of a name that no helper has."""
        from difflib import get_close_matches

        names = sorted(self.known())
        last = name.rpartition(".")[2]
        close = get_close_matches(name, names, 3, _LEAST_LIKENESS) or [
            known for known in names if known.rpartition(".")[2] == last
        ]
        if close:
            text = "did you mean " + " or ".join(f"`{known}`" for known in close[:3]) + "?"
        elif names:
            more = ", ..." if len(names) > _MOST_NAMED else ""
            text = "there are " + ", ".join(f"`{known}`" for known in names[:_MOST_NAMED]) + more
        else:
            text = "there are none in " + ", ".join(f"`{path}`" for path in self.paths)
        for file, error in list(broken.items())[:3]:
            text += f"; `{self.sources[file]}` cannot be loaded ({_in_a_line(error)})"
        return text

    def look_again(self) -> None:
        """Begins anew if a file has changed, has come, or is gone."""
        states = _scan(self.paths)
        if states != self.states:
            self.discover(states)
            if "linecache" in sys.modules:
                sys.modules["linecache"].checkcache()

    def discover(self, states: list[State]) -> None:
        """Takes note of the files that there are; forgets what was loaded."""
        self.states = states
        self.sources = {os.path.basename(path)[: -len(_SUFFIX)]: path for path, _, _ in states}
        self.files = [name for name in self.sources if not name.startswith("_")]
        self.loaded.clear()
        self.found.clear()
        for module in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
            del sys.modules[module]
        package = sys.modules[PACKAGE] = type(sys)(PACKAGE)
        # The last one first: there the search ends.
        package.__path__ = [path for path in reversed(self.paths) if os.path.isdir(path)]


class _Finder:
    """Finds the files for `import`, wherever they are."""

    def __init__(self, helpers: Helpers) -> None:
        self.helpers = helpers

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """What `import` needs to know of a module of the package; nothing of any other."""
        package, _, file = name.rpartition(".")
        source = self.helpers.sources.get(file) if package == PACKAGE else None
        if source is None:
            return None
        loader = _FreshLoader(name, source) if self.helpers.reload else None
        return spec_from_file_location(name, source, loader=loader)


class _FreshLoader(SourceFileLoader):
    """Compiles what is in the file, whatever was compiled before.

    Compiled files are told from newer sources by size and second, and people change a digit twice
    in a second.
    """

    def get_code(self, fullname: str) -> Any:
        """The code of the module."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _scan(paths: list[str]) -> list[State]:
    """The files of the folders by name, and those that are given by themselves, in order."""
    found = []
    for path in paths:
        try:
            names = [path]
            if os.path.isdir(path):
                names = [os.path.join(path, name) for name in sorted(os.listdir(path))]
            for name in names:
                stem = os.path.basename(name)[: -len(_SUFFIX)]
                if name.endswith(_SUFFIX) and stem and "." not in stem and stem != "__init__":
                    status = os.stat(name)
                    found.append((name, status.st_mtime_ns, status.st_size))
        except OSError:
            continue  # It is gone, or may not be read: then its helpers are missing.
    return found


def _offered(file: str, module: ModuleType) -> dict[str, Helper]:
    """What a file offers: what it says itself, else its public functions and classes."""
    for name in _REGISTRIES:
        registry = getattr(module, name, None)
        if registry is not None:
            if callable(registry):
                registry = registry()
            _check(registry, name)
            return dict(registry)
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, value in vars(module).items() if _is_public(name, value, module)]
    return {f"{file}.{name}": getattr(module, name) for name in names}


def _is_public(name: str, value: Any, module: ModuleType) -> bool:
    """Whether this is a function or class of the file itself, not one that it has imported."""
    if name.startswith("_") or not callable(value):
        return False
    return getattr(value, "__module__", None) == module.__name__


def _check(registry: Any, name: str) -> None:
    if not isinstance(registry, dict):
        found = type(registry).__name__
        raise TypeError(f"{name} is {found}, expected a dict of functions by name")
    for key, value in registry.items():
        if not isinstance(key, str) or not callable(value):
            raise TypeError(f"{name} has {key!r}: {value!r}, expected a function by its name")


def _describe(name: str, helper: Helper) -> dict[str, Any]:
    """What can be said of a helper without calling it."""
    import inspect

    try:
        parameters = list(map(_parameter, inspect.signature(helper).parameters.values()))
    except (TypeError, ValueError):
        parameters = None
    return {
        "name": name,
        "parameters": parameters,
        "doc": (inspect.getdoc(helper) or "")[:_LONGEST_DOC],
        "is_async": inspect.iscoroutinefunction(helper) or inspect.isasyncgenfunction(helper),
    }


def _parameter(parameter: Any) -> dict[str, Any]:
    """Name, kind, default and annotation of a parameter, as text."""
    import inspect

    default, annotation = parameter.default, parameter.annotation
    if annotation is not parameter.empty and not isinstance(annotation, str):
        annotation = inspect.formatannotation(annotation)
    return {
        "name": parameter.name,
        "kind": parameter.kind.name.lower(),
        "default": None if default is parameter.empty else repr(default)[:_LONGEST_DEFAULT],
        "annotation": None if annotation is parameter.empty else annotation,
    }


def _in_a_line(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _add_note(error: BaseException, note: str) -> None:
    """As `add_note`, which there is from Python 3.11 on."""
    try:
        notes = getattr(error, "__notes__", [])
        if note not in notes:
            error.__notes__ = [*notes, note]  # type: ignore[attr-defined]
    except Exception:
        pass  # It takes no attributes; then there is no note.


@cache
def of_worker() -> Helpers:
    """The helpers of this worker."""
    if news.helpers is None:
        raise frames.Fault(frames.FAULT_NOT_ALLOWED, "helpers are switched off")
    return Helpers(**news.helpers)
