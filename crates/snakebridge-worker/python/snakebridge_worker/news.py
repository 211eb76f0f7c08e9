"""What arrays in shared memory have to tell the host with the next reply, and where helpers are.

Also how many threads are those of the worker itself. Apart from `regions`, `helpers` and `mailbox`,
which are imported when they are needed: nobody else is to pay for them.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .control import Control

# Segments whose arrays have come with the request that is being loaded.
arrived: list[int] = []
# The same for a thread that loads parts of a request while others are loaded elsewhere.
local = _thread._local()
# Segments whose arrays were still there after their request, and are gone now; each with the
# number under which the host was told that they were there.
gone: list[tuple[int, int]] = []
# The way to ask the host for segments.
control: Control | None = None
# The settings of helpers, unless they are switched off.
helpers: dict[str, Any] | None = None
# How many threads of the worker itself there are beside the main one.
own_threads = [0]
