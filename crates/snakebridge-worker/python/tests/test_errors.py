from __future__ import annotations

import builtins
import json
import unittest
from typing import Any, Callable, NamedTuple

from snakebridge_worker import errors

from .support import decode


class Described(NamedTuple):
    """The parts of an error reply, in the order of the wire."""

    module: str
    qualname: str
    bases: tuple[str, ...]
    message: str
    args: tuple[Any, ...] | None
    frames: tuple[tuple[str, int, str, str | None], ...]
    notes: tuple[str, ...]
    cause: tuple[Any, ...] | None
    context: tuple[Any, ...] | None
    suppress_context: bool
    members: tuple[tuple[Any, ...], ...]


def describe(error: BaseException) -> Described:
    return Described(*decode(errors.encode(error)))


def raised(function: Callable[[], Any]) -> Described:
    """What is said about the exception that a function raises."""
    try:
        function()
    except BaseException as error:
        return describe(error)
    raise AssertionError("nothing was raised")


class Plain(unittest.TestCase):
    def test_what_is_said(self) -> None:
        found = raised(lambda: int("x"))
        self.assertEqual((found.module, found.qualname), ("builtins", "ValueError"))
        self.assertEqual(
            found.bases,
            (
                "builtins.ValueError",
                "builtins.Exception",
                "builtins.BaseException",
                "builtins.object",
            ),
        )
        self.assertEqual(found.message, "invalid literal for int() with base 10: 'x'")
        self.assertEqual(found.args, (found.message,))
        file, line, function, source = found.frames[-1]
        self.assertEqual((file, function), (__file__, "<lambda>"))
        self.assertGreater(line, 0)
        self.assertEqual(source, 'found = raised(lambda: int("x"))')
        self.assertEqual(found.notes, ())
        self.assertIsNone(found.cause)
        self.assertIsNone(found.context)
        self.assertFalse(found.suppress_context)
        self.assertEqual(found.members, ())

    def test_classes_are_named_with_their_module(self) -> None:
        found = raised(lambda: json.loads("{"))
        self.assertEqual((found.module, found.qualname), ("json.decoder", "JSONDecodeError"))
        self.assertIn("builtins.ValueError", found.bases)

        class Local(Exception):
            pass

        self.assertIn("test_classes_are_named", describe(Local()).qualname)

    def test_those_that_are_no_exception_for_most(self) -> None:
        for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit()):
            found = describe(error)
            self.assertEqual(found.qualname, type(error).__name__)
            self.assertEqual(found.args, error.args)
            self.assertIn("builtins.BaseException", found.bases)

    def test_a_recursion_has_the_first_and_the_last_frames(self) -> None:
        def down(n: int) -> int:
            return down(n + 1)

        found = raised(lambda: down(0))
        self.assertEqual(found.qualname, "RecursionError")
        self.assertLessEqual(len(found.frames), 100)
        self.assertEqual(found.frames[-1][2], "down")

    def test_code_without_a_file(self) -> None:
        found = raised(lambda: exec("1 / 0"))
        self.assertEqual(found.frames[-1], ("<string>", 1, "<module>", None))


class Arguments(unittest.TestCase):
    def test_plain_ones_are_sent(self) -> None:
        args = (1, "a", None, [1.5, (b"x",)], {"k": {2: True}})
        self.assertEqual(describe(Exception(*args)).args, args)

    def test_all_or_none(self) -> None:
        ring: list[Any] = []
        ring.append(ring)
        for odd in (object(), {1}, ring, "\ud800", "x" * 200_000, list(range(5000))):
            self.assertIsNone(describe(Exception("fine", odd)).args)


class Chains(unittest.TestCase):
    def test_a_cause(self) -> None:
        def function() -> None:
            try:
                int("x")
            except ValueError as error:
                raise KeyError("k") from error

        found = raised(function)
        assert found.cause
        self.assertEqual(Described(*found.cause).qualname, "ValueError")
        self.assertIs(found.context, True, "what was said as the cause is not said again")
        self.assertTrue(found.suppress_context)

    def test_a_context(self) -> None:
        def function() -> None:
            try:
                int("x")
            finally:
                raise KeyError("k")

        found = raised(function)
        self.assertIsNone(found.cause)
        assert found.context
        self.assertEqual(Described(*found.context).qualname, "ValueError")
        self.assertFalse(found.suppress_context)

    def test_from_none(self) -> None:
        def function() -> None:
            try:
                int("x")
            except ValueError:
                raise KeyError("k") from None

        found = raised(function)
        self.assertTrue(found.suppress_context)

    def test_causes_in_a_circle_end(self) -> None:
        first, second = ValueError("1"), KeyError("2")
        first.__cause__, second.__cause__ = second, first
        found = describe(first)
        assert found.cause
        self.assertIsNone(Described(*found.cause).cause)
        first.__cause__ = first
        self.assertIsNone(describe(first).cause)

    def test_a_long_chain_is_cut(self) -> None:
        error = ValueError("0")
        for number in range(1, 10_000):
            later = ValueError(str(number))
            later.__cause__ = error
            error = later
        depth, found = 0, describe(error)
        while found.cause:
            depth, found = depth + 1, Described(*found.cause)
        self.assertLess(depth, 50)


