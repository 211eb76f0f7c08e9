"""Frames: a header of sixteen bytes, then a body. See `spec/wire.md`."""

from __future__ import annotations

from struct import Struct, pack

PROTOCOL_VERSION = 1

# version, kind, flags, session, length of the body
HEADER = Struct("<BBHIQ")
HEADER_LEN = HEADER.size

# Flags of a request.
HAS_REFS = 1
BY_REF = 2
TARGET_REF = 4
NO_RESULT = 8
ARRAYS = 16
TABLES = 32

# Kinds of requests.
CALL = 1
GET = 2
METHOD = 3
ATTR = 4
SET_ATTR = 5
DEL_ATTR = 6
ITEM = 7
SET_ITEM = 8
DEL_ITEM = 9
INVOKE = 10
LEN = 11
CONTAINS = 12
STR = 13
REPR = 14
NEXT = 15
ITER = 16
AWAIT = 17
ENTER = 18
EXIT = 19
PIPELINE = 20
HELPER = 21
HELPERS = 22
# Added to the kind of a request whose result is iterated over.
ITERATED = 128
# Added to the kind of a request whose result is awaited.
AWAITED = 160
RELEASE = 32
CLOSE_SESSION = 33
AGAIN = 34
CALLBACK_VALUE = 35
CALLBACK_ERROR = 36
CANCEL = 37
MAILBOX = 38

# Kinds of replies.
VALUE = 64
REF = 65
ERROR = 66
FAULT = 67
CALLBACK = 68
CALLBACKS_DROPPED = 69
REGIONS_KEPT = 70
REGIONS_GONE = 71
# In both directions.
RING = 72

# The id of the first result of a pipeline, where a later request of it names it like a ref.
FIRST_RESULT = 1 << 60

# Kinds on the control channel.
INIT = 96
HELLO = 97
LOG = 99
WARNING = 100
EVENTS_DROPPED = 101
DUMP_STACKS = 102
BACKGROUND_CALLBACK = 103
BACKGROUND_VALUE = 104
BACKGROUND_ERROR = 105
BACKGROUND_TAKEN = 106
LANES = 107
SEGMENT = 118
WANT_SEGMENT = 119
SEGMENT_FREED = 120
SEGMENT_FORGOTTEN = 121
SEGMENT_RECALLED = 122
SEGMENT_RETURNED = 123

# Kinds on the channel of a fork server.
FORK_SERVER = 112
FORK = 113
FORKED = 114
REAP = 115
ENDED = 116
UNFORKABLE = 117

# What stands ahead of a body: the id of a callback, or which of many answers is meant.
NUMBER = Struct("<Q")

# Most frames of numbers: the header, and two of them.
_TWO_NUMBERS = Struct("<BBHIQQQ")

# The header of a callback, and the number ahead of its arguments.
CALLBACK_HEAD = Struct("<BBHIQQ")

# A segment: its id, its size, and what it is for; size 0 where there is none.
SEGMENT_PARTS = Struct("<QQB")
FOR_ARGUMENTS = 0
FOR_RESULTS = 1
FOR_MAILBOX = 2

# How the body of a frame ends that was given up while it was written. No value ends so.
GIVEN_UP = b"\0"

# The segment of a mailbox, or 0; how often to look, as a power of two; one more than the core to go
# away from, or 0.
MAILBOX_PARTS = Struct("<QBI")

# Codes of faults.
FAULT_REF_NOT_FOUND = 1
FAULT_ARGUMENTS = 2
FAULT_RESULT = 3
FAULT_REQUEST = 4
FAULT_NOT_MADE = 5
FAULT_HELPER_NOT_FOUND = 6
FAULT_NOT_ALLOWED = 7


class ProtocolError(Exception):
    """The host sent something that is no frame of this protocol."""


class Fault(Exception):
    """A request is not carried out, for a reason that the host knows by its code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def header(kind: int, length: int, session: int = 0) -> bytes:
    """The header of a frame to the host."""
    return HEADER.pack(PROTOCOL_VERSION, kind, 0, session, length)


def numbers(kind: int, told: tuple[int, ...]) -> bytes:
    """A frame of numbers, in eight bytes each."""
    if len(told) == 2:
        return _TWO_NUMBERS.pack(PROTOCOL_VERSION, kind, 0, 0, 16, *told)
    return frame(kind, pack(f"<{len(told)}Q", *told))


def frame(kind: int, body: bytes) -> bytes:
    """A whole reply."""
    return HEADER.pack(PROTOCOL_VERSION, kind, 0, 0, len(body)) + body
