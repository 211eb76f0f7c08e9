"""What arrays in shared memory have to tell the host with the next reply.

Apart from `regions`, which is imported when there is such an array: nobody else is to pay for it.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .control import Control

# Segments whose arrays have come with the request that is being loaded.
arrived: list[int] = []
# The same for a thread that loads parts of a request while others are loaded elsewhere.
local = _thread._local()
# Segments whose arrays were still there after their request, and are gone now.
gone: list[int] = []
# The way to ask the host for segments.
control: Control | None = None
