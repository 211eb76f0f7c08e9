"""Pipelines: many requests in one exchange, carried out one after the other.

Each call has an outcome of its own: one that fails does not keep the others from being made.
"""

from __future__ import annotations

from . import errors, frames
from .codec import loads
from .encode import Kept
from .sessions import RefNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .lane import Lane

# Position, kind of reply, and its body as a value.
Failure = tuple[int, int, object]

_WITH_IDS = frames.HAS_REFS | frames.TARGET_REF


class Outcomes:
    """What came of the calls: a value for each, `None` where it failed; and the failures."""

    __slots__ = ("failures", "values")

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.failures: list[Failure] = []

    def fail(self, error: BaseException) -> None:
        """The next call has failed."""
        place = len(self.values)
        self.values.append(None)
        if isinstance(error, NotMade):
            self._fault(place, frames.FAULT_NOT_MADE, str(error))
        elif isinstance(error, RefNotFound):
            self._fault(place, frames.FAULT_REF_NOT_FOUND, str(error))
        elif isinstance(error, frames.Fault):
            self._fault(place, error.code, str(error))
        elif isinstance(error, BadArguments):
            self._fault(place, frames.FAULT_ARGUMENTS, str(error))
        else:
            self.failures.append((place, frames.ERROR, errors.describe(error)))

    def _fault(self, place: int, code: int, text: str) -> None:
        self.failures.append((place, frames.FAULT, (code, text)))

    def find(self, pid: int) -> Any:
        """The result that an id stands for, for the arguments of a later call."""
        place = pid - frames.FIRST_RESULT
        if place >= len(self.values):
            raise NotMade(f"call {place + 1}, whose result it uses, comes later")
        if any(failed == place for failed, _, _ in self.failures):
            raise NotMade(f"call {place + 1}, whose result it uses, has failed")
        value = self.values[place]
        return value.target if type(value) is Kept else value


class NotMade(Exception):
    """A call that uses the result of a call that has failed, or that could not be sent."""


class BadArguments(Exception):
    """The arguments could not be built."""


def run(lane: Lane, parts: tuple[Any, ...]) -> Outcomes:
    """`(kind, flags, body, kind, flags, body, ...)`: the requests, one after the other.

    A body is bytes, or a tuple where that cannot fail.
    """
    outcomes = Outcomes()
    values, operations = outcomes.values, lane.operations
    with_ids, by_ref = _WITH_IDS, frames.BY_REF
    flat = iter(parts)
    for kind, flags, body in zip(flat, flat, flat):
        try:
            if type(body) is tuple:
                request = body
            elif body and not flags & with_ids:
                request = loads(body)
            else:
                request = _load(lane, flags, body, outcomes)
        except BaseException as error:
            _check(lane, error)
            outcomes.fail(error if isinstance(error, (NotMade, RefNotFound)) else _bad(error))
            continue
        try:
            result = operations[kind](request)
        except BaseException as error:
            _check(lane, error)
            outcomes.fail(error)
            continue
        if flags:
            if flags & by_ref:
                result = Kept(result)
            elif flags & frames.NO_RESULT:
                result = None
        values.append(result)
        if not lane.running:
            raise KeyboardInterrupt  # The call has caught it, but it was meant for the whole.
    return outcomes


def _load(lane: Lane, flags: int, body: bytes, outcomes: Outcomes) -> tuple[Any, ...]:
    """The parts of a request with refs, or with results of earlier ones."""
    if not body:
        raise NotMade("it could not be sent")
    request: tuple[Any, ...] = lane.load_with_refs(lane.session, body, outcomes.find)
    if flags & frames.TARGET_REF:
        request = (lane.sessions.find(lane.session, request[0]), *request[1:])
    return request


def _bad(error: BaseException) -> BadArguments:
    return BadArguments(f"{type(error).__name__}: {errors.message(error)}")


def _check(lane: Lane, error: BaseException) -> None:
    """Lets an error through that was meant for the whole."""
    if not lane.running:
        raise error
