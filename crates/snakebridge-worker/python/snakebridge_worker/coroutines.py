"""Awaitables: on one event loop, which lives as long as the worker, and runs while one is awaited.

Imported only when something is to be awaited: `asyncio` takes longer than all else that a worker
needs.
"""

from __future__ import annotations

import _thread
import asyncio
import contextvars
from functools import lru_cache
from time import monotonic

from .streams import AT_END, BUDGET, QUICK, SLOW, Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Awaitable, Coroutine
    from typing import Any

    from .sessions import Sessions

# The one loop, from when it is needed.
the_loop = lru_cache(maxsize=None)(asyncio.new_event_loop)


def run(awaitable: Awaitable[Any], sessions: Sessions | None = None, session: int = 0) -> Any:
    """Awaits something, in the context of a session."""
    loop = the_loop()
    contexts: dict[int, contextvars.Context] = {} if sessions is None else sessions.contexts
    context = context_of(contexts, session)

    async def awaited() -> Any:
        try:
            return await awaitable
        finally:
            # A task has a copy of its own, which is what the next one of the session begins with.
            contexts[session] = contextvars.copy_context()

    if loop.is_running():
        return _on_running(loop, context, awaited())
    return _complete(loop, context.run(loop.create_task, awaited()))


def context_of(contexts: dict[int, contextvars.Context], session: int) -> contextvars.Context:
    """The context of a session, to run one thing in: several cannot be in one at the same time."""
    context = contexts.get(session)
    return contextvars.copy_context() if context is None else context.copy()


def _complete(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> Any:
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        # The host wants an end. It waits as long as its grace time allows for the task to have one.
        if not task.done():
            task.cancel()
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError:
                pass
        elif not task.cancelled():
            task.exception()  # It is known: nothing has to be printed about it.
        raise


# What threads wait for that have something awaited on a loop that another one runs.
_awaited_by: dict[int, concurrent.futures.Future[Any]] = {}


def _on_running(
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    coroutine: Coroutine[Any, Any, Any],
) -> Any:
    thread = _thread.get_ident()
    if asyncio._get_running_loop() is not None:
        coroutine.close()
        raise RuntimeError("the event loop runs this call, and so cannot await within it")
    future = context.run(asyncio.run_coroutine_threadsafe, coroutine, loop)
    _awaited_by[thread] = future
    try:
        return future.result()
    finally:
        del _awaited_by[thread]


def cancel(thread: int) -> None:
    """Cancels what this thread has something awaited for."""
    future = _awaited_by.get(thread)
    if future is not None:
        future.cancel()


class AsyncItems:
    """An asynchronous iterator, as an iterator. Closed when nobody needs it any more."""

    def __init__(self, source: Any) -> None:
        self._iterator = type(source).__aiter__(source)

    def __iter__(self) -> AsyncItems:
        return self

    def __next__(self) -> Any:
        try:
            return run(self.next())
        except StopAsyncIteration:
            raise StopIteration from None

    def next(self) -> Awaitable[Any]:
        """An awaitable of the next item."""
        awaitable: Awaitable[Any] = type(self._iterator).__anext__(self._iterator)
        return awaitable

    def __del__(self) -> None:
        close = getattr(self._iterator, "aclose", None)
        if close is None:
            return
        loop = the_loop()
        if loop.is_running():
            loop.call_soon_threadsafe(lambda: loop.create_task(close()))
        else:
            run(close())


def is_asynchronous(source: Any) -> bool:
    """Whether something can only be iterated over asynchronously."""
    cls = type(source)
    return hasattr(cls, "__aiter__") and not hasattr(cls, "__iter__")


async def begin(source: Any) -> Batch:
    """The first item of an asynchronous iterable: `streams.begin` for tasks."""
    items = AsyncItems(source)
    try:
        item = await items.next()
    except StopAsyncIteration:
        return Batch([], AT_END)
    return Batch([item], SLOW, None, items)


async def take(items: AsyncItems, count: int) -> Batch:
    """The next items, this many at most: `streams.take` for tasks."""
    taken: list[Any] = []
    time = monotonic()
    deadline = time + BUDGET
    while True:
        try:
            taken.append(await items.next())
        except StopAsyncIteration:
            return Batch(taken, AT_END)
        except asyncio.CancelledError:
            raise  # The host has given up.
        except BaseException as error:
            if not taken:
                raise
            return Batch(taken, AT_END, error)
        before, time = time, monotonic()
        if len(taken) == count or time >= deadline:
            return Batch(taken, SLOW if time - before > BUDGET / 2 else QUICK)
