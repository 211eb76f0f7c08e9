from __future__ import annotations

import os
import sys
import unittest
from typing import Any

from snakebridge_worker import frames, operations
from snakebridge_worker.guard import Guard
from snakebridge_worker.operations import OPERATIONS


class Names(unittest.TestCase):
    """Which names may be used."""

    def refused(self, guard: Guard, path: str, name: str) -> str:
        with self.assertRaises(frames.Fault) as caught:
            guard.find(path, name)
        self.assertEqual(caught.exception.code, frames.FAULT_NOT_ALLOWED)
        return str(caught.exception)

    def test_what_is_denied(self) -> None:
        guard = Guard(None, ["os.system", "subprocess"])
        self.assertIs(guard.find("os", "getcwd"), os.getcwd)
        for path, name in [("os", "system"), ("subprocess", "run"), ("subprocess", "a.b")]:
            self.refused(guard, path, name)

    def test_what_is_allowed(self) -> None:
        guard = Guard(["json", "os.path.join"], ["json.tool"])
        self.assertEqual(guard.find("json", "loads")("1"), 1)
        self.assertEqual(guard.find("json.decoder", "JSONDecoder").__name__, "JSONDecoder")
        self.assertIs(guard.find("os.path", "join"), os.path.join)
        self.assertIs(guard.find("os", "path.join"), os.path.join)
        for path, name in [("os", "getcwd"), ("os.path", "exists"), ("json.tool", "main")]:
            self.refused(guard, path, name)
        self.assertEqual(
            self.refused(guard, "os", "getcwd"),
            "the guard does not allow `os.getcwd`, only `json`, `os.path.join`",
        )

    def test_nothing_is_allowed(self) -> None:
        text = self.refused(Guard([], []), "os", "getcwd")
        self.assertEqual(text, "the guard does not allow `os.getcwd`, only nothing")

    def test_what_is_refused_is_not_imported(self) -> None:
        sys.modules.pop("this", None)
        self.refused(Guard(["json"], []), "this", "s")
        self.refused(Guard(None, ["this"]), "this", "s")
        self.assertNotIn("this", sys.modules)

    def test_modules_that_another_one_has_imported(self) -> None:
        allowing, denying = Guard(["json"], []), Guard(None, ["codecs.open"])
        for path, name in [("json", "codecs.open"), ("json.codecs", "open")]:
            self.refused(allowing, path, name)
            self.refused(denying, path, name)

    def test_modules_within_the_path(self) -> None:
        allowing, denying = Guard(["json", "os.path.join"], []), Guard(None, ["os"])
        for path, name in [("json.codecs.open", "__call__"), ("json.codecs.builtins", "open")]:
            self.refused(allowing, path, name)
        for path, name in [("shutil.os.system", "__call__"), ("shutil.os", "path.join")]:
            self.refused(denying, path, name)
        scan = allowing.find("json.decoder.JSONDecoder", "decode")
        self.assertEqual(scan.__qualname__, "JSONDecoder.decode")
        self.assertIs(allowing.find("os.path.join", "__call__").__self__, os.path.join)

    def test_what_is_missing_is_said_as_without_a_guard(self) -> None:
        for path, name in [("json.nothing", "x"), ("json.JSONDecoder.nothing", "x"), ("json", "x")]:
            errors = []
            for find in (operations.find, Guard(["json"], []).find):
                with self.assertRaises((AttributeError, ModuleNotFoundError)) as caught:
                    find(path, name)
                errors.append(repr(caught.exception))
            self.assertEqual(errors[0], errors[1])

    def test_other_names_of_a_module(self) -> None:
        path = sys.modules["os.path"].__name__
        self.refused(Guard(None, [f"{path}.join"]), "os.path", "join")
        self.refused(Guard(None, ["os.path.join"]), path, "join")

    def test_names_that_only_begin_like_others(self) -> None:
        self.refused(Guard(["os.get"], []), "os", "getcwd")
        self.assertIs(Guard(None, ["os.get"]).find("os", "getcwd"), os.getcwd)


class Requests(unittest.TestCase):
    """All kinds of requests that name something."""

    def setUp(self) -> None:
        before = dict(OPERATIONS)
        self.addCleanup(OPERATIONS.update, before)
        Guard(["json", "builtins.len"], []).install()

    def run_kind(self, kind: int, *parts: Any) -> Any:
        return OPERATIONS[kind](parts)

    def refused(self, kind: int, *parts: Any) -> None:
        with self.assertRaises(frames.Fault):
            self.run_kind(kind, *parts)

    def test_functions_and_names(self) -> None:
        for keywords in ((), ({"indent": None},)):
            self.assertEqual(self.run_kind(frames.CALL, "json", "dumps", ([1],), *keywords), "[1]")
        self.assertEqual(self.run_kind(frames.GET, "json", "__name__"), "json")
        for kind in (frames.CALL, frames.CALL + frames.ITERATED):
            self.refused(kind, "os", "listdir", ())
        for kind in (frames.GET, frames.GET + frames.ITERATED):
            self.refused(kind, "os", "sep")

    def test_members_of_modules(self) -> None:
        json = sys.modules["json"]
        self.assertEqual(self.run_kind(frames.METHOD, json, "loads", ("1",)), 1)
        for kind in (frames.METHOD, frames.METHOD + frames.ITERATED):
            self.refused(kind, os, "listdir", ())
        for kind in (frames.ATTR, frames.ATTR + frames.ITERATED, frames.DEL_ATTR):
            self.refused(kind, os, "sep")
        self.refused(frames.SET_ATTR, os, "sep", "")

    def test_members_of_anything_else(self) -> None:
        self.assertEqual(self.run_kind(frames.METHOD, "a-b", "split", ("-",)), ["a", "b"])
        self.assertEqual(self.run_kind(frames.ATTR, 1j, "imag"), 1)

    def test_the_name_of_the_call_that_runs(self) -> None:
        parts = ("json", "loads", ("1",))
        self.assertEqual(operations.describe(OPERATIONS[frames.CALL], parts), "json.loads")
        self.assertEqual(operations.describe(OPERATIONS[frames.ATTR], ("x", "y")), "builtins.str.y")


if __name__ == "__main__":
    unittest.main()
