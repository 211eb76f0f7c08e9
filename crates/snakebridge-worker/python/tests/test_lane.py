from __future__ import annotations

import os
import pickle
import threading
import time
import tracemalloc
import unittest
from typing import Any, NamedTuple
from unittest import mock

from snakebridge_worker import frames
from snakebridge_worker.lane import Lane
from snakebridge_worker.sessions import Sessions

from .support import Ref, decode

SESSION = 3


class Reply(NamedTuple):
    """One frame from the worker."""

    kind: int
    body: bytes

    @property
    def value(self) -> Any:
        return decode(self.body)


class PersistentId:
    """Stands for a ref among the arguments."""

    def __init__(self, ref_id: int) -> None:
        self.ref_id = ref_id


class _ArgumentPickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.ref_id if isinstance(obj, PersistentId) else None


def request(
    kind: int, *parts: Any, flags: int = 0, session: int = SESSION, version: int = 1
) -> bytes:
    """A request as the host writes it."""
    import io

    buffer = io.BytesIO()
    _ArgumentPickler(buffer, 5).dump(parts)
    body = buffer.getvalue()
    return frames.HEADER.pack(version, kind, flags, session, len(body)) + body


def call(module: str, function: str, *args: Any, flags: int = 0) -> bytes:
    return request(frames.CALL, module, function, args, flags=flags)


