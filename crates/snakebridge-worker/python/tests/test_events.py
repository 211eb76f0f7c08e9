from __future__ import annotations

import _socket
import importlib.util
import signal
import socket
import subprocess
import sys
import threading
import unittest
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

from snakebridge_worker import events, frames
from snakebridge_worker.control import Control
from snakebridge_worker.events import Events

from .support import decode

PACKAGE_FOLDER = Path(events.__file__).parent.parent


class Case(unittest.TestCase):
    """Events over a real pair of sockets, with the hooks taken out again afterwards."""

    def setUp(self) -> None:
        self.host, worker = socket.socketpair()
        self.worker = _socket.socket(fileno=worker.detach())
        self.host.settimeout(10)
        self.place: tuple[int, str | None] = (7, "module.function")
        self.events = Events(Control(self.worker), lambda: self.place)
        self.rest = b""
        import logging

        for owner, name in ((logging.Logger, "callHandlers"), (warnings, "showwarning")):
            patch = mock.patch.object(owner, name, getattr(owner, name))
            patch.start()
            self.addCleanup(patch.stop)
        self.addCleanup(self.host.close)
        self.addCleanup(self.worker.close)
        # A logger of its own for each test: whether it has handlers is part of what is tested.
        self.logger = logging.Logger(self.id())

    def receive(self) -> tuple[int, int, Any]:
        """Kind, session and parts of the next event."""
        head = self.read(frames.HEADER_LEN)
        version, kind, flags, session, length = frames.HEADER.unpack(head)
        self.assertEqual((version, flags), (frames.PROTOCOL_VERSION, 0))
        return kind, session, decode(self.read(length))

    def read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.host.recv(length - len(data))
            self.assertTrue(more, "the worker closed the channel")
            data += more
        return data


