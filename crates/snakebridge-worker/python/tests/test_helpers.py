from __future__ import annotations

import pathlib
import sys
import tempfile
import unittest
from typing import Any

from snakebridge_worker import frames, helpers, operations, rules
from snakebridge_worker.helpers import Helpers


class Files(unittest.TestCase):
    """Helpers in a folder; more of it is tested from Rust."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.finders = list(sys.meta_path)
        self.addCleanup(self.forget)

    def forget(self) -> None:
        sys.meta_path[:] = self.finders
        for name in [name for name in sys.modules if name.startswith(helpers.PACKAGE)]:
            del sys.modules[name]

    def make(self, reload: bool = False, **files: str) -> Helpers:
        for name, source in files.items():
            (self.folder / f"{name}.py").write_text(source)
        return Helpers([str(self.folder)], None, reload)

    def code_of(self, all_of: Helpers, name: str) -> int:
        with self.assertRaises(frames.Fault) as caught:
            all_of.find(name)
        return caught.exception.code

    def test_what_was_found_is_found_again_without_a_search(self) -> None:
        all_of = self.make(a="def f(): return 1\n")
        found = all_of.find("a.f")
        (self.folder / "a.py").unlink()
        self.assertIs(all_of.find("a.f"), found)

    def test_classes_can_be_pickled(self) -> None:
        import pickle

        made = self.make(a="class C: pass\n").find("a.C")()
        self.assertIs(type(pickle.loads(pickle.dumps(made))), type(made))

    def test_other_objects_have_to_be_listed(self) -> None:
        source = "from functools import lru_cache, partial\npow2 = partial(pow, 2)\nx = 1\n"
        source += "@lru_cache\ndef f(): return 1\n"
        all_of = self.make(a=source, b=source + "HELPERS = {'pow2': pow2}\n")
        self.assertEqual(all_of.find("pow2")(3), 8)
        self.assertEqual(all_of.find("a.f")(), 1)
        for name in ("a.pow2", "a.partial", "a.x", "b.f"):
            self.assertEqual(self.code_of(all_of, name), frames.FAULT_HELPER_NOT_FOUND, name)

    def test_a_folder_that_comes_later(self) -> None:
        all_of = Helpers([str(self.folder / "later")], None, reload=True)
        self.assertEqual(self.code_of(all_of, "a.f"), frames.FAULT_HELPER_NOT_FOUND)
        (self.folder / "later").mkdir()
        (self.folder / "later" / "a.py").write_text("def f(): return 1\n")
        self.assertEqual(all_of.find("a.f")(), 1)

    def test_an_interrupt_is_not_taken_for_a_broken_file(self) -> None:
        all_of = self.make(a="raise KeyboardInterrupt\n")
        with self.assertRaises(KeyboardInterrupt):
            all_of.find("nothing")

    def test_errors_that_take_no_notes(self) -> None:
        class Odd(Exception):
            __slots__ = ()

            def __setattr__(self, name: str, value: Any) -> None:
                raise TypeError(name)

        helpers._add_note(Odd(), "ignored")

    def test_no_value_is_lost_of_an_index(self) -> None:
        index = self.make(a="def f(x=[1]): 'doc'\n").index()
        parameter = {
            "name": "x",
            "kind": "positional_or_keyword",
            "default": "[1]",
            "annotation": None,
        }
        helper = {"name": "a.f", "parameters": [parameter], "doc": "doc", "is_async": False}
        self.assertEqual(index, {"helpers": [helper], "broken": []})


class Settings(unittest.TestCase):
    def test_no_helpers(self) -> None:
        for parts in (("a.f", ()), ("a.f", (), {"x": 1})):
            with self.assertRaises(frames.Fault) as caught:
                operations.helper(parts)
            self.assertEqual(caught.exception.code, frames.FAULT_NOT_ALLOWED)

    def test_the_name_of_a_call(self) -> None:
        self.assertEqual(operations.describe(operations.helper, ("a.f", ())), "a.f")
        self.assertEqual(operations.describe(operations.helpers, ()), "helpers")

    def test_rules(self) -> None:
        self.assertTrue(rules.covers(["a.b", "c"], "a.b"))
        self.assertTrue(rules.covers(["a.b", "c"], "c.d.e"))
        self.assertFalse(rules.covers(["a.b", "c"], "a"))
        self.assertFalse(rules.covers(["a.b", "c"], "a.bc"))
        self.assertFalse(rules.covers([], "a"))


if __name__ == "__main__":
    unittest.main()
