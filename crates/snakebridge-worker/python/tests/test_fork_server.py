from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from snakebridge_worker import fork_server, frames
from snakebridge_worker.codec import dumps

from .support import decode

PACKAGE_FOLDER = Path(fork_server.__file__).parent.parent
CODE = "from snakebridge_worker.fork_server import main; main()"


def settings(**other: Any) -> dict[str, Any]:
    return {
        "module_path": [],
        "guard": None,
        "helpers": None,
        "preload": [],
        "memory_limit": None,
        "events": False,
        "lanes": 0,
        **other,
    }


def send(channel: socket.socket, kind: int, body: bytes, *descriptors: int) -> None:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
    channel.sendmsg([frames.frame(kind, body)], [rights] if descriptors else [])


def receive(channel: socket.socket) -> tuple[int, Any]:
    """Kind and parts of the next frame; 0 at the end."""
    head = channel.recv(frames.HEADER_LEN, socket.MSG_WAITALL)
    if not head:
        return 0, None
    _, kind, _, _, length = frames.HEADER.unpack(head)
    return kind, decode(channel.recv(length, socket.MSG_WAITALL))


@unittest.skipUnless(sys.platform == "linux", "there is a fork server on Linux only")
class ForkServer(unittest.TestCase):
    """A fork server in a process of its own; the test is the host."""

    def setUp(self) -> None:
        self.host, channel = socket.socketpair()
        self.host.settimeout(10)
        self.addCleanup(self.host.close)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        with channel:
            self.server = subprocess.Popen(
                [sys.executable, "-B", "-c", CODE],
                stdin=channel.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=PACKAGE_FOLDER,
            )
        self.addCleanup(self.server.communicate)
        self.addCleanup(self.server.kill)

    def begin(self, source: str, **other: Any) -> tuple[int, Any]:
        """Has a module of this source preloaded. What the server says then."""
        Path(self.folder.name, "fixture.py").write_text(source)
        wanted = settings(module_path=[self.folder.name], preload=["fixture"], **other)
        send(self.host, frames.FORK_SERVER, dumps(wanted, 5))
        return receive(self.host)

    def fork(self, number: int) -> tuple[int, socket.socket, int]:
        """Process id, control channel and standard output of a new worker."""
        control, theirs = socket.socketpair()
        self.addCleanup(control.close)
        control.settimeout(10)
        stdout, their_stdout = os.pipe()
        self.addCleanup(os.close, stdout)
        descriptors = (theirs.fileno(), their_stdout, their_stdout)
        send(self.host, frames.FORK, frames.NUMBER.pack(number), *descriptors)
        theirs.close()
        os.close(their_stdout)
        kind, (answered, pid, reason) = receive(self.host)
        self.assertEqual((kind, answered, reason), (frames.FORKED, number, ""))
        return pid, control, stdout

    def reap(self, pid: int) -> Any:
        send(self.host, frames.REAP, frames.NUMBER.pack(pid))
        kind, parts = receive(self.host)
        self.assertEqual(kind, frames.ENDED)
        return parts

    def test_a_worker_from_its_beginning_to_its_end(self) -> None:
        kind, hello = self.begin("print('half a line', end='')\n")
        self.assertEqual((kind, hello[3]), (frames.HELLO, self.server.pid))
        pid, control, stdout = self.fork(7)
        self.assertEqual(os.getpgid(pid), pid)
        requests, replies = os.pipe(), os.pipe()
        send(control, frames.INIT, dumps(settings(), 5), requests[0], replies[1])
        os.close(requests[0])
        os.close(replies[1])
        kind, hello = receive(control)
        self.assertEqual((kind, hello[3]), (frames.HELLO, pid))
        request = frames.frame(frames.CALL, dumps(("builtins", "print", ("in the worker",)), 5))
        os.write(requests[1], request)
        os.close(requests[1])
        printed = b"".join(iter(lambda: os.read(stdout, 100), b""))
        self.assertEqual(printed, b"in the worker\n", "and nothing that the server has printed")
        os.close(replies[0])
        self.assertEqual(self.reap(pid), (pid, 0))

    def test_a_worker_ends_with_its_control_channel(self) -> None:
        self.begin("")
        pid, control, _ = self.fork(0)
        control.close()
        self.assertEqual(self.reap(pid), (pid, 0))

    def test_how_a_worker_has_ended(self) -> None:
        self.begin("")
        pid, _, _ = self.fork(0)
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.reap(pid), (pid, int(signal.SIGKILL)))
        self.assertEqual(self.reap(pid), (pid, None), "nobody knows it any more")

    def test_workers_end_with_the_server(self) -> None:
        self.begin("")
        _, control, stdout = self.fork(0)
        self.server.kill()
        self.assertEqual(os.read(stdout, 1), b"")
        self.assertEqual(receive(control), (0, None))

    def test_the_server_ends_with_its_channel(self) -> None:
        self.begin("")
        self.host.close()
        self.assertEqual(self.server.wait(10), 0)

    def test_a_thread_is_refused(self) -> None:
        source = (
            "import threading\n"
            "wait = threading.Event().wait\n"
            "threading.Thread(target=wait, name='watcher', daemon=True).start()\n"
        )
        kind, (module, reason) = self.begin(source)
        self.assertEqual((kind, module), (frames.UNFORKABLE, "fixture"))
        self.assertIn("a thread (`watcher`)", reason)
        self.assertEqual(self.server.wait(10), 0)

    def test_a_module_that_raises(self) -> None:
        self.assertEqual(self.begin("raise ValueError")[0], 0)
        self.assertEqual(self.server.wait(10), 1)

    def test_descriptors_that_are_missing(self) -> None:
        self.begin("")
        send(self.host, frames.FORK, frames.NUMBER.pack(3))
        kind, (number, pid, reason) = receive(self.host)
        self.assertEqual((kind, number, pid), (frames.FORKED, 3, 0))
        self.assertEqual(reason, "it could not be given its descriptors")

    def test_what_workers_need_is_there(self) -> None:
        source = "import sys\nprint(sorted(m for m in sys.modules if 'bridge' in m), flush=True)\n"
        self.begin(source, lanes=2, events=True)
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        for module in (b"'snakebridge_worker.async_lanes'", b"'snakebridge_worker.events'"):
            self.assertIn(module, line)
