"""The pickle machinery, in C where the interpreter has it.

`pickle` itself imports a good deal that is of no use here and would delay the start.
"""

from __future__ import annotations

import sys

# The C module imports `functools` for `partial` alone, which is written in C too. The Python part
# around it, and `collections` below that, are a quarter of the time that a worker takes to start.
_STAND_IN = "functools" not in sys.modules
if _STAND_IN:
    import _functools

    sys.modules["functools"] = _functools
try:
    import _pickle  # noqa: F401
except ImportError:
    pass
finally:
    if _STAND_IN:
        del sys.modules["functools"]

try:
    from _pickle import Pickler, Unpickler, dumps, loads
except ImportError:  # An interpreter without the C module: slower, same meaning.
    from pickle import Pickler, Unpickler, dumps, loads

PICKLE_PROTOCOL = 5

__all__ = ["PICKLE_PROTOCOL", "Pickler", "Unpickler", "dumps", "loads"]
