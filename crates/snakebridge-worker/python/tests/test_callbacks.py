from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from snakebridge_worker import callbacks, frames
from snakebridge_worker.codec import dumps

from .support import Ref, decode, numbers
from .test_lane import SESSION, Case, PersistentId, call, request

FUNCTION = PersistentId(-7)


class Asked(NamedTuple):
    """A callback, as the host sees it."""

    number: int
    session: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def answer(kind: int, value: Any, flags: int = 0) -> bytes:
    body = dumps(value, 5)
    return frames.HEADER.pack(1, kind, flags, SESSION, len(body)) + body


class CallbackCase(Case):
    def asked(self) -> Asked:
        _, kind, _, session, length = frames.HEADER.unpack(self.read(16))
        self.assertEqual(kind, frames.CALLBACK)
        body = self.read(length)
        (number,) = frames.NUMBER.unpack_from(body)
        args, kwargs = decode(body[frames.NUMBER.size :])
        return Asked(number, session, args, kwargs)

    def dropped(self) -> tuple[int, ...]:
        reply = self.receive()
        self.assertEqual(reply.kind, frames.CALLBACKS_DROPPED)
        return numbers(reply.body)

    def start(self, module: str, function: str, *args: Any) -> None:
        self.send(call(module, function, *args, flags=frames.HAS_REFS))


class Calls(CallbackCase):
    def test_arguments_and_result(self) -> None:
        self.start("functools", "reduce", FUNCTION, [1, 2, 3])
        self.assertEqual(self.asked(), Asked(7, SESSION, (1, 2), {}))
        self.send(answer(frames.CALLBACK_VALUE, 3))
        self.assertEqual(self.asked().args, (3, 3))
        self.send(answer(frames.CALLBACK_VALUE, "sum"))
        self.assertEqual(self.dropped(), (7, 1))
        self.assertEqual(self.receive().value, "sum")

    def test_failure_is_an_exception(self) -> None:
        self.start("functools", "reduce", FUNCTION, [1, 2])
        self.asked()
        self.send(answer(frames.CALLBACK_ERROR, ("builtins.KeyError", "no", ["cause"])))
        reply = self.receive()
        self.assertEqual((reply.kind, reply.value[1]), (frames.ERROR, "KeyError"))
        self.send(call("math", "sqrt", 16))
        self.assertEqual(self.dropped(), (7, 1))
        self.assertEqual(self.receive().value, 4.0)

    def test_an_answer_that_was_given_up_while_it_was_written_is_an_interrupt(self) -> None:
        for kind, value in (
            (frames.CALLBACK_VALUE, "x" * 100),
            (frames.CALLBACK_ERROR, ("builtins.KeyError", "no", [])),
        ):
            self.start("functools", "reduce", FUNCTION, [1, 2])
            self.asked()
            whole = answer(kind, value)
            self.send(whole[:40] + bytes(len(whole) - 40))
            reply = self.receive()
            self.assertEqual((reply.kind, reply.value[1]), (frames.ERROR, "KeyboardInterrupt"))
            self.send(call("math", "sqrt", 16))
            self.assertEqual(self.dropped(), (7, 1))
            self.assertEqual(self.receive().value, 4.0)

    def test_requests_within_a_callback(self) -> None:
        self.start("functools", "reduce", FUNCTION, [1, 2])
        self.asked()
        self.assert_alive()
        self.assertEqual(self.error(call("builtins", "int", "x")), "ValueError")
        self.start("functools", "reduce", PersistentId(-8), [3, 4])
        self.assertEqual(self.asked().number, 8)
        self.send(answer(frames.CALLBACK_VALUE, 7))
        self.assertEqual(self.dropped(), (8, 1))
        self.assertEqual(self.receive().value, 7)
        self.send(answer(frames.CALLBACK_VALUE, 0))
        self.dropped()
        self.assertEqual(self.receive().value, 0)

    def test_objects_become_refs(self) -> None:
        target = self.keep("types", "SimpleNamespace")
        self.start("functools", "reduce", FUNCTION, [PersistentId(target), 1])
        sent = self.asked().args[0]
        self.assertIsInstance(sent, Ref)

    def test_text_that_the_host_cannot_read_comes_again(self) -> None:
        self.start("functools", "reduce", FUNCTION, [1, 2])
        self.asked()
        again = self.ask(request(frames.AGAIN))
        self.assertEqual((again.kind, again.value), (frames.VALUE, ((1, 2), {})))

    def test_without_a_control_channel(self) -> None:
        self.start("threading", "Thread", None, FUNCTION)
        self.assertEqual(self.receive().kind, frames.REF)
        stray = self.lane.callbacks.find(5, SESSION)
        with self.assertRaisesRegex(RuntimeError, "no host that could run"):
            stray()

    def test_an_answer_that_nobody_waits_for_is_refused(self) -> None:
        code, text = self.fault(answer(frames.CALLBACK_VALUE, 1))
        self.assertEqual(code, frames.FAULT_REQUEST)
        self.assertIn("35", text)
        self.assert_alive()

    def test_an_interrupt_while_it_waits_hits_nothing(self) -> None:
        self.start("functools", "reduce", FUNCTION, [1, 2])
        self.asked()
        self.lane.interrupt()
        self.send(answer(frames.CALLBACK_VALUE, 1))
        self.dropped()
        self.assertEqual(self.receive().value, 1)


class Lifetime(CallbackCase):
    def test_one_callable_as_long_as_it_lives(self) -> None:
        kept = self.keep("builtins", "list", [])
        data = request(
            frames.METHOD, kept, "append", (FUNCTION,), flags=frames.TARGET_REF | frames.HAS_REFS
        )
        self.value(data)
        self.value(data)
        same = request(frames.ITEM, kept, 0, flags=frames.TARGET_REF | frames.BY_REF)
        self.assertEqual(self.ask(same).kind, frames.REF)
        self.value(request(frames.METHOD, kept, "clear", (), flags=frames.TARGET_REF))

    def test_the_host_hears_of_the_end_with_the_next_reply(self) -> None:
        kept = self.keep("builtins", "list", [])
        append = request(
            frames.METHOD, kept, "append", (FUNCTION,), flags=frames.TARGET_REF | frames.HAS_REFS
        )
        self.value(append)
        self.value(append)
        self.send(request(frames.METHOD, kept, "clear", (), flags=frames.TARGET_REF))
        self.assertEqual(self.dropped(), (7, 2))
        self.assertIsNone(self.receive().value)


class Exceptions(CallbackCase):
    def test_classes(self) -> None:
        self.assertIs(type(callbacks.exception("builtins.ValueError", "x", [])), ValueError)
        self.assertIs(type(callbacks.exception("ValueError", "x", [])), ValueError)
        for name in ("builtins.int", "no.such", "builtins.UnicodeDecodeError", "builtins."):
            made = callbacks.exception(name, "text", [])
            self.assertIs(type(made), callbacks.RustError, name)
            self.assertEqual(str(made), f"{name}: text")
        self.assertEqual(str(callbacks.exception("", "text", [])), "text")

    def test_causes(self) -> None:
        made = callbacks.exception("", "outer", ["middle", "inner"])
        assert made.__cause__ is not None
        self.assertEqual(str(made.__cause__), "middle")
        self.assertEqual(str(made.__cause__.__cause__), "inner")

    def test_a_callable_says_what_it_is(self) -> None:
        self.assertEqual(repr(self.lane.callbacks.find(3, SESSION)), "<callback of the host #3>")
        with self.assertRaises(TypeError):
            pickle.dumps(self.lane.callbacks.find(3, SESSION))
