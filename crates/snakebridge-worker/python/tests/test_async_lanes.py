from __future__ import annotations

import asyncio
import os
import socket
import threading
import unittest
from typing import Any

from snakebridge_worker import async_lanes, coroutines, frames, news
from snakebridge_worker.sessions import Sessions

from .test_lane import SESSION, PersistentId, Reply, call, request
from .test_pipelines import pipeline


def awaited(module: str, function: str, *args: Any) -> bytes:
    return request(frames.CALL + frames.AWAITED, module, function, args)


CANCEL = frames.HEADER.pack(1, frames.CANCEL, 0, 0, 0)


class Case(unittest.TestCase):
    """Two lanes on one loop, which a thread of its own runs."""

    def setUp(self) -> None:
        coroutines.the_loop.cache_clear()
        loop = coroutines.the_loop()
        pairs = [socket.socketpair() for _ in range(2)]
        self.ends = [ours for ours, _ in pairs]
        self.sessions = Sessions()
        theirs = [end.detach() for _, end in pairs]
        lanes = async_lanes.AsyncLanes(theirs, self.sessions)
        self.where = lanes.where
        self.thread = threading.Thread(target=lanes.serve, daemon=True)
        self.thread.start()
        self.addCleanup(coroutines.the_loop.cache_clear)
        self.addCleanup(loop.close)
        self.addCleanup(self.close)

    def close(self) -> None:
        for end in self.ends:
            end.close()
        self.thread.join(10)
        self.assertFalse(self.thread.is_alive(), "the loop goes on without lanes")

    def send(self, lane: int, data: bytes) -> None:
        self.ends[lane].sendall(data)

    def receive(self, lane: int) -> Reply:
        _, kind, _, _, length = frames.HEADER.unpack(self.read(lane, frames.HEADER_LEN))
        return Reply(kind, self.read(lane, length))

    def read(self, lane: int, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.ends[lane].recv(count - len(data))
            self.assertTrue(more, "the lane was closed")
            data += more
        return data

    def ask(self, lane: int, data: bytes) -> Reply:
        self.send(lane, data)
        return self.receive(lane)

    def value(self, lane: int, data: bytes) -> Any:
        reply = self.ask(lane, data)
        self.assertEqual(reply.kind, frames.VALUE, reply)
        return reply.value


class Calls(Case):
    def test_calls_that_do_not_await(self) -> None:
        self.assertEqual(self.value(0, call("math", "sqrt", 16)), 4.0)
        self.assertEqual(self.ask(1, call("math", "sqrt", -1)).kind, frames.ERROR)
        self.assertEqual(self.ask(1, request(200)).kind, frames.FAULT)
        self.assertEqual(self.ask(1, request(frames.LEN, PersistentId(9))).kind, frames.FAULT)
        self.assertEqual(self.value(1, pipeline(call("math", "sqrt", 4))), ([2.0], []))

    def test_frames_in_any_pieces(self) -> None:
        data = call("builtins", "str", "x" * 100)
        for cut in range(1, len(data)):
            self.send(0, data[:cut])
            # The other lane is served meanwhile, and shows that the piece was read.
            self.assertEqual(self.value(1, call("builtins", "int")), 0)
            self.assertEqual(self.value(0, data[cut:]), "x" * 100)

    def test_large_frames(self) -> None:
        text = "x" * (3 << 20)
        self.assertEqual(self.value(0, call("builtins", "str", text)), text)

    def test_a_call_that_waits_leaves_the_loop_to_the_others(self) -> None:
        self.send(0, awaited("asyncio", "sleep", 3600))
        self.assertEqual(self.value(1, awaited("asyncio", "sleep", 0, "slept")), "slept")
        self.send(0, CANCEL)
        reply = self.receive(0)
        self.assertEqual((reply.kind, reply.value[1]), (frames.ERROR, "CancelledError"))
        self.assertEqual(self.value(0, call("math", "sqrt", 16)), 4.0)

    def test_a_cancel_that_comes_too_late_is_ignored(self) -> None:
        self.send(0, CANCEL)
        self.assertEqual(self.value(0, call("math", "sqrt", 16)), 4.0)

    def test_what_leaves_a_coroutine_does_not_end_the_loop(self) -> None:
        for name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "ValueError"):
            reply = self.ask(0, awaited(__name__, "raising", name))
            self.assertEqual((reply.kind, reply.value[1]), (frames.ERROR, name))
        self.assertEqual(self.value(0, call("math", "sqrt", 16)), 4.0)

    def test_an_empty_pipeline(self) -> None:
        self.assertEqual(self.value(0, pipeline()), ([], []))

    def test_arrays_of_a_pipeline_that_awaits_are_those_of_its_lane(self) -> None:
        steps = awaited("asyncio", "sleep", 0, 7), call(__name__, "has_own_arrivals")
        self.assertEqual(self.value(0, pipeline(*steps)), ([7, True], []))
        self.assertFalse(self.value(0, call(__name__, "has_own_arrivals")))

    def test_a_pipeline_that_awaits_can_be_cancelled(self) -> None:
        sleep = awaited("asyncio", "sleep", 3600)
        self.send(0, pipeline(awaited("asyncio", "sleep", 0), sleep, sleep))
        # It has to have begun: the second sleep is what is cancelled.
        while not coroutines._awaited_by:
            self.assertEqual(self.value(1, call("math", "sqrt", 16)), 4.0)
        self.send(0, CANCEL)
        self.assertEqual(self.receive(0).kind, frames.ERROR)
        self.assertEqual(self.value(0, call("math", "sqrt", 16)), 4.0)

    def test_a_lane_that_is_closed_cancels_its_call(self) -> None:
        self.send(0, awaited(__name__, "noting_its_end"))
        self.assertEqual(self.value(1, awaited(__name__, "begun")), True)
        self.ends[0].close()
        self.assertEqual(self.value(1, awaited(__name__, "ended")), True)

    def test_where(self) -> None:
        self.assertEqual(self.value(0, awaited(__name__, "told")), (SESSION, f"{__name__}.told"))
        self.assertEqual(
            self.value(0, call(__name__, "told_now")), (SESSION, f"{__name__}.told_now")
        )
        self.assertEqual(self.where(), (0, None))


async def raising(name: str) -> None:
    await asyncio.sleep(0)
    raise getattr(__import__("builtins"), name)


_begun: list[bool] = []
_ended: list[bool] = []


async def noting_its_end() -> None:
    _begun.append(True)
    try:
        await asyncio.sleep(3600)
    finally:
        _ended.append(True)


async def begun() -> bool:
    while not _begun:  # noqa: ASYNC110 (an event would belong to one loop)
        await asyncio.sleep(0)
    return True


async def ended() -> bool:
    while not _ended:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return True


async def told() -> Any:
    await asyncio.sleep(0)
    return async_lanes._call.get()


def has_own_arrivals() -> bool:
    return hasattr(news.local, "arrived")


def told_now() -> Any:
    return async_lanes._call.get()


class Descriptors(unittest.TestCase):
    def test_all_are_closed_at_the_end(self) -> None:
        ours, theirs = socket.socketpair()
        descriptor = theirs.detach()
        coroutines.the_loop.cache_clear()
        ours.close()
        async_lanes.AsyncLanes([descriptor], Sessions()).serve()
        with self.assertRaises(OSError):
            os.fstat(descriptor)
        coroutines.the_loop().close()
        coroutines.the_loop.cache_clear()
