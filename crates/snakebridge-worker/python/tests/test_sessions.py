from __future__ import annotations

import collections
import io
import pathlib
import unittest
import weakref
from typing import Any

from snakebridge_worker import sessions
from snakebridge_worker.sessions import (
    AWAITABLE,
    CALLABLE,
    CONTEXT_MANAGER,
    ITERABLE,
    STREAM,
    RefNotFound,
    Sessions,
)


class Registry(unittest.TestCase):
    def setUp(self) -> None:
        self.sessions = Sessions()

    def keep(self, session: int, obj: Any) -> int:
        return self.sessions.keep(session, obj)[0]

    def test_what_is_kept_is_found_in_its_session_only(self) -> None:
        thing = object()
        ref = self.keep(1, thing)
        self.assertIs(self.sessions.find(1, ref), thing)
        for session, wrong in [(2, ref), (1, ref + 1), (0, ref)]:
            with self.assertRaises(RefNotFound):
                self.sessions.find(session, wrong)

    def test_ids_are_never_used_twice(self) -> None:
        first = self.keep(1, "a")
        self.sessions.release((1, first))
        self.assertGreater(self.keep(2, "b"), first)
        self.assertGreater(first, 0, "0 stands for a whole session")

    def test_release_forgets_and_lets_the_object_go(self) -> None:
        thing = collections.UserList([1])
        gone = weakref.ref(thing)
        ref = self.keep(1, thing)
        other = self.keep(1, "other")
        del thing
        self.sessions.release((1, ref))
        self.assertIsNone(gone())
        with self.assertRaises(RefNotFound):
            self.sessions.find(1, ref)
        self.assertEqual(self.sessions.find(1, other), "other")

    def test_release_of_what_is_unknown_is_no_error(self) -> None:
        ref = self.keep(1, "a")
        self.sessions.release((1, ref, 1, ref, 5, 5, 6, 0))
        self.sessions.release(())
        self.assertEqual(self.sessions.count(), 0)

    def test_id_0_releases_the_whole_session(self) -> None:
        for session in (1, 1, 2):
            self.keep(session, "x")
        self.sessions.release((1, 0))
        self.assertEqual(self.sessions.count(), 1)
        self.sessions.close(2)
        self.sessions.close(3)
        self.assertEqual(self.sessions.count(), 0)

    def test_a_released_session_can_be_used_again(self) -> None:
        self.keep(1, "a")
        self.sessions.release((1, 0))
        ref = self.keep(1, "b")
        self.assertEqual(self.sessions.find(1, ref), "b")

    def test_nothing_is_left_of_empty_sessions(self) -> None:
        for session in range(100):
            self.sessions.release((session, self.keep(session, "x")))
        self.assertEqual(self.sessions._tables, {})


async def coroutine() -> None:
    pass


async def async_generator() -> Any:
    yield 1


class Traits(unittest.TestCase):
    def test_what_a_host_knows_without_asking(self) -> None:
        class Uncallable:
            def __call__(self) -> None:
                pass

        class Sub(Uncallable):
            __call__ = None  # type: ignore[assignment]

        running = coroutine()
        self.addCleanup(running.close)
        for obj, traits in [
            (object(), 0),
            (len, CALLABLE),
            (object, CALLABLE),
            (type, CALLABLE),
            (Uncallable(), CALLABLE),
            (Sub(), 0),
            ([], ITERABLE),
            ("", ITERABLE),
            (range(3), ITERABLE),
            (iter([]), ITERABLE | STREAM),
            ((x for x in "ab"), ITERABLE | STREAM),
            (async_generator(), ITERABLE | STREAM),
            (io.StringIO(), ITERABLE | CONTEXT_MANAGER),
            (running, AWAITABLE),
            (collections.abc.Iterator, CALLABLE),
        ]:
            with self.subTest(obj=obj):
                self.assertEqual(sessions.describe(obj)[2], traits)

    def test_names(self) -> None:
        class Inner:
            pass

        self.assertEqual(sessions.describe(5)[:2], ("builtins", "int"))
        self.assertEqual(sessions.describe(io.StringIO())[:2], ("_io", "StringIO"))
        module, qualname, _ = sessions.describe(Inner())
        self.assertEqual(module, __name__)
        self.assertTrue(qualname.endswith("<locals>.Inner"))
        self.assertTrue(sessions.describe(pathlib.PurePath("a"))[0].startswith("pathlib"))

    def test_names_that_are_none(self) -> None:
        class Odd:
            __module__ = 5  # type: ignore[assignment]

        Odd.__qualname__ = "a\ud800"
        self.assertEqual(sessions.describe(Odd())[:2], ("builtins", "a\\ud800"))


if __name__ == "__main__":
    unittest.main()
