"""Whether this process can be forked: what threads and GPU runtimes do not survive."""

from __future__ import annotations

import _thread
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Threads that have nothing more to do are still there for a moment.
_END_LIMIT = 1.0
_STEP = 0.01
_TASKS = "/proc/self/task"
_MAPS = "/proc/self/maps"
# What JAX computes on where there is no GPU.
_NO_GPU = frozenset(("cpu", "interpreter"))


def objection() -> str | None:
    """Why this process must not be forked, after the name of the module that was imported last."""
    return gpu_objection(sys.modules, _mapped_files()) or thread_objection(_lasting_threads())


def thread_objection(threads: list[str | None]) -> str | None:
    """What these threads, beside the main one, mean for a fork. Those of C code have no name."""
    if not threads:
        return None
    names = ", ".join("of C code" if name is None else f"`{name}`" for name in threads[:3])
    more = ", ..." if len(threads) > 3 else ""
    count = "a thread" if len(threads) == 1 else f"{len(threads)} threads"
    return f"has started {count} ({names}{more}), which a forked process would lack"


def gpu_objection(modules: Mapping[str, Any], mapped: str) -> str | None:
    """What these modules, and the files that are mapped into memory, mean for a fork."""
    runtime = _gpu_runtime(modules, mapped)
    if runtime is None:
        return None
    return f"has made use of a GPU ({runtime}), which a forked process cannot go on with"


def _gpu_runtime(modules: Mapping[str, Any], mapped: str) -> str | None:
    cuda = getattr(modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "torch has initialized it"
    # To ask JAX itself would have it begin.
    backends = getattr(modules.get("jax._src.xla_bridge"), "_backends", ())
    if not _NO_GPU.issuperset(backends):
        return "jax has a backend for it"
    if "cupy" in modules:
        return "cupy is imported"
    # Whoever it is: tensorflow, numba, and others.
    return "`libcuda.so` is loaded" if "/libcuda.so" in mapped else None


def _mapped_files() -> str:
    try:
        with open(_MAPS, encoding="utf-8", errors="replace") as maps:
            return maps.read()
    except OSError:
        return ""


def _lasting_threads() -> list[str | None]:
    """Names of the threads beside this one that do not end within a moment."""
    deadline = time.monotonic() + _END_LIMIT
    while True:
        threads = _other_threads()
        if not threads or time.monotonic() > deadline:
            return threads
        time.sleep(_STEP)


def _other_threads() -> list[str | None]:
    # Not imported for this: without it there are no threads of Python's that have a name.
    threading = sys.modules.get("threading")
    known = threading.enumerate() if threading is not None else ()
    own = _thread.get_native_id()
    names = {thread.native_id: thread.name for thread in known}
    try:
        tasks = [int(name) for name in os.listdir(_TASKS)]
    except OSError:
        return [name for ident, name in names.items() if ident != own]
    return [names.get(task) for task in tasks if task != own]
