"""Awaitables: on one event loop, which lives as long as the worker, and runs while one is awaited.

Imported only when something is to be awaited: `asyncio` takes longer than all else that a worker
needs.
"""

from __future__ import annotations

import asyncio
import contextvars
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

    from .sessions import Sessions

# The one loop, from when it is needed.
the_loop = lru_cache(maxsize=None)(asyncio.new_event_loop)


def run(awaitable: Awaitable[Any], sessions: Sessions | None = None, session: int = 0) -> Any:
    """Awaits something, in the context of a session."""
    loop = the_loop()
    contexts: dict[int, contextvars.Context] = {} if sessions is None else sessions.contexts
    context = contexts.get(session) or contextvars.copy_context()

    async def awaited() -> Any:
        try:
            return await awaitable
        finally:
            # A task has a copy of its own, which is what the next one of the session begins with.
            contexts[session] = contextvars.copy_context()

    return _complete(loop, context.run(loop.create_task, awaited()))


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


class AsyncItems:
    """An asynchronous iterator, as an iterator. Closed when nobody needs it any more."""

    def __init__(self, source: Any) -> None:
        self._iterator = type(source).__aiter__(source)

    def __iter__(self) -> AsyncItems:
        return self

    def __next__(self) -> Any:
        try:
            return run(type(self._iterator).__anext__(self._iterator))
        except StopAsyncIteration:
            raise StopIteration from None

    def __del__(self) -> None:
        close = getattr(self._iterator, "aclose", None)
        if close is not None and not the_loop().is_running():
            run(close())
