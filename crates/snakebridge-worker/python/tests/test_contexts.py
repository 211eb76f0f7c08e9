from __future__ import annotations

import unittest
from typing import Any

from snakebridge_worker.callbacks import RustError
from snakebridge_worker.contexts import Contexts

SESSION = 3


class Manager:
    def __init__(self, takes: bool = False) -> None:
        self.takes = takes
        self.left: list[Any] = []

    def __enter__(self) -> str:
        return "entered"

    def __exit__(self, *error: object) -> bool:
        self.left.append(error)
        return self.takes


class Managers(unittest.TestCase):
    def setUp(self) -> None:
        self.contexts = Contexts(lambda awaitable: self.fail(f"{awaitable!r} was awaited"))

    def test_nothing_is_kept_without_a_manager(self) -> None:
        self.assertEqual(self.contexts.note(SESSION, ValueError()), 0)

    def test_the_exception_itself(self) -> None:
        manager, error = Manager(takes=True), ValueError("x")
        self.assertEqual(self.contexts.enter(SESSION, manager), "entered")
        number = self.contexts.note(SESSION, error)
        self.assertEqual(self.contexts.note(SESSION + 1, error), 0)
        failure: Any = ("builtins.ValueError", "x", [])
        self.assertTrue(self.contexts.exit(SESSION, manager, number, failure))
        self.assertIs(manager.left[0][1], error)
        self.assertEqual(self.contexts.note(SESSION, error), 0)

    def test_one_like_it(self) -> None:
        manager = Manager()
        self.contexts.enter(SESSION, manager)
        failure: Any = ("builtins.ValueError", "x", [])
        self.assertFalse(self.contexts.exit(SESSION, manager, 0, failure))
        self.assertEqual(repr(manager.left[0][1]), "ValueError('x')")
        self.contexts.enter(SESSION, manager)
        self.contexts.exit(SESSION, manager, 0, ("", "host", []))
        self.assertIsInstance(manager.left[1][1], RustError)

    def test_a_clean_end(self) -> None:
        manager = Manager()
        self.contexts.enter(SESSION, manager)
        self.assertFalse(self.contexts.exit(SESSION, manager, 0, None))
        self.assertEqual(manager.left, [(None, None, None)])

    def test_what_is_kept_is_bounded(self) -> None:
        manager = Manager()
        self.contexts.enter(SESSION, manager)
        numbers = [self.contexts.note(SESSION, ValueError(n)) for n in range(100)]
        self.contexts.exit(SESSION, manager, numbers[0], ("builtins.KeyError", "lost", []))
        self.assertIsInstance(manager.left[0][1], KeyError)
        self.contexts.enter(SESSION, manager)
        self.contexts.forget(SESSION)
        self.assertEqual(self.contexts.note(SESSION, ValueError()), 0)

    def test_no_manager(self) -> None:
        with self.assertRaisesRegex(TypeError, "context manager protocol"):
            self.contexts.enter(SESSION, object())