class Logs(Case):
    def setUp(self) -> None:
        super().setUp()
        self.events.install()

    def test_the_fields_of_a_record(self) -> None:
        self.logger.warning("%d of %s", 3, "five")
        line = sys._getframe().f_lineno - 1
        kind, session, parts = self.receive()
        self.assertEqual((kind, session), (frames.LOG, 7))
        name = self.logger.name
        expected = (30, "WARNING", name, "3 of five", None, __file__, line, "module.function")
        self.assertEqual(parts, expected)

    def test_the_exception_of_a_record(self) -> None:
        try:
            raise KeyError("nothing")
        except KeyError:
            self.logger.exception("failed")
        parts = self.receive()[2]
        self.assertEqual(parts[:2], (40, "ERROR"))
        self.assertTrue(parts[4].startswith("Traceback (most recent call last):"), parts[4])
        self.assertTrue(parts[4].endswith("KeyError: 'nothing'"), parts[4])

    def test_levels_of_ones_own(self) -> None:
        self.logger.log(35, "between")
        self.assertEqual(self.receive()[2][:2], (35, "Level 35"))

    def test_levels_and_filters_of_the_user_decide(self) -> None:
        self.logger.setLevel("ERROR")
        self.logger.warning("not wanted")
        self.logger.addFilter(lambda record: "secret" not in record.getMessage())
        self.logger.error("secret")
        self.logger.error("wanted")
        self.assertEqual(self.receive()[2][3], "wanted")

    def test_a_message_that_cannot_be_made(self) -> None:
        self.logger.warning("%d", "text")
        message = self.receive()[2][3]
        self.assertTrue(message.startswith("'%d' with arguments that do not fit: "), message)

    def test_text_that_is_no_unicode(self) -> None:
        self.logger.warning("\udc80")
        self.assertEqual(self.receive()[2][3], "\\udc80")

    def test_handlers_of_the_user_have_it_too(self) -> None:
        import logging

        seen = []
        handler = logging.Handler()
        handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
        self.logger.addHandler(handler)
        self.logger.warning("for both")
        self.assertEqual(self.receive()[2][3], "for both")
        self.assertEqual(seen, ["for both"])

    def test_it_is_not_printed_for_want_of_a_handler(self) -> None:
        with mock.patch("sys.stderr") as stderr:
            self.logger.warning("once")
        self.assertEqual(self.receive()[2][3], "once")
        stderr.write.assert_not_called()

    def test_no_configuration_changes(self) -> None:
        import logging

        before = (list(logging.getLogger().handlers), logging.lastResort)
        self.logger.warning("here")
        self.assertEqual((logging.getLogger().handlers, logging.lastResort), before)

    def test_any_thread(self) -> None:
        def log() -> None:
            for n in range(50):
                self.logger.warning("%d", n)

        threads = [threading.Thread(target=log) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = [self.receive()[2][3] for _ in range(200)]
        self.assertEqual(sorted(seen), sorted(str(n) for n in range(50) for _ in range(4)))

    def test_inside_of_a_signal_handler(self) -> None:
        old = signal.signal(signal.SIGUSR2, lambda *_: self.logger.warning("in the handler"))
        self.addCleanup(signal.signal, signal.SIGUSR2, old)
        with self.events._counting:
            signal.raise_signal(signal.SIGUSR2)
        self.assertEqual(self.receive()[2][3], "in the handler")

    def test_a_host_that_does_not_read(self) -> None:
        for number in range(events.MOST_WAITING * 3):
            self.logger.warning("%d %s", number, "x" * 1000)
        seen = dropped = 0
        self.events.end()
        while seen + dropped < events.MOST_WAITING * 3:
            kind, _, parts = self.receive()
            if kind == frames.EVENTS_DROPPED:
                dropped += parts[0]
            else:
                seen += 1
        self.assertEqual(seen + dropped, events.MOST_WAITING * 3)
        self.assertGreater(dropped, 0)

    def test_the_end_waits_for_what_was_told(self) -> None:
        for number in range(100):
            self.logger.warning("%d", number)
        self.events.end()
        self.worker.close()
        self.assertEqual([self.receive()[2][3] for _ in range(100)], list(map(str, range(100))))
        self.assertEqual(self.host.recv(1), b"")

    def test_a_forked_child_is_silent(self) -> None:
        self.events.forget()
        self.logger.addHandler(mock.Mock(level=0))
        self.logger.warning("in the child")
        self.events.end()
        self.worker.close()
        self.assertEqual(self.host.recv(1), b"")


class Warnings(Case):
    def setUp(self) -> None:
        super().setUp()
        # As it is at the start of a worker: the runner of the tests has its own.
        warnings.showwarning = warnings._showwarning_orig  # type: ignore[attr-defined]
        self.events.install()

    def test_the_fields_of_a_warning(self) -> None:
        with warnings.catch_warnings(), mock.patch("sys.stderr") as stderr:
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            line = sys._getframe().f_lineno - 1
        kind, session, parts = self.receive()
        self.assertEqual((kind, session), (frames.WARNING, 7))
        expected = ("DeprecationWarning", "old", __file__, line, "module.function")
        self.assertEqual(parts, expected)
        stderr.write.assert_not_called()

    def test_those_that_are_caught_are_the_users(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("caught", stacklevel=1)
        self.assertEqual(len(caught), 1)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("told", stacklevel=1)
        self.assertEqual(self.receive()[2][1], "told")

    def test_what_the_user_does_with_warnings_is_done_too(self) -> None:
        show = mock.Mock()
        warnings.showwarning = show
        again = Events(Control(self.worker), lambda: self.place)
        again.install()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("both", stacklevel=1)
        self.assertEqual(self.receive()[2][1], "both")
        show.assert_called_once()


class Lazily(unittest.TestCase):
    CODE = """
import sys, _socket
a, b = _socket.socketpair()
from snakebridge_worker.control import Control
from snakebridge_worker.events import Events
events = Events(Control(a), lambda: (0, None))
events.install()
assert 'logging' not in sys.modules and 'collections' not in sys.modules, 'imported for nothing'
%s
events.end()
a.close()
assert b'found' in b.recv(9999), 'not told'
assert not any(type(finder).__name__ == '_WhenImported' for finder in sys.meta_path)
"""

    def check(self, code: str) -> None:
        done = subprocess.run(
            [sys.executable, "-S", "-c", self.CODE % code],
            cwd=PACKAGE_FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_logging_is_taken_note_of_when_it_comes(self) -> None:
        self.check("import logging\nlogging.getLogger('x').warning('found')")

    def test_also_when_it_was_looked_for_before(self) -> None:
        self.check(
            "import importlib.util\nimportlib.util.find_spec('logging')\n"
            "import logging.handlers\nlogging.getLogger('x').warning('found')"
        )
        self.assertIsNotNone(importlib.util.find_spec("logging"))


if __name__ == "__main__":
    unittest.main()
