from __future__ import annotations

import asyncio
import contextvars
import unittest
from typing import TYPE_CHECKING, Any

from snakebridge_worker import coroutines
from snakebridge_worker.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
closed: list[bool] = []


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def rename(value: str) -> str:
    before = name.get()
    name.set(value)
    return before


async def ticks(count: int) -> AsyncIterator[int]:
    try:
        for number in range(count):
            yield number
    finally:
        await asyncio.sleep(0)
        closed.append(True)


async def interrupted(cleaned: list[bool]) -> None:
    async def clean() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    def interrupt() -> None:
        raise KeyboardInterrupt

    asyncio.get_running_loop().call_soon(interrupt)
    await clean()


def tearDownModule() -> None:
    coroutines.the_loop().close()
    coroutines.the_loop.cache_clear()


class Coroutines(unittest.TestCase):
    def test_awaits(self) -> None:
        self.assertEqual(coroutines.run(answer()), 42)

    def test_contexts_of_sessions(self) -> None:
        sessions = Sessions()

        def run(value: str, session: int) -> Any:
            return coroutines.run(rename(value), sessions, session)

        self.assertEqual([run("a", 1), run("b", 2), run("c", 1)], ["nobody", "nobody", "a"])
        sessions.close(1)
        self.assertEqual([run("d", 1), run("e", 2)], ["nobody", "b"])

    def test_an_interrupt_cancels_the_task(self) -> None:
        cleaned: list[bool] = []
        with self.assertRaises(KeyboardInterrupt):
            coroutines.run(interrupted(cleaned))
        self.assertEqual(cleaned, [True])
        self.assertEqual(coroutines.run(answer()), 42)

    def test_asynchronous_items(self) -> None:
        self.assertEqual(list(coroutines.AsyncItems(ticks(3))), [0, 1, 2])

    def test_items_are_closed_with_their_iterator(self) -> None:
        closed.clear()
        items = coroutines.AsyncItems(ticks(3))
        self.assertEqual(next(items), 0)
        del items
        self.assertEqual(closed, [True])
