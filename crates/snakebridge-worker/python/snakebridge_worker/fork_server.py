"""The process that the workers of a pool are forked from, where the pool wants that.

    host --- FORK, with descriptors ---> one thread --- fork ---> worker <--- INIT --- host
    host <--- FORKED, a process id ------'

It imports the modules of the pool once, before there is any thread, and has one thread itself, so
that a copy of it is whole. What cannot be copied it refuses; see `fork_safety.py`.
"""

from __future__ import annotations

import _socket
import gc
import os
import sys

from . import fork_safety, frames
from .codec import PICKLE_PROTOCOL, dumps, loads
from .control import EXIT_HOST_GONE, die_with, receive_frame
from .main import EXIT_OK, hello, receive_init, settle, take_control, work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# With each wish for a worker: its control channel, standard output, standard error.
_DESCRIPTORS = 3


def main() -> None:
    """Runs the fork server. Its process ends here, and so does that of each worker."""
    host = os.getppid()
    channel = take_control()
    kind, body, _ = receive_frame(channel)
    if kind != frames.FORK_SERVER:
        raise frames.ProtocolError(f"no settings for this fork server: {kind}")
    settings: dict[str, Any] = loads(body)
    # Before anything of the user is imported: C code that keeps the interpreter to itself must not
    # outlive the host.
    die_with(host)
    _check_open(channel)
    settle(settings["module_path"])
    _import_own(settings)
    for module in settings["preload"]:
        _preload(channel, module)
    # What is there stays where it is: looking through it for garbage would write to all of its
    # pages, and each worker would have them for itself.
    gc.collect()
    gc.freeze()
    _tell(channel, hello())
    while True:
        _carry_out(channel, *receive_frame(channel))


def _check_open(channel: _socket.socket) -> None:
    """Ends the process if the host has died so early that another process is taken for it."""
    try:
        if channel.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT):
            return
    except BlockingIOError:
        return
    os._exit(EXIT_HOST_GONE)


def _import_own(settings: dict[str, Any]) -> None:
    """What the workers themselves need with these settings. Importing it is all there is to do."""
    if settings["lanes"]:
        from . import async_lanes  # noqa: F401
    if settings["events"]:
        import warnings  # noqa: F401

        from . import events  # noqa: F401


def _preload(channel: _socket.socket, module: str) -> None:
    """Imports a module; ends the process if it could not be forked with it."""
    __import__(module)
    reason = fork_safety.objection()
    if reason is not None:
        body = dumps((module, reason), PICKLE_PROTOCOL)
        _tell(channel, frames.frame(frames.UNFORKABLE, body))
        os._exit(EXIT_OK)


def _carry_out(channel: _socket.socket, kind: int, body: bytes, descriptors: list[int]) -> None:
    (number,) = frames.NUMBER.unpack(body)
    if kind == frames.FORK:
        _fork(channel, number, descriptors)
    elif kind == frames.REAP:
        _reap(channel, number)
    else:
        raise frames.ProtocolError(f"unknown kind of request: {kind}")


def _fork(channel: _socket.socket, number: int, descriptors: list[int]) -> None:
    """Forks a worker, and says which process it is."""
    server = os.getpid()
    pid, reason = 0, "it could not be given its descriptors"
    if len(descriptors) == _DESCRIPTORS:
        _flush()
        try:
            pid = os.fork()
        except OSError as error:
            reason = str(error)
        else:
            if pid == 0:
                _be_worker(channel, server, *descriptors)
    if pid:
        _lead_group(pid)
    for fd in descriptors:
        os.close(fd)
    body = dumps((number, pid, "" if pid else reason), PICKLE_PROTOCOL)
    _tell(channel, frames.frame(frames.FORKED, body))


def _be_worker(
    server_channel: _socket.socket, server: int, control: int, stdout: int, stderr: int
) -> None:
    """In the forked process: becomes a worker like any other. Does not return."""
    _lead_group(0)
    # The kernel forgets at a fork that this process is to die with its parent.
    die_with(server)
    server_channel.close()
    _move(stdout, 1)
    _move(stderr, 2)
    channel = _socket.socket(fileno=control)
    settings, descriptors = receive_init(channel)
    work(channel, server, settings, descriptors)


def _lead_group(pid: int) -> None:
    """Gives a worker a group of its own.

    Both processes do this, so that it is so for each of them from the next line on.
    """
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # It has ended.


def _move(fd: int, to: int) -> None:
    if fd != to:
        os.dup2(fd, to)
        os.close(fd)
    os.set_inheritable(to, True)


def _reap(channel: _socket.socket, pid: int) -> None:
    """Takes note of the end of a worker, which the host has seen; says how it ended.

    Not before the host wants that: until then the id of the process, and of its group, is nobody
    else's.
    """
    status: int | None
    try:
        status = os.waitpid(pid, 0)[1]
    except ChildProcessError:
        status = None  # A module waits for children of all kinds.
    body = dumps((pid, status), PICKLE_PROTOCOL)
    _tell(channel, frames.frame(frames.ENDED, body))


def _tell(channel: _socket.socket, frame: bytes) -> None:
    try:
        channel.sendall(frame)
    except OSError:
        os._exit(EXIT_HOST_GONE)


def _flush() -> None:
    """What waits to be printed would be printed by each worker again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