class NotesAndGroups(unittest.TestCase):
    def test_notes(self) -> None:
        error: Any = ValueError("x")
        error.__notes__ = ["one", "two\nlines"]
        self.assertEqual(describe(error).notes, ("one", "two\nlines"))
        for odd in (5, "text", None):
            error.__notes__ = odd
            self.assertEqual(describe(error).notes, ())

    @unittest.skipUnless(hasattr(builtins, "ExceptionGroup"), "from Python 3.11 on")
    def test_groups(self) -> None:
        group = vars(builtins)["ExceptionGroup"]
        found = describe(group("outer", [ValueError("x"), group("inner", [KeyError("k")])]))
        self.assertEqual(found.qualname, "ExceptionGroup")
        first, second = (Described(*member) for member in found.members)
        self.assertEqual((first.qualname, first.message), ("ValueError", "x"))
        self.assertEqual(Described(*second.members[0]).qualname, "KeyError")
        many = group("many", [ValueError(str(n)) for n in range(1000)])
        self.assertLess(len(describe(many).members), 100)

    def test_only_groups_have_members(self) -> None:
        error = ValueError("x")
        error.exceptions = (KeyError("k"),)  # type: ignore[attr-defined]
        self.assertEqual(describe(error).members, ())


class Meta(type):
    """Classes that cannot be hashed and tell nothing about themselves."""

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("eq")

    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)


class OddExceptions(unittest.TestCase):
    def test_a_text_that_fails(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise ValueError("no text")

        found = describe(Mute(1))
        self.assertIn("str() failed", found.message)
        self.assertEqual(found.args, (1,))

    def test_a_text_that_is_none(self) -> None:
        class NoText(Exception):
            def __str__(self) -> str:
                return 5  # type: ignore[return-value]

        self.assertIn("str() failed", describe(NoText()).message)

    def test_a_text_that_ends_the_program(self) -> None:
        class Quit(Exception):
            def __str__(self) -> str:
                raise SystemExit

        found = describe(Quit())
        self.assertIn("Quit", found.qualname)

    def test_text_is_valid_and_bounded(self) -> None:
        self.assertEqual(describe(Exception("a\ud800")).message, "a\\ud800")
        self.assertLess(len(describe(Exception("x" * 10_000_000)).message), 200_000)

        class Text(str):
            __slots__ = ()

        found = describe(Exception(Text("x")))
        self.assertEqual(found.message, "x")
        self.assertIsNone(found.args)

    def test_properties_that_fail(self) -> None:
        class Shy(Exception):
            @property
            def args(self) -> Any:  # type: ignore[override]
                raise RuntimeError("no")

            @property
            def exceptions(self) -> Any:
                raise RuntimeError("no")

            @property
            def __notes__(self) -> Any:
                raise RuntimeError("no")

            @property
            def __cause__(self) -> Any:  # type: ignore[override]
                raise RuntimeError("no")

        def function() -> None:
            raise Shy("text")

        found = raised(function)
        self.assertEqual(found.message, "text")
        self.assertEqual(found.args, ("text",))
        self.assertEqual(found.frames[-1][2], "function")

    def test_names_that_are_none(self) -> None:
        class Odd(Exception):
            pass

        Odd.__module__ = 5  # type: ignore[assignment]
        Odd.__qualname__ = "a\ud800"
        found = describe(Odd("x"))
        self.assertEqual(found.qualname, "a\\ud800")
        self.assertEqual(found.message, "x")

    def test_a_class_of_which_nothing_can_be_asked(self) -> None:
        odd = type.__call__(Meta, "Odd", (Exception,), {})
        error = BaseException.__new__(odd, "x")
        BaseException.__init__(error, "x")
        found = describe(error)
        self.assertEqual(found.qualname, "Odd")
        self.assertEqual(found.message, "x")
        self.assertIn("builtins.Exception", found.bases)


if __name__ == "__main__":
    unittest.main()
