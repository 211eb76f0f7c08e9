from __future__ import annotations

import subprocess
import sys
import threading
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from snakebridge_worker import fork_safety
from snakebridge_worker.fork_safety import gpu_objection, thread_objection

PACKAGE_FOLDER = Path(fork_safety.__file__).parent.parent


def torch(initialized: bool) -> SimpleNamespace:
    return SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: initialized))


def jax(*backends: str) -> dict[str, Any]:
    return {"jax._src.xla_bridge": SimpleNamespace(_backends=dict.fromkeys(backends))}


class Gpus(unittest.TestCase):
    def test_no_objection(self) -> None:
        for modules in ({}, {"torch": torch(False)}, {"torch": object()}, jax(), jax("cpu")):
            self.assertIsNone(gpu_objection(modules, "7f0 r-xp /usr/lib/libc.so.6\n"), modules)

    def test_who_has_made_use_of_one(self) -> None:
        cases: tuple[tuple[dict[str, Any], str, str], ...] = (
            ({"torch": torch(True)}, "", "(torch has initialized it)"),
            (jax("cpu", "cuda"), "", "(jax has a backend for it)"),
            ({"cupy": object()}, "", "(cupy is imported)"),
            ({}, "7f0 r-xp /usr/lib/libcuda.so.535.1\n", "(`libcuda.so` is loaded)"),
        )
        for modules, mapped, reason in cases:
            self.assertIn(reason, gpu_objection(modules, mapped) or "", modules)


class Threads(unittest.TestCase):
    def test_what_is_said_of_them(self) -> None:
        self.assertIsNone(thread_objection([]))
        self.assertIn("has started a thread (`one`)", thread_objection(["one"]) or "")
        few = thread_objection(["one", "two"]) or ""
        self.assertIn("has started 2 threads (`one`, `two`)", few)
        mixed = thread_objection(["one", None]) or ""
        self.assertIn("has started 2 threads (`one`, of C code)", mixed)
        many = thread_objection(["one", "two", "three", "four"]) or ""
        self.assertIn("has started 4 threads (`one`, `two`, `three`, ...)", many)

    def test_their_names(self) -> None:
        go = threading.Event()
        thread = threading.Thread(target=go.wait, name="watcher")
        thread.start()
        try:
            self.assertIn("watcher", fork_safety._other_threads())
            with mock.patch.object(fork_safety, "_TASKS", "/nothing/here"):
                self.assertIn("watcher", fork_safety._other_threads())
        finally:
            go.set()
            thread.join()
        self.assertNotIn("watcher", fork_safety._other_threads())

    @unittest.skipUnless(sys.platform == "linux", "elsewhere nothing tells of them")
    def test_one_without_a_name(self) -> None:
        code = (
            "import _thread; lock = _thread.allocate_lock(); lock.acquire();"
            "_thread.start_new_thread(lock.acquire, ());"
            "from snakebridge_worker.fork_safety import objection; print(objection())"
        )
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, cwd=PACKAGE_FOLDER, stdout=subprocess.PIPE, check=True)
        self.assertIn(b"has started a thread (of C code)", said.stdout)

    @unittest.skipUnless(sys.platform == "linux", "elsewhere nothing tells of them")
    def test_one_that_has_ended(self) -> None:
        code = (
            "import threading; thread = threading.Thread(target=int); thread.start();"
            "from snakebridge_worker.fork_safety import objection; print(objection())"
        )
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, cwd=PACKAGE_FOLDER, stdout=subprocess.PIPE, check=True)
        self.assertEqual(said.stdout.strip(), b"None")
