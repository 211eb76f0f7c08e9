"""Context managers: what `with` does, in two requests with the calls of the host in between.

While one is open in a session, the exceptions of its calls are kept: the one that leaves the body
is handed to `__exit__` as it is.
"""

from __future__ import annotations

from itertools import count

from . import callbacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any, Callable

    Await = Callable[[Awaitable[Any]], Any]

# How many exceptions of a session are kept. The one that leaves a body is among the last.
_MOST_KEPT = 32


class Contexts:
    """The context managers of a lane that are open."""

    def __init__(self, wait_for: Await) -> None:
        self._wait_for = wait_for
        # By session: how many are open, and exceptions by their numbers.
        self.open: dict[int, int] = {}
        self._raised: dict[int, dict[int, BaseException]] = {}
        self._next_number = count(1).__next__

    def note(self, session: int, error: BaseException) -> int:
        """Keeps an exception if a context manager may want it; 0 if none does."""
        if session not in self.open:
            return 0
        raised = self._raised.setdefault(session, {})
        if len(raised) >= _MOST_KEPT:
            del raised[next(iter(raised))]
        number = self._next_number() & 0xFFFFFFFF
        raised[number] = error
        return number

    def enter(self, session: int, manager: Any) -> Any:
        """What `with` does before the body."""
        cls = type(manager)
        if hasattr(cls, "__enter__") and hasattr(cls, "__exit__"):
            entered = cls.__enter__(manager)
        elif hasattr(cls, "__aenter__") and hasattr(cls, "__aexit__"):
            entered = self._wait_for(cls.__aenter__(manager))
        else:
            text = f"'{cls.__name__}' object does not support the context manager protocol"
            raise TypeError(text)
        self.open[session] = self.open.get(session, 0) + 1
        return entered

    def exit(self, session: int, manager: Any, number: int, failure: Any) -> bool:
        """What `with` does after the body. Whether the error is taken care of."""
        error = self._raised.get(session, {}).get(number)
        if error is None and failure is not None:
            error = callbacks.exception(*failure)
        self._close(session)
        if error is None:
            return self._exit(manager, None, None, None)
        traceback = error.__traceback__
        try:
            raise error
        except BaseException:
            # An exception in there has this one as its context.
            error.__traceback__ = traceback
            return self._exit(manager, type(error), error, traceback)

    def _exit(self, manager: Any, *error: Any) -> bool:
        cls = type(manager)
        if hasattr(cls, "__enter__") and hasattr(cls, "__exit__"):
            return bool(cls.__exit__(manager, *error))
        return bool(self._wait_for(cls.__aexit__(manager, *error)))

    def _close(self, session: int) -> None:
        left = self.open.get(session, 0) - 1
        if left > 0:
            self.open[session] = left
        else:
            self.open.pop(session, None)
            self._raised.pop(session, None)

    def forget(self, session: int) -> None:
        """The session was closed."""
        self.open.pop(session, None)
        self._raised.pop(session, None)
