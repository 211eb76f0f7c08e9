"""What is said of objects."""

from __future__ import annotations

import enum
import unittest
from typing import Any

from snakebridge_cli import inspection


class Shy:
    """Says little of itself."""

    @property
    def age(self) -> int:
        """Not told."""
        raise RuntimeError("not me")

    @classmethod
    def make(cls) -> Shy:
        """Makes one."""
        return cls()

    def __repr__(self) -> str:
        raise RuntimeError("not me")


class Broken(type):
    @property
    def computed(cls) -> int:
        raise RuntimeError("cannot be computed")

    def __dir__(cls) -> list[str]:
        return ["computed"]


class InspectionTest(unittest.TestCase):
    def members(self, found: Any, private: bool = False) -> dict[str, tuple[str, str | None]]:
        described = inspection.describe("x", found, private)
        return {each["name"]: (each["kind"], each["summary"]) for each in described["members"]}

    def test_names_are_resolved(self) -> None:
        import os.path
        import pathlib

        self.assertIs(inspection.resolve("os.path"), os.path)
        self.assertIs(inspection.resolve("pathlib.Path.exists"), pathlib.Path.exists)
        for path in ["no_such_module", "no_such_module.x"]:
            with self.assertRaises(ModuleNotFoundError):
                inspection.resolve(path)
        with self.assertRaises(AttributeError):
            inspection.resolve("math.nothing")

    def test_functions(self) -> None:
        found = inspection.describe_path("json.dumps", False)
        self.assertEqual(found["kind"], "function")
        self.assertTrue(
            found["signature"].startswith("(obj, *, skipkeys=False"), found["signature"]
        )
        self.assertTrue(found["source"].startswith("def dumps(obj"))
        self.assertTrue(found["file"].endswith("__init__.py"))
        self.assertEqual(inspection.describe_path("math.sqrt", False)["signature"], "(x, /)")
        self.assertTrue(inspection.describe_path("builtins.dict", False)["signature"])

    def test_classes(self) -> None:
        self.assertEqual(inspection.describe("Shy", Shy, False)["kind"], "class")
        self.assertEqual(
            self.members(Shy), {"age": ("property", "Not told."), "make": ("method", "Makes one.")}
        )
        self.assertIn("__repr__", self.members(Shy, private=True))
        self.assertEqual(inspection.describe("E", KeyError, False)["bases"], ["LookupError"])

    def test_what_fails_is_left_out(self) -> None:
        shy = inspection.describe("shy", Shy(), False)
        self.assertEqual(shy["kind"], "value")
        self.assertTrue(shy["value"].startswith("<Shy instance at 0x"), shy["value"])
        self.assertEqual(self.members(Broken("B", (), {})), {"computed": ("value", None)})

    def test_modules_list_what_they_offer(self) -> None:
        found = self.members(inspection.resolve("json"))
        self.assertEqual(found["JSONDecodeError"][0], "exception")
        self.assertNotIn("codecs", found, "a module that it imports for itself")
        self.assertNotIn("scanner", found, "`__all__` has it not")
        self.assertEqual(self.members(enum)["auto"][0], "class")