class Case(unittest.TestCase):
    """A lane over real pipes, served by a thread of its own."""

    def setUp(self) -> None:
        requests, self.writer = os.pipe()
        self.reader, replies = os.pipe()
        self.sessions = Sessions()
        self.lane = Lane(requests, replies, self.sessions)
        self.ended: BaseException | None = None
        self.thread = threading.Thread(target=self.serve, args=(requests, replies), daemon=True)
        self.thread.start()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(self.close)

    def serve(self, *ends: int) -> None:
        try:
            self.lane.serve()
        except BaseException as error:
            self.ended = error
        finally:
            for end in ends:
                os.close(end)

    def close(self) -> None:
        """Closes the host's end; the lane must end by that."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
        self.thread.join(10)
        self.assertFalse(self.thread.is_alive())

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.writer, data) :]

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = os.read(self.reader, count - len(data))
            self.assertTrue(more, f"the lane ended: {self.ended!r}")
            data += more
        return data

    def receive(self) -> Reply:
        version, kind, flags, session, length = frames.HEADER.unpack(self.read(16))
        self.assertEqual((version, flags, session), (1, 0, 0))
        return Reply(kind, self.read(length))

    def ask(self, data: bytes) -> Reply:
        self.send(data)
        return self.receive()

    def value(self, data: bytes) -> Any:
        reply = self.ask(data)
        self.assertEqual(reply.kind, frames.VALUE, reply)
        return reply.value

    def keep(self, module: str, function: str, *args: Any) -> int:
        reply = self.ask(call(module, function, *args, flags=frames.BY_REF))
        self.assertEqual(reply.kind, frames.REF, reply)
        ref_id: int = reply.value[0]
        return ref_id

    def fault(self, data: bytes) -> tuple[int, str]:
        reply = self.ask(data)
        self.assertEqual(reply.kind, frames.FAULT, reply)
        code, text = reply.value
        return code, text

    def error(self, data: bytes) -> str:
        reply = self.ask(data)
        self.assertEqual(reply.kind, frames.ERROR, reply)
        qualname: str = reply.value[1]
        return qualname

    def assert_alive(self) -> None:
        self.assertEqual(self.value(call("math", "sqrt", 16)), 4.0)


class Frames(Case):
    def test_frames_in_any_pieces(self) -> None:
        data = call("math", "sqrt", 16)
        for cut in range(1, len(data)):
            self.send(data[:cut])
            if cut % 7 == 0:
                time.sleep(0.001)  # Gives the lane the chance to see the first piece alone.
            self.send(data[cut:])
            self.assertEqual(self.receive().value, 4.0)
        for byte in range(len(data)):
            self.send(data[byte : byte + 1])
        self.assertEqual(self.receive().value, 4.0)

    def test_several_frames_in_one_write(self) -> None:
        self.send(b"".join(call("math", "sqrt", n * n) for n in range(100)))
        self.assertEqual([self.receive().value for _ in range(100)], list(range(100)))

    def test_a_frame_and_a_half(self) -> None:
        data = call("math", "sqrt", 16)
        self.send(data + data[:10])
        self.assertEqual(self.receive().value, 4.0)
        self.send(data[10:] + data)
        self.assertEqual([self.receive().value for _ in range(2)], [4.0, 4.0])

    def test_large_requests_and_replies(self) -> None:
        for size in (200, 255, 256, 8160, 8192, 65_536, 1_000_000):
            data = os.urandom(size)
            sender = threading.Thread(target=self.send, args=(call("builtins", "bytes", data),))
            sender.start()
            self.assertEqual(self.receive().value, data)
            sender.join()
        text = "x" * 300_000
        sender = threading.Thread(target=self.send, args=(call("builtins", "list", [text]) * 2,))
        sender.start()
        self.assertEqual([self.receive().value for _ in range(2)], [[text], [text]])
        sender.join()

    def test_the_end_of_the_requests_ends_the_lane(self) -> None:
        self.assert_alive()
        self.close()
        self.assertIsNone(self.ended)

    def test_the_end_inside_a_header_ends_the_lane(self) -> None:
        self.send(call("math", "sqrt", 16)[:10])
        self.close()
        self.assertIsNone(self.ended)

    def test_the_end_inside_a_body_is_noticed(self) -> None:
        self.send(call("math", "sqrt", 16)[:30])
        self.close()
        self.assertIsInstance(self.ended, frames.ProtocolError)

    def test_an_unknown_kind(self) -> None:
        code, text = self.fault(request(99))
        self.assertEqual(code, frames.FAULT_REQUEST)
        self.assertIn("99", text)
        self.assert_alive()

    def test_another_version(self) -> None:
        for kind in (frames.CALL, frames.RELEASE, 99):
            code, text = self.fault(request(kind, "math", "sqrt", (16,), version=2))
            self.assertEqual(code, frames.FAULT_REQUEST)
            self.assertIn("version 2", text)
        self.assert_alive()

    def test_a_body_that_is_no_pickle(self) -> None:
        for body in (b"", b"\xff", b"K\x01"):
            header = frames.HEADER.pack(1, frames.CALL, 0, SESSION, len(body))
            code, _ = self.fault(header + body)
            self.assertEqual(code, frames.FAULT_ARGUMENTS)
        self.assert_alive()


class Results(Case):
    def test_scalars(self) -> None:
        for value in (None, True, 5, 2**100, 1.5, b"data", "text"):
            self.assertEqual(self.value(call("copy", "copy", value)), value)

    def test_values_with_refs_in_them(self) -> None:
        found = self.value(call("builtins", "dict", [("n", 1), ("o", [2])]))
        self.assertEqual(found, {"n": 1, "o": [2]})
        (found,) = self.value(call("builtins", "list", (range(3),)))
        self.assertIsInstance(found, Ref)

    def test_a_result_that_is_no_value_is_a_ref(self) -> None:
        reply = self.ask(call("pathlib", "PurePosixPath", "a"))
        self.assertEqual(reply.kind, frames.REF)
        self.assertEqual(reply.value[2], "PurePosixPath")

    def test_by_ref_keeps_any_result(self) -> None:
        for value in (None, 5, "text", [1]):
            reply = self.ask(call("copy", "copy", value, flags=frames.BY_REF))
            self.assertEqual(reply.kind, frames.REF)
            self.assertEqual(self.sessions.find(SESSION, reply.value[0]), value)

    def test_no_result(self) -> None:
        for function in ("sqrt", "floor"):
            self.assertIsNone(self.value(call("math", function, 16, flags=frames.NO_RESULT)))
        self.assertIsNone(self.value(call("builtins", "range", 3, flags=frames.NO_RESULT)))
        self.assertEqual(self.sessions.count(), 0)

    def test_again_encodes_the_last_result_with_care(self) -> None:
        found = self.value(call("copy", "copy", "a\ud800"))
        self.assertEqual(found, "a\ud800", "the host finds that this is no text, and asks again")
        self.assertIsInstance(self.value(request(frames.AGAIN)), Ref)

        ring = self.keep("builtins", "list", [1])
        append = request(
            frames.METHOD,
            ring,
            "append",
            (PersistentId(ring),),
            flags=frames.TARGET_REF | frames.HAS_REFS,
        )
        self.assertIsNone(self.value(append))
        self.send(request(frames.ITEM, ring, slice(None), flags=frames.TARGET_REF))
        self.receive()
        found = self.value(request(frames.AGAIN))
        self.assertEqual(found[0], 1)
        self.assertIsInstance(found[1][1], Ref)
        self.assert_alive()

    def test_again_leaves_refs_of_earlier_replies_alone(self) -> None:
        for flags in (0, frames.BY_REF):
            self.ask(call("builtins", "list", (range(3),), flags=flags))
            before = self.sessions.count()
            self.send(call("builtins", "chr", 0xD800))
            self.receive()
            self.assertIsInstance(self.value(request(frames.AGAIN)), Ref)
            self.assertEqual(self.sessions.count(), before + 1)

    def test_again_leaves_no_refs_of_the_first_reply(self) -> None:
        self.value(call("builtins", "list", (range(3), "a\ud800")))
        self.assertEqual(self.sessions.count(), 1)
        self.value(request(frames.AGAIN))
        self.assertEqual(self.sessions.count(), 2)


class Refs(Case):
    def test_receivers_and_arguments(self) -> None:
        deque = self.keep("collections", "deque", [1, 2])
        length = request(frames.LEN, deque, flags=frames.TARGET_REF)
        self.assertEqual(self.value(length), 2)
        argument = [PersistentId(deque), {"k": (PersistentId(deque),)}]
        show = request(frames.CALL, "builtins", "str", (argument,), flags=frames.HAS_REFS)
        self.assertEqual(self.value(show), "[deque([1, 2]), {'k': (deque([1, 2]),)}]")

    def test_a_ref_that_is_unknown(self) -> None:
        for data in (
            request(frames.LEN, 77, flags=frames.TARGET_REF),
            request(frames.CALL, "builtins", "len", (PersistentId(77),), flags=frames.HAS_REFS),
        ):
            self.assertEqual(self.fault(data), (frames.FAULT_REF_NOT_FOUND, "77"))
        other = request(
            frames.LEN, self.keep("builtins", "list"), flags=frames.TARGET_REF, session=SESSION + 1
        )
        self.assertEqual(self.fault(other)[0], frames.FAULT_REF_NOT_FOUND)
        self.assert_alive()

    def test_release_has_no_reply_and_comes_before_the_call(self) -> None:
        first, second = self.keep("builtins", "list"), self.keep("builtins", "list")
        release = request(frames.RELEASE, SESSION, first, session=0)
        length = request(frames.LEN, first, flags=frames.TARGET_REF)
        self.assertEqual(self.fault(release + length), (frames.FAULT_REF_NOT_FOUND, str(first)))
        self.assertEqual(self.value(request(frames.LEN, second, flags=frames.TARGET_REF)), 0)
        self.send(request(frames.RELEASE, SESSION, 0, session=0) * 3)
        self.assert_alive()
        self.assertEqual(self.sessions.count(), 0)

    def test_many_releases_in_one_frame(self) -> None:
        ids = [self.keep("builtins", "list") for _ in range(500)]
        pairs = [number for ref_id in ids for number in (SESSION, ref_id)]
        self.send(request(frames.RELEASE, *pairs, session=0))
        self.assert_alive()
        self.assertEqual(self.sessions.count(), 0)

    def test_close_session(self) -> None:
        self.keep("builtins", "list")
        self.assertIsNone(self.value(request(frames.CLOSE_SESSION)))
        self.assertEqual(self.sessions.count(), 0)

    def test_nothing_is_kept_alive_between_calls(self) -> None:
        import weakref

        ref_id = self.keep("collections", "UserList", [1])
        gone = weakref.ref(self.sessions.find(SESSION, ref_id))
        self.assertEqual(self.value(request(frames.LEN, ref_id, flags=frames.TARGET_REF)), 1)
        self.send(request(frames.RELEASE, SESSION, ref_id, session=0))
        self.assert_alive()
        self.assertIsNone(gone())


class Errors(Case):
    def test_exceptions_of_every_kind(self) -> None:
        for data, qualname in [
            (call("math", "sqrt", -1), "ValueError"),
            (call("sys", "exit", 3), "SystemExit"),
            (call("builtins", "exec", "raise KeyboardInterrupt"), "KeyboardInterrupt"),
            (call("builtins", "exec", "raise GeneratorExit"), "GeneratorExit"),
            (call("builtins", "exec", "def f(g): g(g)\nf(f)"), "RecursionError"),
            (call("math", "nothing"), "AttributeError"),
            (call("sb_nowhere", "f"), "ModuleNotFoundError"),
            (call("math", "pi"), "TypeError"),
        ]:
            self.assertEqual(self.error(data), qualname)
        self.assert_alive()

    def test_arguments_that_cannot_be_built(self) -> None:
        from snakebridge_worker import markers

        class Bad:
            def __reduce__(self) -> Any:
                return markers.date, (2023, 2, 29)

        code, text = self.fault(call("builtins", "str", Bad()))
        self.assertEqual(code, frames.FAULT_ARGUMENTS)
        self.assertIn("ValueError: day is out of range", text)
        self.assert_alive()

    def test_an_interrupt_is_for_the_code_of_the_user_only(self) -> None:
        self.lane.interrupt()
        self.lane.running = True
        with self.assertRaises(KeyboardInterrupt):
            self.lane.interrupt()
        self.assertFalse(self.lane.running, "one interrupt, not two")
        self.assert_alive()


ODD = """
class Meta(type):
    def __eq__(cls, other):
        return [cls, other]

