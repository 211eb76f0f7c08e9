from __future__ import annotations

import fcntl
import os
import resource
import sys
import tempfile
import threading
import unittest
from typing import Any
from unittest import mock

from snakebridge_worker import frames, news, regions

from .support import numbers


class Array:
    """What can be referred to weakly."""


class Host:
    """Answers wishes for segments."""

    def __init__(self, *, has_memory: bool = True) -> None:
        self.asked: list[int] = []
        self.has_memory = has_memory

    def send(self, frame: bytes) -> None:
        (size,) = frames.NUMBER.unpack(frame[frames.HEADER_LEN :])
        self.asked.append(size)
        if self.has_memory:
            add(1000 + len(self.asked), size, frames.FOR_RESULTS)
        else:
            regions.refused()


def add(segment: int, size: int, purpose: int = frames.FOR_ARGUMENTS) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        regions.add(segment, size, os.dup(file.fileno()), purpose)


def read(told: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """Frames, by kind, with what they say."""
    found = []
    while told:
        _, kind, _, _, length = frames.HEADER.unpack_from(told)
        end = frames.HEADER_LEN + length
        found.append((kind, numbers(told[frames.HEADER_LEN : end])))
        told = told[end:]
    return found


def kinds(told: bytes) -> list[int]:
    return [kind for kind, _ in read(told)]


@unittest.skipUnless(sys.platform == "linux", "there are no segments elsewhere")
class Regions(unittest.TestCase):
    def setUp(self) -> None:
        self.arrived: list[int] = []
        for name, value in (("arrived", self.arrived), ("gone", []), ("control", None)):
            patch = mock.patch.object(news, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def note(self, segment: int) -> Any:
        array = Array()
        regions.note(segment, array)
        return array

    def test_arguments_are_read_only_and_gone_with_the_reply(self) -> None:
        add(1, regions.SMALLEST)
        with self.assertRaises(TypeError):
            regions.find(1)[0] = 1
        array = self.note(1)
        del array
        self.assertEqual(regions.tell(self.arrived), b"")
        self.assertEqual(self.arrived, [])

    def test_those_that_are_kept_are_told_of_and_their_end_too(self) -> None:
        first, second = self.note(2), self.note(3)
        del second
        self.assertEqual(kinds(regions.tell(self.arrived)), [frames.REGIONS_KEPT])
        self.assertEqual(regions.tell(self.arrived), b"")
        del first
        self.assertEqual([segment for segment, _ in news.gone], [2])
        self.assertEqual(kinds(regions.tell(self.arrived)), [frames.REGIONS_GONE])
        self.assertEqual(regions.tell(self.arrived), b"")

    def test_one_that_has_come_twice_is_kept_until_both_are_gone(self) -> None:
        first, second = self.note(4), self.note(4)
        self.assertEqual(kinds(regions.tell(self.arrived)), [frames.REGIONS_KEPT])
        del second
        self.assertEqual(news.gone, [])
        del first
        self.assertEqual([segment for segment, _ in news.gone], [4])

    def test_an_end_is_told_under_the_number_of_what_was_kept_before_it(self) -> None:
        first = self.note(8)
        (_, (segment, number)) = read(regions.tell(self.arrived))[0]
        del first
        # It comes again before its end could be told, and is told to be there first.
        second = self.note(8)
        (kept, gone) = read(regions.tell(self.arrived))
        self.assertEqual(gone, (frames.REGIONS_GONE, (segment, number)))
        self.assertEqual((kept[0], kept[1][0]), (frames.REGIONS_KEPT, segment))
        self.assertGreater(kept[1][1], number)
        del second
        self.assertEqual(read(regions.tell(self.arrived)), [(frames.REGIONS_GONE, kept[1])])

    def test_what_is_not_kept_is_not_told_again(self) -> None:
        first = self.note(9)
        regions.tell(self.arrived)
        del first
        regions.tell(self.arrived)
        for _ in range(3):
            self.note(9)
            self.assertEqual(regions.tell(self.arrived), b"")

    def test_a_forked_child_keeps_arrays_until_it_ends(self) -> None:
        array = self.note(10)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)  # Until the parent closes its end.
            os._exit(0)
        os.close(reader)
        del array
        told = read(regions.tell(self.arrived))
        self.assertEqual([kind for kind, _ in told], [frames.REGIONS_KEPT])
        os.close(writer)
        os.waitpid(child, 0)
        self.assertEqual(read(regions.tell(self.arrived)), [(frames.REGIONS_GONE, told[0][1])])

    def test_descriptors_of_any_number_tell_of_the_end_of_a_child(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        low = os.pipe()
        # `select` takes none from 1024 on.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 2000) for end in low]
        for end in low:
            os.close(end)
        array = self.note(13)
        with mock.patch("os.pipe", return_value=tuple(high)):
            child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        del array
        self.assertEqual(regions.tell(self.arrived), b"")

    def test_where_no_pipe_can_be_had_arrays_of_forked_children_stay(self) -> None:
        array = self.note(11)
        with mock.patch("os.pipe", side_effect=OSError):
            child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        del array
        self.assertEqual(kinds(regions.tell(self.arrived)), [frames.REGIONS_KEPT])
        self.assertEqual(regions.tell(self.arrived), b"")
        regions.forgotten(11)

    def test_a_segment_without_its_descriptor_cannot_be_mapped(self) -> None:
        regions.add(12, regions.SMALLEST, None, frames.FOR_ARGUMENTS)
        with self.assertRaisesRegex(MemoryError, "segment 12 of the host cannot be mapped"):
            regions.find(12)
        regions.forgotten(12)
        regions.freed(12)

    def test_results_are_put_where_the_host_says(self) -> None:
        host: Any = Host()
        news.control = host
        taken = regions.take(regions.SMALLEST + 1)
        assert taken is not None
        segment, mapped = taken
        mapped[0] = 7
        self.assertEqual(host.asked, [2 * regions.SMALLEST])
        regions.freed(segment)
        self.assertEqual(regions.take(2 * regions.SMALLEST), taken, "it is used again")
        self.assertEqual(len(host.asked), 1)
        regions.forgotten(segment)

    def test_where_there_is_none_nothing_waits(self) -> None:
        self.assertIsNone(regions.take(regions.SMALLEST))
        host: Any = Host(has_memory=False)
        news.control = host
        self.assertIsNone(regions.take(regions.SMALLEST - 1), "it is too small to be worth it")
        self.assertIsNone(regions.take(1 << 30))
        self.assertEqual(host.asked, [1 << 30])

    def test_threads_can_have_arrivals_of_their_own(self) -> None:
        own: list[int] = []
        arrays = []

        def work() -> None:
            news.local.arrived = own
            arrays.append(self.note(5))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        arrays.append(self.note(6))
        self.assertEqual((own, self.arrived), ([5], [6]))

    def test_arguments_that_cannot_be_mapped(self) -> None:
        with mock.patch("mmap.mmap", side_effect=OSError):
            add(7, regions.SMALLEST)
        with self.assertRaisesRegex(MemoryError, "segment 7 of the host cannot be mapped"):
            regions.find(7)
        regions.forgotten(7)

    def test_where_none_can_be_mapped_the_host_is_not_asked_for_a_while(self) -> None:
        host: Any = Host()
        news.control = host
        with mock.patch.object(regions, "_full_until", [0.0]):
            with mock.patch("mmap.mmap", side_effect=OSError):
                self.assertIsNone(regions.take(1 << 17))
            self.assertIsNone(regions.take(1 << 17))
            self.assertEqual(host.asked, [1 << 17])
            # What could not be mapped can be given back, and then there may be room.
            self.assertTrue(regions.recalled(1001))
            taken = regions.take(1 << 17)
            assert taken is not None
            self.assertEqual(host.asked, [1 << 17, 1 << 17])
            regions.forgotten(taken[0])

    def test_free_segments_are_given_back(self) -> None:
        host: Any = Host()
        news.control = host
        taken = regions.take(1 << 18)
        assert taken is not None
        segment, _ = taken
        self.assertFalse(regions.recalled(segment), "it is in use")
        regions.freed(segment)
        self.assertTrue(regions.recalled(segment))
        again = regions.take(1 << 18)
        assert again is not None
        self.assertNotEqual(again[0], segment)
        regions.forgotten(again[0])

    def test_one_that_never_comes(self) -> None:
        limit = mock.patch.object(regions, "_LIMIT", 0.001)
        with limit, self.assertRaisesRegex(MemoryError, "segment 99"):
            regions.find(99)
