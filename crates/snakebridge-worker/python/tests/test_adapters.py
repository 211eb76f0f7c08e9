from __future__ import annotations

import io
import pickle
import unittest
from typing import Any

from snakebridge_worker import adapters, markers


class Host:
    """What a reader or a writer of the host does, in Python."""

    def __init__(self, data: bytes = b"", most: int = 1 << 30) -> None:
        self.data = bytearray(data)
        self.most = most
        self.asked: list[int] = []
        self.flushes = 0

    def read(self, most: int) -> bytes:
        self.asked.append(most)
        count = min(most, self.most)
        part, self.data = bytes(self.data[:count]), self.data[count:]
        return part

    def write(self, data: bytes | None) -> int:
        if data is None:
            self.flushes += 1
            return 0
        self.asked.append(len(data))
        self.data += data[: self.most]
        return min(len(data), self.most)


class Readers(unittest.TestCase):
    def test_pieces_and_all(self) -> None:
        for most in (1, 7, 1 << 30):
            file = adapters.make("reader", Host(b"some text, some more", most).read)
            self.assertEqual([file.read(4), file.read1(1), file.peek(1)[:1]], [b"some", b" ", b"t"])
            self.assertEqual(file.read(), b"text, some more")
            self.assertEqual(file.read(1), b"")

    def test_much_is_asked_for_in_few_pieces(self) -> None:
        host = Host(b"x" * (3 << 20))
        self.assertEqual(len(adapters.make("reader", host.read).read()), 3 << 20)
        self.assertLess(len(host.asked), 10)
        self.assertLessEqual(max(host.asked), 1 << 20)

    def test_what_the_library_makes_of_it(self) -> None:
        pickled = pickle.dumps({"a": [1, 2]})
        self.assertEqual(pickle.load(adapters.make("reader", Host(pickled, 3).read)), {"a": [1, 2]})
        text = io.TextIOWrapper(adapters.make("reader", Host("é\nb".encode(), 1).read), "utf-8")
        self.assertEqual(text.readlines(), ["é\n", "b"])

    def test_after_the_end(self) -> None:
        host = Host(b"data")
        with adapters.make("reader", host.read) as file:
            raw = file.raw
        for closed in (file.read, raw.read, raw.readall):
            with self.assertRaises(ValueError):
                closed()
        file.close()
        self.assertIsNone(raw._callback)


class Writers(unittest.TestCase):
    def test_all_arrives(self) -> None:
        for most in (1000, 1 << 30):
            host = Host(most=most)
            with adapters.make("writer", host.write) as file:
                self.assertEqual(file.write(b"a" * 10), 10)
                self.assertEqual(file.write(memoryview(b"b" * 300_000)), 300_000)
                self.assertEqual(file.write(b""), 0)
            self.assertEqual(bytes(host.data), b"a" * 10 + b"b" * 300_000)
            self.assertLessEqual(max(host.asked), 1 << 20)
            self.assertGreater(host.flushes, 0)

    def test_flush_goes_through(self) -> None:
        host = Host()
        file = adapters.make("writer", host.write)
        file.write(b"abc")
        self.assertEqual((bytes(host.data), host.flushes), (b"", 0))
        file.flush()
        self.assertEqual((bytes(host.data), host.flushes), (b"abc", 1))

    def test_numbers_are_written_as_bytes(self) -> None:
        from array import array

        host = Host()
        with adapters.make("writer", host.write) as file:
            file.raw.write(array("i", [1, 2]))
        self.assertEqual(bytes(host.data), array("i", [1, 2]).tobytes())

    def test_letting_go_of_it_writes_it(self) -> None:
        host = Host()
        adapters.make("writer", host.write).write(b"abc")
        self.assertEqual(bytes(host.data), b"abc")


class Iterators(unittest.TestCase):
    def test_items_and_the_end(self) -> None:
        source: list[Any] = [(1,), (None,), None, (2,)]
        items = markers.adapter("iterator", lambda: source.pop(0))
        self.assertIs(iter(items), items)
        self.assertEqual(list(items), [1, None])
        self.assertEqual(list(items), [], "the end is the end")
        self.assertEqual(source, [(2,)])


if __name__ == "__main__":
    unittest.main()
