"""The pickle machinery, in C where the interpreter has it.

`pickle` itself imports a good deal that is of no use here and would delay the start.
"""

from __future__ import annotations

try:
    from _pickle import Pickler, Unpickler, dumps, loads
except ImportError:  # An interpreter without the C module: slower, same meaning.
    from pickle import Pickler, Unpickler, dumps, loads

PICKLE_PROTOCOL = 5

__all__ = ["PICKLE_PROTOCOL", "Pickler", "Unpickler", "dumps", "loads"]
