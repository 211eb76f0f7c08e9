"""What a worker says of its Python."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from unittest import mock

from snakebridge_cli import diagnosis


class DiagnosisTest(unittest.TestCase):
    def test_nothing_is_wrong_here(self) -> None:
        facts = diagnosis.facts(["json"])
        self.assertEqual(facts["executable"], sys.executable)
        self.assertEqual(facts["imports"][0]["error"], None)
        self.assertTrue(facts["imports"][0]["file"].endswith("__init__.py"))

    def test_folders_that_are_missing(self) -> None:
        with mock.patch.dict(os.environ, {"PYTHONPATH": f"/nowhere{os.pathsep}{os.getcwd()}"}):
            self.assertEqual(diagnosis.facts([])["missing_folders"], ["/nowhere"])

    @unittest.skipIf(sys.version_info < (3, 10), "the names of the library are known since 3.10")
    def test_files_that_hide_modules(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ["random.py", "mine.py", "math.txt"]:
                with open(os.path.join(folder, name), "w", encoding="utf-8"):
                    pass
            os.makedirs(os.path.join(folder, "email"))
            os.makedirs(os.path.join(folder, "json"))
            with open(os.path.join(folder, "json", "__init__.py"), "w", encoding="utf-8"):
                pass
            with mock.patch.object(sys, "path", [folder, "/nowhere", *sys.path]):
                found = [each["name"] for each in diagnosis.facts([])["shadowed"]]
        self.assertEqual(found, ["json", "random"])

    def test_modules_that_cannot_be_imported(self) -> None:
        missing, broken = diagnosis.facts(["no_such_module.x", "json.no_such_part"])["imports"]
        self.assertTrue(missing["is_missing"])
        self.assertFalse(broken["is_missing"])
        self.assertIn("ModuleNotFoundError", broken["error"])
