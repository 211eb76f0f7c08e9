"""What is typed: whether it is whole, what it gives, what it could become."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import unittest

from snakebridge_cli import console


class ConsoleTest(unittest.TestCase):
    def setUp(self) -> None:
        main = sys.modules["__main__"]
        self.addCleanup(sys.modules.__setitem__, "__main__", main)
        console.start()

    def printed(self, source: str) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.assertIsNone(console.run(source, ""))
        return out.getvalue(), err.getvalue()

    def test_incomplete(self) -> None:
        for source in ["if x:", "(1,", "def f():\n    pass", "'''", "@x"]:
            self.assertTrue(console.is_incomplete(source), source)
        for source in ["1", "x = 1; y = 2", "def f():\n    pass\n", "f(:", "1\n2", ""]:
            self.assertFalse(console.is_incomplete(source), source)

    def test_values_of_expressions_are_shown(self) -> None:
        self.assertEqual(
            self.printed("x = 2\nx\nfor i in range(2): i + x\nNone"), ("2\n2\n3\n", "")
        )

    def test_tracebacks_are_those_of_what_was_typed(self) -> None:
        out, err = self.printed("def f():\n    return 1 / 0\nf()")
        self.assertEqual(out, "")
        lines = err.splitlines()
        self.assertEqual(lines[0], "Traceback (most recent call last):")
        self.assertRegex(lines[1], r'^  File "<input-\d+>", line 3, in <module>$')
        self.assertIn("    return 1 / 0", lines)
        self.assertEqual(lines[-1], "ZeroDivisionError: division by zero")
        self.assertNotIn("Traceback", self.printed("f(:")[1])

    def test_the_end(self) -> None:
        self.assertEqual(console.run("raise SystemExit(7)", ""), 7)
        self.assertEqual(console.run("raise SystemExit", ""), 0)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(console.run("raise SystemExit('why')", ""), 1)
        self.assertEqual(err.getvalue(), "why\n")

    def test_expressions_import_what_they_name(self) -> None:
        self.assertEqual(console.evaluate("colorsys.rgb_to_hsv(0, 0, 0)"), (0.0, 0.0, 0))
        self.assertEqual(console.evaluate("x = 3\n[x * token for token in range(2)]"), [0, 3])
        self.assertIsNone(console.evaluate("x = 3"))
        with self.assertRaisesRegex(NameError, "no_such_name"):
            console.evaluate("no_such_name")

    def test_a_file_is_run_as_a_program(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "program.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write("import sys\nprint(__name__, sys.argv[1:])\nsys.exit(len(sys.argv))")
            argv, folders = sys.argv, sys.path[:]
            try:
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    self.assertEqual(console.run_file(path, ["-x", "y"]), 3)
            finally:
                sys.argv, sys.path[:] = argv, folders
        self.assertEqual(out.getvalue(), "__main__ ['-x', 'y']\n")


class CompletionTest(unittest.TestCase):
    def setUp(self) -> None:
        main = sys.modules["__main__"]
        self.addCleanup(sys.modules.__setitem__, "__main__", main)
        console.start()
        console.names().update(sys=sys, number=17)

    def test_names(self) -> None:
        self.assertEqual(console.complete("print(num"), (6, ["number"]))
        self.assertEqual(console.complete("isinst"), (0, ["isinstance"]))
        self.assertEqual(console.complete("x = nonl"), (4, ["nonlocal"]))

    def test_attributes(self) -> None:
        self.assertEqual(console.complete("sys.byteo"), (0, ["sys.byteorder"]))
        self.assertEqual(
            console.complete("f(sys.version_info.maj"), (2, ["sys.version_info.major"])
        )
        self.assertEqual(console.complete("sys.nothing.x"), (0, []))
        self.assertEqual(console.complete("nothing.x"), (0, []))
        self.assertIn("number.real", console.complete("number.")[1])
        self.assertNotIn("number.__add__", console.complete("number.")[1])
        self.assertEqual(console.complete("number.__ad")[1], ["number.__add__"])

    def test_modules(self) -> None:
        self.assertEqual(console.complete("import statist"), (7, ["statistics"]))
        self.assertEqual(console.complete("import json.dec")[1], ["json.decoder"])
        self.assertEqual(console.complete("from os.pa"), (5, []), "no package, so no modules in it")
        self.assertEqual(console.complete("from json import JSONDecodeE")[1], ["JSONDecodeError"])
        self.assertEqual(
            console.complete("from json.decoder import JSONDecoder, scann")[1], ["scanner"]
        )
        self.assertEqual(console.complete("import no_such_package.x")[1], [])

    def test_what_computes_is_not_called(self) -> None:
        called = []
        console.names()["f"] = lambda: called.append(1)
        self.assertEqual(console.complete("f().re")[1], [])
        self.assertEqual(called, [])
