"""Modules that are imported when they are needed, on the way of calls.

An `import` within a function that finds its module imported takes ten times as long as this.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Once it is imported as a whole: in `sys.modules` it may be on its way in, by another thread.
_arrays: list[Any] = []


def arrays() -> Any:
    """The module `arrays`."""
    if not _arrays:
        from . import arrays as module

        _arrays.append(module)
    return _arrays[0]
