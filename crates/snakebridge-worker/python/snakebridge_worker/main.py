"""Where a worker begins: takes its descriptors and settings from the host, then serves."""

from __future__ import annotations

import _signal
import _socket
import _thread
import faulthandler
import os
import sys

from . import frames, news
from .codec import PICKLE_PROTOCOL, dumps, loads
from .control import Control, receive_frame
from .lane import Lane
from .sessions import Sessions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .async_lanes import AsyncLanes
    from .events import Events, Where

# Any other exit code comes from the user's code.
EXIT_OK = 0


def main() -> None:
    """Runs the worker and ends the process."""
    host = os.getppid()
    channel = take_control()
    settings, descriptors = receive_init(channel)
    settle(settings["module_path"])
    work(channel, host, settings, descriptors)


def work(
    channel: _socket.socket, host: int, settings: dict[str, Any], descriptors: list[int]
) -> None:
    """Runs a worker whose host is this process, and ends the process."""
    control = news.control = Control(channel)
    news.helpers = settings["helpers"]
    _limit_memory(settings["memory_limit"])
    if settings["guard"]:
        from .guard import Guard

        Guard(**settings["guard"]).install()
    lanes = (_many if settings["lanes"] else _single)(descriptors, control)
    events = _events(control, lanes.where) if settings["events"] else None
    os.register_at_fork(after_in_child=lambda: _forget(lanes, descriptors, events))
    _thread.start_new_thread(control.watch, (host,))
    news.own_threads[0] += 1
    for module in settings["preload"]:
        __import__(module)
    control.send(hello())
    try:
        lanes.serve()
    except (frames.ProtocolError, BrokenPipeError):
        pass  # The host is gone, or gave this worker up.
    _end(events)


def _single(descriptors: list[int], control: Control) -> Lane:
    """One lane, over two pipes."""
    reader, writer = descriptors
    lane = Lane(reader, writer, Sessions(), control)
    _signal.signal(_signal.SIGINT, lane.interrupt)
    return lane


def _many(descriptors: list[int], control: Control) -> AsyncLanes:
    """Many lanes, over a socket each."""
    from .async_lanes import AsyncLanes

    # The host cancels a call on its lane: a signal would be for all.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    return AsyncLanes(descriptors, Sessions(), control)


def take_control() -> _socket.socket:
    """The control channel comes as standard input; that becomes empty."""
    fd = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return _socket.socket(fileno=fd)


def receive_init(control: _socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The settings, and the descriptors of the lanes that come with them."""
    body, descriptors = _with_descriptors(control, frames.INIT)
    settings: dict[str, Any] = loads(body)
    wanted = settings["lanes"] or 2  # A socket each, or two pipes.
    while len(descriptors) < wanted:
        descriptors += _with_descriptors(control, frames.LANES)[1]
    return settings, descriptors


def _with_descriptors(control: _socket.socket, expected: int) -> tuple[bytes, list[int]]:
    """The body of a frame, and the descriptors that come with it."""
    kind, body, descriptors = receive_frame(control)
    if kind != expected or not descriptors:
        raise frames.ProtocolError(f"no settings for this worker: {kind}, {descriptors!r}")
    return body, descriptors


def _limit_memory(limit: int | None) -> None:
    if limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _events(control: Control, where: Where) -> Events:
    from .events import Events

    events = Events(control, where)
    events.install()
    return events


def hello() -> bytes:
    """What says that this process is ready, and what it is."""
    version = ".".join(map(str, sys.version_info[:3]))
    parts = (version, sys.implementation.name, sys.executable, os.getpid(), sys.prefix)
    return frames.frame(frames.HELLO, dumps(parts, PICKLE_PROTOCOL))


def _forget(lanes: Lane | AsyncLanes, descriptors: list[int], events: Events | None) -> None:
    """In a forked child: lets go of what belongs to the worker, so that its end is seen."""
    if events is not None:
        events.forget()
    lanes.forget()
    for fd in descriptors:
        os.close(fd)


def settle(module_path: list[str]) -> None:
    """What code of the user finds: its folders, no arguments, and streams to print to.

    Prints appear line by line, and no character can make printing fail.
    """
    sys.path[:0] = module_path
    sys.argv = [""]
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(  # type: ignore[union-attr]
                encoding="utf-8", errors="backslashreplace", line_buffering=True
            )
    if sys.stderr is not None:
        faulthandler.enable()


def _end(events: Events | None) -> None:
    """What the interpreter would do at its end, but for taking itself apart."""
    import atexit

    try:
        atexit._run_exitfuncs()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    if events is not None:
        events.end()
    os._exit(EXIT_OK)
