"""Callbacks that no call waits for: from threads of the user's, and while nothing is called.

    user's code ---call---> Control.ask ---BACKGROUND_CALLBACK---> host
           <--value or exception--- BACKGROUND_VALUE, BACKGROUND_ERROR

They go over the control channel, because the lane belongs to the call that runs. Imported only when
there is one.
"""

from __future__ import annotations

from . import callbacks, frames
from .codec import PICKLE_PROTOCOL, dumps, loads
from .encode import Encoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .control import Control
    from .lane import Lane
    from .sessions import Sessions

# What needs no look inside.
_SCALARS = frozenset((type(None), bool, int, float, bytes))
# The most that the host takes in one frame on the control channel.
_LARGEST = 16 << 20


def call(
    control: Control,
    lane: Lane,
    callback_id: int,
    session: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Has the host run one of its functions on a thread of its own, and waits for that."""
    body = frames.NUMBER.pack(callback_id) + _encode(lane.sessions, session, args, kwargs)
    answer = control.ask(frames.BACKGROUND_CALLBACK, session, body)
    number, kind, flags, session, value = answer
    if kind == frames.BACKGROUND_ERROR:
        raise callbacks.exception(*loads(value))
    if not flags & frames.HAS_REFS:
        return loads(value)
    try:
        return lane.load_with_refs(session, value)
    finally:
        control.taken(number)


def _encode(
    sessions: Sessions, session: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bytes:
    """Arguments by the rules of results. With care, for the host cannot ask for them again."""
    if not kwargs and _SCALARS.issuperset(map(type, args)):
        return _checked(dumps((args, kwargs), PICKLE_PROTOCOL))
    # One of its own: whatever is encoded may itself call back.
    encoder = Encoder(sessions)
    try:
        return _checked(encoder.careful(session, (args, kwargs)))
    except BaseException:
        encoder.forget()
        raise


def _checked(encoded: bytes) -> bytes:
    if len(encoded) + 2 * frames.NUMBER.size > _LARGEST:
        raise ValueError(
            f"the arguments of a callback take {len(encoded)} bytes; outside of the call that it "
            f"was given to, they can take {_LARGEST >> 20} MiB"
        )
    return encoded
