from __future__ import annotations

import datetime
import os
import pathlib
import sys
import tempfile
import unittest
from typing import Any

from snakebridge_worker import frames, operations
from snakebridge_worker.operations import OPERATIONS, WITH_RESULTS

MODULES = {
    "sb_plain": "value = 1\nclass Outer:\n    class Inner:\n        value = 2\n",
    "sb_lazy": "def __getattr__(name):\n"
    "    if name == 'late':\n        return 'came late'\n"
    "    raise AttributeError(f'no {name} here')\n",
    "sb_needs": "import sb_missing_dependency\n",
    "sb_broken": "count = 1 / 0\n",
    "sb_typo": "def f(:\n",
    "sb_package/__init__": "",
    "sb_package/part": "value = 3\n",
    "sb_package/needs": "import sb_package.missing_part\n",
}


class Lookup(unittest.TestCase):
    """What a module path and a name stand for."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, source in MODULES.items():
            file = pathlib.Path(folder.name, f"{name}.py")
            file.parent.mkdir(exist_ok=True)
            file.write_text(source)
        sys.path.insert(0, folder.name)
        self.addCleanup(self.forget, folder.name)

    def forget(self, folder: str) -> None:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.startswith("sb_")]:
            del sys.modules[name]

    def get(self, module: str, name: str) -> Any:
        return operations.get((module, name))

    def test_a_name_of_a_module(self) -> None:
        self.assertEqual(self.get("sb_plain", "value"), 1)
        self.assertEqual(self.get("sb_package.part", "value"), 3)
        self.assertIs(self.get("os.path", "join"), os.path.join)

    def test_dotted_names_go_into_classes(self) -> None:
        self.assertEqual(self.get("sb_plain", "Outer.Inner.value"), 2)
        self.assertEqual(operations.call(("pathlib", "Path.cwd", ())), pathlib.Path.cwd())

    def test_a_path_may_go_on_past_the_module(self) -> None:
        self.assertEqual(self.get("sb_plain.Outer", "Inner.value"), 2)
        self.assertEqual(self.get("sb_plain.Outer.Inner", "value"), 2)
        self.assertIs(self.get("datetime.datetime", "now").__self__, datetime.datetime)

    def test_lazy_names(self) -> None:
        for _ in range(2):
            self.assertEqual(self.get("sb_lazy", "late"), "came late")
            self.assertEqual(operations.call(("sb_lazy", "late.upper", ())), "CAME LATE")
        with self.assertRaisesRegex(AttributeError, "no early here"):
            self.get("sb_lazy", "early")
        with self.assertRaisesRegex(AttributeError, "no early here"):
            operations.call(("sb_lazy", "early", ()))

    def test_what_is_missing_is_named_as_a_whole(self) -> None:
        for path, missing in [
            ("sb_nowhere", "sb_nowhere"),
            ("sb_nowhere.inner", "sb_nowhere"),
            ("sb_plain.nothing", "sb_plain.nothing"),
            ("sb_plain.Outer.Nothing", "sb_plain.Outer"),
            ("sb_package.nothing", "sb_package.nothing"),
        ]:
            with self.subTest(path=path):
                with self.assertRaises(ModuleNotFoundError) as caught:
                    self.get(path, "x")
                self.assertEqual(caught.exception.name, missing)
        with self.assertRaisesRegex(AttributeError, "sb_plain"):
            self.get("sb_plain", "nothing")

    def test_errors_inside_a_module_are_reported_as_they_are(self) -> None:
        for _ in range(2):
            with self.assertRaisesRegex(ModuleNotFoundError, "sb_missing_dependency"):
                self.get("sb_needs", "x")
            with self.assertRaisesRegex(ModuleNotFoundError, "sb_package.missing_part"):
                self.get("sb_package.needs", "x")
            with self.assertRaises(ZeroDivisionError):
                self.get("sb_broken", "count")
            with self.assertRaises(ZeroDivisionError):
                self.get("sb_broken.Outer", "count")
            with self.assertRaises(SyntaxError):
                self.get("sb_typo", "f")
        self.assertEqual(self.get("sb_plain", "value"), 1)

    def test_a_module_that_was_blocked(self) -> None:
        sys.modules["sb_blocked"] = None  # type: ignore[assignment]
        with self.assertRaises(ModuleNotFoundError):
            operations.call(("sb_blocked", "f", ()))


class Calls(unittest.TestCase):
    def run_kind(self, kind: int, *parts: Any) -> Any:
        return OPERATIONS[kind](parts)

    def test_functions(self) -> None:
        self.assertEqual(self.run_kind(frames.CALL, "math", "sqrt", (16,)), 4)
        keywords = {"odd name": 1}
        self.assertEqual(self.run_kind(frames.CALL, "builtins", "dict", (), keywords), keywords)
        self.assertEqual(self.run_kind(frames.GET, "os", "sep"), os.sep)
        with self.assertRaises(TypeError):
            self.run_kind(frames.CALL, "math", "pi", ())

    def test_methods_and_attributes(self) -> None:
        thing = [3, 1, 2]
        self.run_kind(frames.METHOD, thing, "sort", (), {"reverse": True})
        self.assertEqual(thing, [3, 2, 1])
        self.assertEqual(self.run_kind(frames.METHOD, "a-b", "split", ("-",)), ["a", "b"])
        self.assertEqual(self.run_kind(frames.ATTR, 1j, "imag"), 1)
        with self.assertRaises(AttributeError):
            self.run_kind(frames.ATTR, thing, "nothing")

        class Bag:
            x: int

        bag = Bag()
        self.assertIsNone(self.run_kind(frames.SET_ATTR, bag, "x", 5))
        self.assertEqual(bag.x, 5)
        self.assertIsNone(self.run_kind(frames.DEL_ATTR, bag, "x"))
        self.assertFalse(hasattr(bag, "x"))

    def test_items(self) -> None:
        table = {(0, 0): "origin"}
        self.assertEqual(self.run_kind(frames.ITEM, table, (0, 0)), "origin")
        self.assertIsNone(self.run_kind(frames.SET_ITEM, table, 1, "one"))
        self.assertIsNone(self.run_kind(frames.DEL_ITEM, table, (0, 0)))
        self.assertEqual(table, {1: "one"})
        with self.assertRaises(KeyError):
            self.run_kind(frames.DEL_ITEM, table, 2)

    def test_the_object_itself(self) -> None:
        self.assertEqual(self.run_kind(frames.INVOKE, int, ("7",)), 7)
        self.assertEqual(self.run_kind(frames.INVOKE, int, ("ff",), {"base": 16}), 255)

        class Caller:
            def __call__(self) -> str:
                return "instance"

        self.assertIsInstance(self.run_kind(frames.INVOKE, Caller, ()), Caller)
        self.assertEqual(self.run_kind(frames.INVOKE, Caller(), ()), "instance")

    def test_special_methods(self) -> None:
        self.assertEqual(self.run_kind(frames.LEN, "abc"), 3)
        self.assertIs(self.run_kind(frames.CONTAINS, "abc", "b"), True)
        self.assertEqual(self.run_kind(frames.STR, 1.0), "1.0")
        self.assertEqual(self.run_kind(frames.REPR, "a"), "'a'")

    def test_every_kind_of_request_has_its_operation(self) -> None:
        iterated = [kind + frames.ITERATED for kind in WITH_RESULTS]
        kinds = [*range(frames.CALL, frames.ITER + 1), frames.HELPER, frames.HELPERS, *iterated]
        self.assertEqual(sorted(OPERATIONS), sorted(kinds))


class Running(unittest.TestCase):
    """The name of the call that a stack carries out."""

    def test_all_kinds(self) -> None:
        class Thing:
            @property
            def value(self) -> Any:
                return operations.running(sys._getframe())

            def method(self) -> Any:
                return self.value

            def __getitem__(self, key: Any) -> Any:
                return self.value

        thing, name = Thing(), f"{__name__}.{Thing.__qualname__}"
        self.assertEqual(operations.method((thing, "method", ())), f"{name}.method")
        self.assertEqual(operations.attr((thing, "value")), f"{name}.value")
        self.assertEqual(operations.item((thing, 0)), name)
        here = f"{__name__}.running_here"
        self.assertEqual(operations.call((__name__, "running_here", ())), here)

    def test_the_innermost_counts(self) -> None:
        inner = (operations.call, ((__name__, "running_here", ()),))
        self.assertEqual(operations.invoke((inner[0], inner[1])), f"{__name__}.running_here")

    def test_no_call_at_all(self) -> None:
        self.assertIsNone(running_here())


def running_here() -> Any:
    return operations.running(sys._getframe())


if __name__ == "__main__":
    unittest.main()