class Unhashable(metaclass=Meta):
    pass

class Error(Exception, metaclass=Meta):
    pass
"""


class OddClasses(Case):
    def test_a_class_that_cannot_be_hashed(self) -> None:
        scope = self.keep("builtins", "dict")
        argument = PersistentId(scope)
        run = request(frames.CALL, "builtins", "exec", (ODD, argument), flags=frames.HAS_REFS)
        self.assertIsNone(self.value(run))

        def evaluate(text: str, flags: int = 0) -> Reply:
            parts = ("builtins", "eval", (text, argument))
            return self.ask(request(frames.CALL, *parts, flags=frames.HAS_REFS | flags))

        for flags in (0, frames.BY_REF):
            reply = evaluate("Unhashable()", flags)
            self.assertEqual(reply.kind, frames.REF)
            self.assertEqual(reply.value[2], "Unhashable")
        self.assertEqual(evaluate("Unhashable()", frames.NO_RESULT).kind, frames.VALUE)
        number, ref = evaluate("[1, Unhashable()]").value
        self.assertEqual(number, 1)
        self.assertIsInstance(ref, Ref)
        reply = evaluate("(_ for _ in ()).throw(Error('x'))")
        self.assertEqual(reply.kind, frames.ERROR)
        self.assertEqual(reply.value[1], "Error")


if __name__ == "__main__":
    unittest.main()


class Memory(Case):
    def grown_by(self, data: bytes) -> int:
        """How much more memory is in use when the lane waits again."""
        self.assert_alive()
        tracemalloc.start()
        try:
            sender = threading.Thread(target=self.send, args=(data,))
            sender.start()
            self.receive()
            sender.join()
            time.sleep(0.05)  # The reply is there a moment before the lane waits.
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    def test_a_large_reply_is_not_kept(self) -> None:
        self.assertLess(self.grown_by(call("builtins", "bytes", 5_000_000)), 1_000_000)

    def test_where_there_is_no_room_in_shared_memory_large_text_goes_another_way(self) -> None:
        with mock.patch.object(self.lane.encoder, "large", side_effect=MemoryError):
            self.assertEqual(self.value(call("operator", "mul", "x", 300_000)), "x" * 300_000)
        self.assert_alive()

    def test_arguments_that_were_refused_are_not_kept(self) -> None:
        body = b"\xff" * 5_000_000
        for kind in (frames.CALL, 99):
            with self.subTest(kind=kind):
                header = frames.HEADER.pack(1, kind, 0, SESSION, len(body))
                self.assertLess(self.grown_by(header + body), 1_000_000)
