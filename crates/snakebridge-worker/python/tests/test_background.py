from __future__ import annotations

import _socket
import os
import resource
import socket
import threading
from typing import Any

from snakebridge_worker import callbacks, frames, regions
from snakebridge_worker.codec import dumps
from snakebridge_worker.control import Control, receive

from .support import Ref, decode
from .test_callbacks import FUNCTION, CallbackCase
from .test_lane import SESSION


class Background(CallbackCase):
    """A lane with a control channel, whose other end is the test."""

    def setUp(self) -> None:
        super().setUp()
        self.host, worker = socket.socketpair()
        self.host.settimeout(10)
        self.channel = _socket.socket(fileno=worker.detach())
        self.control = self.lane.control = Control(self.channel)
        self.addCleanup(self.host.close)
        self.addCleanup(self.channel.close)
        self.outcomes: list[Any] = []

    def on_thread(self, *args: Any, **kwargs: Any) -> threading.Thread:
        """Calls a callback where no call runs."""
        callback = self.lane.callbacks.find(5, SESSION)

        def run() -> None:
            try:
                self.outcomes.append(callback(*args, **kwargs))
            except BaseException as error:
                self.outcomes.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def frame(self) -> tuple[int, int, bytes]:
        """Kind, session and body of what the worker has sent."""
        head = self.host.recv(frames.HEADER_LEN, socket.MSG_WAITALL)
        _, kind, flags, session, length = frames.HEADER.unpack(head)
        self.assertEqual(flags, 0)
        return kind, session, self.host.recv(length, socket.MSG_WAITALL)

    def asked_apart(self) -> tuple[int, Any]:
        """The number of a callback, and its arguments."""
        kind, session, body = self.frame()
        self.assertEqual((kind, session), (frames.BACKGROUND_CALLBACK, SESSION))
        number, callback_id = (frames.NUMBER.unpack_from(body, at)[0] for at in (0, 8))
        self.assertEqual(callback_id, 5)
        return number, decode(body[16:])

    def answer(self, kind: int, number: int, value: Any, flags: int = 0) -> bytes:
        body = frames.NUMBER.pack(number) + (value if type(value) is bytes else dumps(value, 5))
        return frames.HEADER.pack(1, kind, flags, SESSION, len(body)) + body

    def test_arguments_and_result(self) -> None:
        thread = self.on_thread(1, x="y")
        number, arguments = self.asked_apart()
        self.assertEqual(arguments, ((1,), {"x": "y"}))
        self.control.take(self.answer(frames.BACKGROUND_VALUE, number, "result"))
        thread.join()
        self.assertEqual(self.outcomes, ["result"])

    def test_a_failure_is_an_exception(self) -> None:
        thread = self.on_thread()
        number, _ = self.asked_apart()
        failure: tuple[str, str, list[str]] = ("builtins.KeyError", "no", [])
        self.control.take(self.answer(frames.BACKGROUND_ERROR, number, failure))
        thread.join()
        self.assertIs(type(self.outcomes[0]), KeyError)

    def test_answers_find_those_who_asked(self) -> None:
        threads = [self.on_thread(n) for n in range(20)]
        asked = [self.asked_apart() for _ in threads]
        for number, ((argument,), _) in reversed(asked):
            self.control.take(self.answer(frames.BACKGROUND_VALUE, number, argument))
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(self.outcomes), list(range(20)))

    def test_frames_come_in_pieces(self) -> None:
        threads = [self.on_thread(), self.on_thread()]
        numbers = [self.asked_apart()[0] for _ in threads]
        answers = [self.answer(frames.BACKGROUND_VALUE, number, number) for number in numbers]
        other = frames.frame(frames.DUMP_STACKS, b"")
        for byte in answers[0] + other + answers[1]:
            self.control.take(bytes([byte]))
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(self.outcomes), sorted(numbers))

    def test_objects_are_taken_before_they_can_be_released(self) -> None:
        ref_id = self.keep("types", "SimpleNamespace")
        target = self.sessions.find(SESSION, ref_id)
        thread = self.on_thread(target)
        number, ((sent,), _) = self.asked_apart()
        self.assertIsInstance(sent, Ref)
        # The opcodes for a persistent id.
        body = b"K" + bytes([sent.id]) + b"Q."
        value = self.answer(frames.BACKGROUND_VALUE, number, body, frames.HAS_REFS)
        self.control.take(value)
        thread.join()
        self.assertIs(self.outcomes[0], target)
        self.assertEqual(self.frame(), (frames.BACKGROUND_TAKEN, 0, frames.NUMBER.pack(number)))

    def test_nobody_waits_for_the_refs_any_more(self) -> None:
        self.control.take(self.answer(frames.BACKGROUND_VALUE, 99, None, frames.HAS_REFS))
        self.assertEqual(self.frame(), (frames.BACKGROUND_TAKEN, 0, frames.NUMBER.pack(99)))
        self.control.take(self.answer(frames.BACKGROUND_VALUE, 98, None))

    def test_what_cannot_be_written_is_a_ref_at_once(self) -> None:
        cyclic: list[Any] = []
        cyclic.append(cyclic)
        self.on_thread("\ud800", cyclic)
        number, ((text, items), _) = self.asked_apart()
        self.assertIsInstance(text, Ref)
        self.assertIsInstance(items[0], Ref)
        self.control.take(self.answer(frames.BACKGROUND_VALUE, number, None))

    def test_too_much_is_refused_here(self) -> None:
        objects = self.sessions.count()
        self.on_thread(b"x" * (16 << 20), object()).join()
        self.assertIsInstance(self.outcomes[0], ValueError)
        self.assertEqual(self.sessions.count(), objects)

    def test_the_lane_goes_on_meanwhile(self) -> None:
        thread = self.on_thread()
        number, _ = self.asked_apart()
        self.assert_alive()
        self.start("functools", "reduce", FUNCTION, [1, 2])
        self.assertEqual(self.asked().number, 7)
        self.control.take(self.answer(frames.BACKGROUND_VALUE, number, 1))
        thread.join()
        self.assertEqual(self.outcomes, [1])

    def test_a_forked_child_does_not_call(self) -> None:
        callback = self.lane.callbacks.find(5, SESSION)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            self.lane.forget()
            try:
                callback()
            except RuntimeError as error:
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        said = os.read(reader, 1000).decode()
        os.close(reader)
        os.close(writer)
        self.assertIn("forked", said)
        self.assertIsInstance(callback, callbacks.Callback)

    def test_a_descriptor_that_there_was_no_room_for_ends_nothing(self) -> None:
        segment = frames.SEGMENT_PARTS.pack(21, regions.SMALLEST, frames.FOR_ARGUMENTS)
        self.control.take(frames.frame(frames.SEGMENT, segment))
        with self.assertRaisesRegex(MemoryError, "segment 21 of the host cannot be mapped"):
            regions.find(21)
        regions.forgotten(21)
        self.control.take(frames.frame(frames.DUMP_STACKS, b""))

    def test_later_descriptors_stay_with_their_frames(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with open(os.devnull, "rb") as file:
            socket.send_fds(self.host, [b"first"], [file.fileno()])
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
            try:
                lost = receive(self.channel, 100)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            self.assertEqual(lost, (b"first", [-1]))
            socket.send_fds(self.host, [b"second"], [file.fileno()])
            data, descriptors = receive(self.channel, 100)
        self.assertEqual((data, len(descriptors)), (b"second", 1))
        os.close(descriptors[0])
