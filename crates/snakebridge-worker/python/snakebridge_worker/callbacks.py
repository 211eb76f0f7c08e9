"""Callbacks: functions of the host, as callables.

    user's code ---call---> Callback ---CALLBACK---> host
                 <--value or exception--- CALLBACK_VALUE, CALLBACK_ERROR

That is within a call, on its lane; `background` is for everything else.

The host keeps a function as long as a callable for it lives here; `Callbacks.dropped` collects
those that have gone, and the lane tells the host with its next reply.
"""

from __future__ import annotations

import sys
from _thread import RLock
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    # Calls the host: id of the callback, session, positional and keyword arguments.
    Carry = Callable[[int, int, tuple[Any, ...], dict[str, Any]], Any]


class RustError(RuntimeError):
    """A function of the host has failed, and named no exception class of its own."""


class Callback:
    """A function of the host. Can be called from any thread."""

    __slots__ = ("__weakref__", "_carry", "_id", "_owner", "_received", "_session")

    def __init__(self, owner: Callbacks, callback_id: int, session: int) -> None:
        self._owner = owner
        self._carry = owner.carry
        self._id = callback_id
        # Objects among the arguments become refs of this session.
        self._session = session
        # How often the host has sent it.
        self._received = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function in the host."""
        return self._carry(self._id, self._session, args, kwargs)

    def __repr__(self) -> str:
        return f"<callback of the host #{self._id}>"

    def __del__(self) -> None:
        self._owner.dropped.extend((self._id, self._received))


class Callbacks:
    """All callables of one worker."""

    def __init__(self, carry: Carry) -> None:
        self.carry = carry
        # Id and count in turn; grows from whatever thread drops a callable.
        self.dropped: list[int] = []
        self._alive: dict[int, ref[Callback]] = {}
        # Callables come with requests, and with what callbacks on other threads return.
        self._finding = RLock()

    def find(self, callback_id: int, session: int) -> Callback:
        """The callable for an id that the host has sent: the same one as long as it lives."""
        with self._finding:
            known = self._alive.get(callback_id)
            found = None if known is None else known()
            if found is None:
                found = Callback(self, callback_id, session)
                self._alive[callback_id] = ref(found)
            found._received += 1
            return found

    def take_dropped(self) -> tuple[int, ...]:
        """What the host has not been told yet."""
        # Other threads may add to the list meanwhile.
        count = len(self.dropped)
        dropped = self.dropped[:count]
        del self.dropped[:count]
        with self._finding:
            for callback_id in dropped[::2]:
                known = self._alive.get(callback_id)
                if known is not None and known() is None:
                    del self._alive[callback_id]
        return tuple(dropped)


def exception(name: str, message: str, causes: list[str]) -> BaseException:
    """The exception by which a failure in the host shows: of the class named, if there is one."""
    error = _instance(name, message)
    link = error
    for cause in causes:
        link.__cause__ = RustError(cause)
        link = link.__cause__
    return error


def _instance(name: str, message: str) -> BaseException:
    module, _, qualname = name.rpartition(".")
    try:
        found: Any = sys.modules[module or "builtins"]
        for part in qualname.split("."):
            found = getattr(found, part)
        error = found(message)
        if isinstance(error, BaseException):
            return error
    except Exception:
        pass  # No such class, or one that takes other arguments: the text says what it was.
    return RustError(f"{name}: {message}" if name else message)
