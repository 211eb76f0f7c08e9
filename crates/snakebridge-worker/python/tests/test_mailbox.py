"""The second gear: what the worker reads and writes beside its pipes."""

from __future__ import annotations

import mmap
import os
import threading
import unittest
from unittest import mock

from snakebridge_worker import frames, mailbox, news

TO_WORKER, TO_HOST, WORKER_SLEEPS, HOST_SLEEPS = 0, 64, 128, 192
CAPACITY = 30 << 10
DATA_TO_WORKER = 4096
DATA_TO_HOST = DATA_TO_WORKER + CAPACITY
RING = frames.header(frames.RING, 0)


class Host:
    """The other side, as `snakebridge_shm::mailbox` is."""

    def __init__(self) -> None:
        self.box = mmap.mmap(-1, 1 << 16)
        self.lengths = memoryview(self.box).cast("I")
        self.box[WORKER_SLEEPS] = self.box[HOST_SLEEPS] = 1
        self.sent = self.seen = 0

    def post(self, message: bytes) -> None:
        self.box[DATA_TO_WORKER : DATA_TO_WORKER + len(message)] = message
        self.lengths[TO_WORKER // 4 + 1] = len(message)
        self.sent = (self.sent + 1) % 256
        self.box[TO_WORKER] = self.sent

    def look(self) -> bytes | None:
        if self.box[TO_HOST] == self.seen:
            return None
        self.seen = self.box[TO_HOST]
        length = self.lengths[TO_HOST // 4 + 1]
        return self.box[DATA_TO_HOST : DATA_TO_HOST + length]


class MailboxTest(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host()
        self.requests, self.request_end = os.pipe()
        self.reply_end, self.replies = os.pipe()
        for fd in (self.requests, self.request_end, self.reply_end, self.replies):
            self.addCleanup(os.close, fd)
        self.open(is_ordered=True)

    def open(self, *, is_ordered: bool) -> None:
        self.mailbox = mailbox.open_mailbox(self.host.box, is_ordered=is_ordered)
        self.mailbox.set_looks(4)

    def read(self) -> bytes:
        return self.mailbox.read(self.requests, 8192)

    def write(self, data: bytes) -> int:
        return self.mailbox.write(self.replies, data)

    def test_a_request_in_the_box_is_read_without_the_pipe(self) -> None:
        for is_ordered in (True, False):
            self.open(is_ordered=is_ordered)
            self.write(b"reply")
            self.assertEqual(self.host.box[WORKER_SLEEPS], 0)
            self.host.post(b"request")
            self.assertEqual(self.read(), b"request")
            self.assertEqual(self.host.box[WORKER_SLEEPS], 0)

    def test_whoever_finds_nothing_says_so_and_sleeps_on_the_pipe(self) -> None:
        os.write(self.request_end, b"through the pipe")
        self.assertEqual(self.read(), b"through the pipe")
        self.assertEqual(self.host.box[WORKER_SLEEPS], 1)
        self.assertEqual(self.write(b"reply"), 5)
        self.assertEqual(self.host.box[WORKER_SLEEPS], 0)
        self.host.post(b"in the box")
        self.assertEqual(self.read(), b"in the box")

    def test_the_host_finds_it_awake_as_soon_as_it_has_a_reply(self) -> None:
        for reply in (b"reply", bytes(CAPACITY + 1)):
            self.host.box[WORKER_SLEEPS] = 1
            self.open(is_ordered=True)
            self.write(reply)
            self.assertEqual(self.host.box[WORKER_SLEEPS], 0)

    def test_what_is_left_of_a_request_is_read_from_the_pipe_at_once(self) -> None:
        # Many more looks than a test could wait for.
        self.mailbox.set_looks(60)
        os.write(self.request_end, b"one part, and another")
        self.assertEqual(self.mailbox.read(self.requests, 8), b"one part")
        self.assertEqual(self.read(), b", and another")

    def test_a_ring_has_it_look_and_late_ones_mean_nothing(self) -> None:
        os.write(self.request_end, RING)
        self.host.post(b"first")
        self.assertEqual(self.read(), b"first")
        os.write(self.request_end, RING + b"second")
        self.assertEqual(self.read(), b"second")
        os.write(self.request_end, RING + RING)
        os.write(self.request_end, RING + b"third")
        self.assertEqual(self.read(), b"third")

    def test_a_sleeper_is_woken_by_a_ring(self) -> None:
        found: list[bytes] = []
        thread = threading.Thread(target=lambda: found.append(self.read()))
        self.mailbox.set_looks(0)
        thread.start()
        while not self.host.box[WORKER_SLEEPS]:
            pass
        self.host.post(b"request")
        os.write(self.request_end, RING)
        thread.join()
        self.assertEqual(found, [b"request"])

    def test_an_announced_request_is_read_from_the_pipe(self) -> None:
        self.host.post(b"")
        os.write(self.request_end, b"long")
        self.assertEqual(self.read(), b"long")
        os.write(self.request_end, b"found before its announcement")
        self.mailbox.set_looks(0)
        self.assertEqual(self.read(), b"found before its announcement")
        self.host.post(b"next")
        self.assertEqual(self.read(), b"next")

    def test_the_end_of_the_pipe_is_an_end(self) -> None:
        reader, writer = os.pipe()
        os.close(writer)
        self.assertEqual(self.mailbox.read(reader, 10), b"")
        os.close(reader)

    def test_replies_go_into_the_box_and_wake_a_host_that_sleeps(self) -> None:
        for is_ordered in (True, False):
            self.open(is_ordered=is_ordered)
            self.host.seen = self.host.box[TO_HOST] = 0
            self.host.box[HOST_SLEEPS] = 0
            self.assertEqual(self.write(b"reply"), 5)
            self.assertEqual(self.host.look(), b"reply")
            self.host.box[HOST_SLEEPS] = 1
            self.assertEqual(self.write(b"another"), 7)
            self.assertEqual(self.host.look(), b"another")
            self.assertEqual(os.read(self.reply_end, 100), RING)

    def test_what_is_too_long_is_announced(self) -> None:
        self.host.box[HOST_SLEEPS] = 0
        self.assertEqual(self.write(bytes(CAPACITY)), CAPACITY)
        self.assertEqual(self.host.look(), bytes(CAPACITY))
        self.assertEqual(self.write(bytes(CAPACITY + 1)), CAPACITY + 1)
        self.assertEqual(self.host.look(), b"")
        self.assertEqual(len(os.read(self.reply_end, 1 << 16)), CAPACITY + 1)
        self.mailbox.announce()
        self.assertEqual(self.host.look(), b"")

    def test_counts_go_round(self) -> None:
        self.host.box[HOST_SLEEPS] = 0
        for number in range(600):
            self.host.post(b"%d" % number)
            self.write(self.read())
            self.assertEqual(self.host.look(), b"%d" % number)

    def test_a_core_is_left_for_others_and_may_be_used_again(self) -> None:
        cores = {0, 1, 2}
        with mock.patch.multiple(
            os,
            create=True,
            sched_getaffinity=lambda pid: set(cores),
            sched_setaffinity=mock.DEFAULT,
        ) as patched:
            mailbox.leave_core(1)
            mailbox.leave_core(7)
            cores = {1}
            mailbox.leave_core(1)
        calls = patched["sched_setaffinity"].mock_calls
        self.assertEqual(calls, [mock.call(0, {0, 2}), mock.call(0, {0, 1, 2})])

    def test_where_that_is_refused_it_stays(self) -> None:
        with mock.patch.object(os, "sched_getaffinity", side_effect=PermissionError, create=True):
            mailbox.leave_core(1)

    def test_it_does_not_look_for_long_beside_other_threads(self) -> None:
        # Many more looks than a test could wait for.
        self.mailbox.set_looks(60)
        os.write(self.request_end, b"request")
        self.addCleanup(news.own_threads.__setitem__, 0, news.own_threads[0])
        news.own_threads[0] = -1
        self.assertEqual(self.read(), b"request")

    def test_a_forked_child_has_no_part_in_it(self) -> None:
        self.host.lengths.release()
        self.mailbox.forget()
        with self.assertRaises(ValueError):
            self.read()
        with self.assertRaises(ValueError):
            self.write(b"reply")


if __name__ == "__main__":
    unittest.main()
