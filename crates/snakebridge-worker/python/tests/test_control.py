from __future__ import annotations

import _socket
import os
import socket
import threading
import unittest
from unittest import mock

from snakebridge_worker import control, frames
from snakebridge_worker.control import Control


class Watch(unittest.TestCase):
    """The thread that watches, with the test as the host."""

    def setUp(self) -> None:
        self.host, worker = socket.socketpair()
        self.host.settimeout(10)
        self.channel = _socket.socket(fileno=worker.detach())
        self.control = Control(self.channel)
        self.settled = threading.Event()
        patches = (
            mock.patch.object(control, "die_with", lambda host: self.settled.set()),
            # The end of this thread instead of the process.
            mock.patch.object(os, "_exit", mock.Mock(side_effect=SystemExit)),
        )
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def watch(self, settled_after: float) -> None:
        with mock.patch.object(control, "_SETTLED_AFTER", settled_after):
            thread = threading.Thread(target=self.control.watch, args=(os.getpid(),))
            thread.start()
            self.addCleanup(self.channel.close)
            self.addCleanup(thread.join, 10)
            self.addCleanup(self.host.close)
            self.asks()

    def asks(self) -> None:
        """Asks something and has it answered, so that the thread is known to watch."""
        asked = threading.Thread(target=self.control.ask, args=(frames.BACKGROUND_CALLBACK, 0, b""))
        asked.start()
        number = self.host.recv(frames.HEADER_LEN + 8, socket.MSG_WAITALL)[frames.HEADER_LEN :]
        answer = frames.header(frames.BACKGROUND_VALUE, len(number), 0) + number
        self.host.sendall(answer)
        asked.join(10)
        self.assertFalse(asked.is_alive())

    def test_those_who_send_wait_for_room_while_the_worker_is_new(self) -> None:
        self.watch(settled_after=60)
        # Else what another thread sends in the moment of that change fails for want of room.
        self.assertTrue(os.get_blocking(self.channel.fileno()))
        self.assertFalse(self.settled.is_set())

    def test_it_watches_on_when_the_worker_has_settled(self) -> None:
        self.watch(settled_after=0.001)
        self.assertTrue(self.settled.wait(10))
        self.asks()

    def test_systems_without_limits_for_receiving(self) -> None:
        with mock.patch.object(control, "_limit_receiving", return_value=False):
            self.watch(settled_after=60)
            self.assertTrue(self.settled.is_set())
            self.asks()
