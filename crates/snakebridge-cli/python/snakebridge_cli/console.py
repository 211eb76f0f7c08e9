"""Runs what is typed: at the prompt, on the command line, or in a file."""

from __future__ import annotations

import ast
import builtins
import codeop
import keyword
import linecache
import os
import sys
import traceback
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

# Frames of this file are left out of what people see.
_OWN = __file__ if "__file__" in globals() else "<snakebridge>"

_state: dict[str, Any] = {"typed": 0}


def start() -> None:
    """Makes the module in which all that is typed runs: `__main__`, as at Python's own prompt."""
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    _state["names"] = main.__dict__


def names() -> dict[str, Any]:
    """The names of that module."""
    if "names" not in _state:
        start()
    found: dict[str, Any] = _state["names"]
    return found


def pid() -> int:
    """Of the worker, which is interrupted by a signal."""
    return os.getpid()


def is_incomplete(source: str) -> bool:
    """Whether more lines have to follow before this can be run."""
    try:
        return codeop.compile_command(source, "<input>", "single") is None
    except (SyntaxError, ValueError, OverflowError):
        return False  # Running it says what is wrong; it may also be several statements.


def run(source: str, mark: str) -> int | None:
    """Runs what was typed, and shows the values of expressions, or the traceback.

    The mark is printed to both streams at the end, so that the host knows when it has seen all.
    The code to exit with, where the program is to end.
    """
    _state["typed"] += 1
    filename = f"<input-{_state['typed']}>"
    lines = f"{source}\n".splitlines(True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    try:
        for statement in _parse(source, filename):
            code = compile(ast.Interactive([statement]), filename, "single", dont_inherit=True)
            exec(code, names())
    except SystemExit as error:
        return exit_code(error)
    except BaseException as error:
        show(error)
    finally:
        _mark(mark)
    return None


def _parse(source: str, filename: str) -> list[ast.stmt]:
    # Not `ast.parse`, whose frame would be in the traceback of a SyntaxError.
    tree = compile(source, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    return tree.body if isinstance(tree, ast.Module) else []


def _mark(mark: str) -> None:
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
            os.write(number, mark.encode("ascii"))
        except (OSError, ValueError, AttributeError):
            pass  # Closed by what was run: the host does not wait for ever.


def show(error: BaseException) -> None:
    """Prints an exception as Python does, without the frames of this file."""
    trace = _without_own(error.__traceback__)
    lines = traceback.format_exception(type(error), error, trace)
    sys.stderr.write("".join(lines))


def _without_own(trace: TracebackType | None) -> TracebackType | None:
    runpy = getattr(sys.modules.get("runpy"), "__file__", None)
    own = (_OWN, runpy, "<frozen runpy>")
    while trace is not None and trace.tb_frame.f_code.co_filename in own:
        trace = trace.tb_next
    return trace


def evaluate(source: str) -> Any:
    """The value of an expression, which statements may precede. None if there is none.

    Modules that it names, and that nothing else has this name, are imported.
    """
    body = _parse(source, "<expression>")
    space = names()
    _import_named(body, space)
    value = None
    for statement in body:
        value = None
        if isinstance(statement, ast.Expr):
            code = compile(
                ast.Expression(statement.value), "<expression>", "eval", dont_inherit=True
            )
            value = eval(code, space)  # noqa: S307  # That is what it is for.
        else:
            module = ast.Module([statement], [])
            exec(compile(module, "<expression>", "exec", dont_inherit=True), space)
    return value


def _import_named(body: list[ast.stmt], space: dict[str, Any]) -> None:
    nodes = list(ast.walk(ast.Module(body, [])))
    made = {name for node in nodes for name in _made_by(node)}
    for node in nodes:
        if not isinstance(node, ast.Name) or hasattr(builtins, node.id):
            continue
        if node.id not in made and node.id not in space:
            _import(node.id, space)


def _made_by(node: ast.AST) -> list[str]:
    """The names that a piece of code defines."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(name.asname or name.name).partition(".")[0] for name in node.names]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    return []


def _import(name: str, space: dict[str, Any]) -> None:
    from importlib import import_module

    try:
        space[name] = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise  # It is there, and misses another one.


def run_file(path: str, args: list[str]) -> int:
    """Runs a file as a program, and gives its exit code."""
    import runpy

    sys.argv = [path, *args]
    if os.path.isfile(path):
        # What lies beside it can be imported, as with Python itself.
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as error:
        return exit_code(error)
    except KeyboardInterrupt:
        raise  # The call took too long: the host says so.
    except BaseException as error:
        show(error)
        return 1
    return 0


def exit_code(error: SystemExit) -> int:
    """What Python would exit with."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def complete(line: str) -> tuple[int, list[str]]:
    """What the last word of a line could become: where it begins, and whole words."""
    begin = len(line)
    while begin and (line[begin - 1].isalnum() or line[begin - 1] in "_."):
        begin -= 1
    word, before = line[begin:], line[:begin].split()
    if before[:1] == ["from"] and "import" in before[2:]:
        # `from os.path import jo`
        return begin, _matches(word, "", _members_of_module(before[1]))
    if before[:1] in (["from"], ["import"]):
        return begin, _modules(word)
    owner, dot, name = word.rpartition(".")
    if dot:
        return begin, _attributes(owner, name)
    return begin, _matches(name, "", [*names(), *dir(builtins), *keyword.kwlist])


def _matches(name: str, prefix: str, candidates: list[str]) -> list[str]:
    private = name.startswith("_")
    found = {
        each
        for each in candidates
        if each.startswith(name) and (private or not each.startswith("_"))
    }
    return [prefix + each for each in sorted(found)]


def _attributes(owner: str, name: str) -> list[str]:
    """Only names are followed: nothing is called for a completion."""
    first, *rest = owner.split(".")
    try:
        value = names()[first] if first in names() else getattr(builtins, first)
        for part in rest:
            value = getattr(value, part)
        return _matches(name, owner + ".", dir(value))
    except Exception:
        return []


def _modules(word: str) -> list[str]:
    import pkgutil

    parent, dot, name = word.rpartition(".")
    if not dot:
        found = [each.name for each in pkgutil.iter_modules()]
        return _matches(name, "", [*found, *sys.builtin_module_names])
    path = getattr(_imported(parent), "__path__", None)
    if path is None:
        return []
    return _matches(name, parent + ".", [each.name for each in pkgutil.iter_modules(path)])


def _members_of_module(name: str) -> list[str]:
    module = _imported(name)
    return [] if module is None else dir(module)


def _imported(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except Exception:
        return None


def look_up(expression: str) -> Any:
    """What `?name` is about: a name at the prompt, or else a module."""
    first, *rest = expression.split(".")
    space = names()
    if first in space or hasattr(builtins, first):
        value = space[first] if first in space else getattr(builtins, first)
        for part in rest:
            value = getattr(value, part)
        return value
    from .inspection import resolve

    return resolve(expression)
