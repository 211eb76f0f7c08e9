from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import math
import pathlib
import unittest
import uuid
import weakref
from typing import Any, NamedTuple

from snakebridge_worker import sessions
from snakebridge_worker.encode import Encoder
from snakebridge_worker.sessions import Sessions

from .support import Ref, decode

SESSION = 7


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.sessions = Sessions()
        self.encoder = Encoder(self.sessions)

    def fast(self, value: Any) -> Any:
        return decode(self.encoder.fast(SESSION, value))

    def careful(self, value: Any) -> Any:
        return decode(self.encoder.careful(SESSION, value))

    def target(self, ref: Ref) -> Any:
        return self.sessions.find(SESSION, ref.id)

    def assert_same(self, found: Any, value: Any) -> None:
        """Equal in type and in every digit, which `==` does not see."""
        self.assertIs(type(found), type(value))
        self.assertEqual(repr(found), repr(value))

    def assert_ref(self, found: Any, value: Any) -> None:
        self.assertIsInstance(found, Ref)
        self.assertIs(self.target(found), value)


class Values(Case):
    def test_each_plain_value_arrives_exact(self) -> None:
        values: list[Any] = [
            None,
            True,
            False,
            0,
            -1,
            2**63,
            -(2**200),
            0.1,
            -0.0,
            math.inf,
            -math.inf,
            "",
            "text\0 with \U0001f40d and \u00e9",
            b"",
            b"\0\xff",
            [],
            [1, "a", None],
            (),
            (1,),
            {"b": 1, "a": 2},
            {1: "x", (2, 3): "y", None: "z", 1.5: "w"},
            set(),
            {1},
            frozenset(),
            frozenset({(1, 2)}),
            [[[]], ({},)],
        ]
        for value in values:
            with self.subTest(value=value):
                self.assertTrue(self.encoder.is_value(value))
                self.assert_same(self.fast(value), value)
                self.assert_same(self.careful(value), value)
        self.assertTrue(math.isnan(self.fast(math.nan)))

    def test_typed_values_arrive_exact(self) -> None:
        odd_zone = dt.timezone(dt.timedelta(hours=-5, microseconds=1))
        values: list[Any] = [
            1 + 2j,
            complex(-0.0, math.inf),
            complex(math.nan, -0.0),
            dt.date(1, 1, 1),
            dt.time(23, 59, 59, 999_999, fold=1),
            dt.time(1, 2, tzinfo=odd_zone),
            dt.datetime(2024, 2, 29, 1, 2, 3, 4),
            dt.datetime(2024, 10, 27, 2, 30, fold=1),
            dt.datetime(9999, 12, 31, tzinfo=odd_zone),
            dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
            dt.timedelta(-999_999_999),
            dt.timedelta(days=1, seconds=2, microseconds=3),
            decimal.Decimal("1.10"),
            decimal.Decimal("-0E+5"),
            decimal.Decimal("sNaN12"),
            decimal.Decimal("-Infinity"),
            uuid.UUID(int=2**127),
        ]
        for value in values:
            with self.subTest(value=value):
                self.assertTrue(self.encoder.is_value(value))
                self.assert_same(self.fast(value), value)
                self.assert_same(self.fast([value, (value,)])[0], value)
                self.assert_same(self.careful([value])[0], value)

    def test_bytearray_is_written_as_such(self) -> None:
        self.assertEqual(self.fast(bytearray(b"ab")), bytearray(b"ab"))

    def test_the_order_of_a_dict_is_kept(self) -> None:
        value = dict.fromkeys("zxywa")
        self.assertEqual(list(self.fast(value)), list("zxywa"))


class Color(enum.IntEnum):
    RED = 2**70


class Word(str, enum.Enum):
    YES = "yes"


class Point(NamedTuple):
    x: int
    y: int


class Liar(int):
    """A subclass that tells other things about itself than its value."""

    def __int__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def __reduce__(self) -> Any:
        raise AssertionError

    def __repr__(self) -> str:
        raise AssertionError


class FloatLiar(float):
    def __float__(self) -> float:
        return 0.0


class StrLiar(str):
    def __str__(self) -> str:
        return "lie"


class BytesLiar(bytes):
    def __bytes__(self) -> bytes:
        return b"lie"

    def __getitem__(self, index: Any) -> Any:
        return b"lie"


class ListLiar(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter(["lie"])

    def __getitem__(self, index: Any) -> Any:
        return "lie"


class DictLiar(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return [("lie", "lie")]

    def __iter__(self) -> Any:
        return iter(["lie"])


class ComplexLiar(complex):
    @property
    def real(self) -> Any:
        return 0.0


class Subclasses(Case):
    def test_they_are_sent_as_the_builtin_value(self) -> None:
        ordered = collections.OrderedDict(a=1, b=2)
        ordered.move_to_end("a")
        for value, plain in [
            (Color.RED, 2**70),
            (Word.YES, "yes"),
            (Point(1, 2), (1, 2)),
            (ordered, {"b": 2, "a": 1}),
            (collections.defaultdict(list, a=[1]), {"a": [1]}),
            (collections.Counter("aab"), {"a": 2, "b": 1}),
            (Liar(5), 5),
            (FloatLiar(1.5), 1.5),
            (StrLiar("text"), "text"),
            (BytesLiar(b"data"), b"data"),
            (ListLiar([1, 2]), [1, 2]),
            (DictLiar(a=1), {"a": 1}),
            (ComplexLiar(1, 2), 1 + 2j),
            (type("Set", (set,), {})([1]), {1}),
            (type("Frozen", (frozenset,), {})([1]), frozenset([1])),
            (type("Array", (bytearray,), {})(b"ab"), b"ab"),
        ]:
            with self.subTest(plain=plain):
                self.assertTrue(self.encoder.is_value(value))
                self.assert_same(self.fast(value), plain)
                self.assert_same(self.fast([value])[0], plain)
                self.assert_same(self.careful([value])[0], plain)

    def test_the_order_of_an_ordered_dict_is_its_own(self) -> None:
        ordered = collections.OrderedDict.fromkeys("abc")
        ordered.move_to_end("a")
        self.assertEqual(list(self.fast(ordered)), list("bca"))

    def test_keys_that_became_equal_do_not_swallow_each_other(self) -> None:
        class Key:
            equal = False

            def __hash__(self) -> int:
                return 1

            def __eq__(self, other: object) -> bool:
                return self is other or Key.equal

        keys = [Key(), Key()]
        mapping = type("Mapping", (dict,), {})((key, None) for key in keys)
        group = type("Group", (set,), {})(keys)
        Key.equal = True
        self.assertFalse(self.encoder.is_value(mapping))
        self.assert_ref(self.fast([mapping])[0], mapping)
        self.assertEqual(len(self.fast(group)), 2)

    def test_of_dates_and_decimals_they_stay_as_refs(self) -> None:
        for base, args in [
            (dt.date, (2024, 1, 1)),
            (dt.datetime, (2024, 1, 1)),
            (dt.time, (1,)),
            (dt.timedelta, (1,)),
            (decimal.Decimal, ("1",)),
            (uuid.UUID, (None, None, None, None, 1)),
        ]:
            value = type("Sub", (base,), {})(*args)
            with self.subTest(base=base):
                self.assertFalse(self.encoder.is_value(value))
                self.assert_ref(self.fast([value])[0], value)

    def test_inside_a_subclass_there_can_be_refs(self) -> None:
        thing = object()
        self.assert_ref(self.fast(collections.OrderedDict(a=thing))["a"], thing)
        self.assert_ref(self.fast(Point(thing, 1))[0], thing)  # type: ignore[arg-type]


class Zone(dt.tzinfo):
    """A zone whose offset needs a date, or fails."""

    def __init__(self, error: bool = False) -> None:
        self.error = error

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta | None:
        if self.error:
            raise OSError("no zone data")
        return None if when is None else dt.timedelta(hours=1)

    def dst(self, when: dt.datetime | None) -> None:
        return None

    def tzname(self, when: dt.datetime | None) -> None:
        return None


class Refs(Case):
    def test_what_is_no_value_is_a_ref_in_its_place(self) -> None:
        things: list[Any] = [
            object(),
            object,
            int,
            type,
            len,
            math,
            lambda: 1,
            self.setUp,
            pathlib.PurePosixPath("a"),
            fractions.Fraction(1, 3),
            range(3),
            iter([1]),
            memoryview(b"a"),
            collections.deque([1]),
            enum.Enum("E", "A").A,  # type: ignore[attr-defined]
            NotImplemented,
            ...,
            {}.keys(),
            ValueError("x"),
            Encoder,
        ]
        for thing in things:
            with self.subTest(thing=thing):
                self.assertFalse(self.encoder.is_value(thing))
                self.assert_ref(self.fast({"k": (thing,)})["k"][0], thing)
                self.assert_ref(self.careful([thing])[0], thing)

    def test_in_sets_and_as_keys(self) -> None:
        thing = pathlib.PurePosixPath("a")
        (found,) = self.fast({thing})
        self.assert_ref(found, thing)
        ((key, value),) = self.fast({(1, thing): 2}).items()
        self.assert_ref(key[1], thing)
        self.assertEqual(value, 2)

    def test_one_object_in_two_places_is_one_ref(self) -> None:
        thing = object()
        for encode in (self.fast, self.careful):
            first, (second,) = encode([thing, (thing,)])
            self.assertEqual(first, second)
        first, second = self.fast([thing]), self.fast([thing])
        self.assertNotEqual(first, second, "two results, two refs")

    def test_of_a_zone_that_has_no_offset_without_a_date(self) -> None:
        time = dt.time(1, tzinfo=Zone())
        self.assert_ref(self.fast([time])[0], time)
        when = dt.datetime(2024, 1, 1, tzinfo=Zone())
        self.assertEqual(self.fast(when).utcoffset(), dt.timedelta(hours=1))

    def test_of_a_zone_that_fails(self) -> None:
        when = dt.datetime(2024, 1, 1, tzinfo=Zone(error=True))
        with self.assertRaises(OSError):
            self.encoder.fast(SESSION, [1, when])
        found = self.careful([1, when])
        self.assertEqual(found[0], 1)
        self.assert_ref(found[1], when)

    def test_what_a_ref_says(self) -> None:
        ref = decode(self.encoder.ref(SESSION, pathlib.PurePosixPath("a")))
        self.assertEqual(ref[2:], ("PurePosixPath", 0))
        ref = decode(self.encoder.ref(SESSION, 5))
        self.assertEqual(ref[1:], ("builtins", "int", 0))
        self.assertEqual(self.sessions.find(SESSION, ref[0]), 5)

    def test_refs_of_a_result_that_fails_are_dropped(self) -> None:
        with self.assertRaises(OSError):
            self.encoder.fast(SESSION, [object(), dt.time(1, tzinfo=Zone(error=True))])
        self.assertEqual(self.sessions.count(), 1)
        self.encoder.forget()
        self.assertEqual(self.sessions.count(), 0)


class Careful(Case):
    def test_a_container_in_itself_is_a_ref_where_it_repeats(self) -> None:
        ring: list[Any] = [1]
        ring.append(ring)
        found = self.careful(ring)
        self.assertEqual(found[0], 1)
        self.assert_ref(found[1], ring)

        table: dict[str, Any] = {}
        table["row"] = ([table],)
        self.assert_ref(self.careful(table)["row"][0][0], table)

        ordered: collections.OrderedDict[str, Any] = collections.OrderedDict()
        ordered["self"] = ordered
        self.assert_ref(self.careful(ordered)["self"], ordered)

    def test_a_shared_container_is_copied_each_time(self) -> None:
        shared = [1]
        self.assertEqual(self.careful([shared, shared]), [[1], [1]])

    def test_what_is_too_deep_is_a_ref(self) -> None:
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        with self.assertRaises(RecursionError):
            self.encoder.fast(SESSION, deep)
        found = self.careful(deep)
        depth = 0
        while isinstance(found, list):
            (found,) = found
            depth += 1
        self.assertIsInstance(found, Ref)
        self.assertLessEqual(depth, 150)
        while deep:
            (deep,) = deep

    def test_text_that_is_no_unicode_is_a_ref(self) -> None:
        bad = "a\ud800"
        self.assert_ref(self.careful(bad), bad)
        found = self.careful({"good": [bad, "b"], bad: 1})
        self.assert_ref(found["good"][0], bad)
        self.assertEqual(found["good"][1], "b")
        ((key, value),) = [(k, v) for k, v in found.items() if k != "good"]
        self.assert_ref(key, bad)
        self.assertEqual(value, 1)
        self.assertIsInstance(self.careful([StrLiar(bad)])[0], Ref)

    def test_a_dict_whose_keys_would_become_equal_stays(self) -> None:
        class Key(int):
            """Differs from its own plain value."""

            def __eq__(self, other: object) -> bool:
                return self is other

            def __hash__(self) -> int:
                return id(self)

        value = {Key(1): "a", Key(1): "b"}
        self.assert_ref(self.careful(value), value)


class Meta(type):
    """Classes that cannot be hashed, as those of some libraries."""

    def __eq__(cls, other: object) -> Any:
        return [cls, other]  # As an expression of a query would be.


class Spiteful(type):
    """Classes of which nothing can be asked."""

    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(f"no {name} for you")

    def __hash__(cls) -> int:
        raise RuntimeError("no hash for you")

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("no equality for you")

    def mro(cls) -> Any:
        return type.mro(cls)


class OddClasses(Case):
    def assert_odd_is_ref(self, thing: Any, name: str) -> None:
        ref = Ref(*decode(self.encoder.ref(SESSION, thing)))
        self.assertIs(self.target(ref), thing)
        self.assertEqual(ref.qualname.rsplit(".", 1)[-1], name)
        found = self.careful([1, thing])
        self.assertEqual(found[0], 1)
        self.assert_ref(found[1], thing)

    def test_instances_that_misbehave(self) -> None:
        class Odd:
            __module__ = 5  # type: ignore[assignment]

            def __getattribute__(self, name: str) -> Any:
                raise RuntimeError(name)

            def __eq__(self, other: object) -> bool:
                raise RuntimeError("eq")

            def __hash__(self) -> int:
                raise RuntimeError("hash")

            def __reduce_ex__(self, protocol: Any) -> Any:
                raise RuntimeError("reduce")

        odd = Odd()
        self.assertFalse(self.encoder.is_value(odd))
        self.assert_ref(self.fast([odd])[0], odd)
        self.assert_odd_is_ref(odd, "Odd")

    def test_a_class_that_lies_about_itself(self) -> None:
        class Lying:
            @property  # type: ignore[misc]
            def __class__(self) -> Any:
                return int

        lying = Lying()
        self.assertIsInstance(lying, int)
        self.assertFalse(self.encoder.is_value(lying))
        self.assert_ref(self.fast([lying])[0], lying)

    def test_classes_that_cannot_be_hashed(self) -> None:
        class Column(metaclass=Meta):
            pass

        self.assert_odd_is_ref(Column(), "Column")
        self.assert_odd_is_ref(Column, "Meta")

    def test_classes_of_which_nothing_can_be_asked(self) -> None:
        made: Any = Spiteful("Made", (), {})
        self.assert_odd_is_ref(object.__new__(made), "Made")
        self.assert_odd_is_ref(made, "Spiteful")

    def test_a_weak_proxy_is_no_value(self) -> None:
        target = collections.UserList([1])
        proxy = weakref.proxy(target)
        self.assertFalse(self.encoder.is_value(proxy))
        self.assert_ref(self.fast([proxy])[0], proxy)

    def test_many_classes_are_not_all_remembered(self) -> None:
        for _ in range(2500):
            self.fast([type("Made", (), {})()])
        self.assertLessEqual(len(sessions._described), 1000)


if __name__ == "__main__":
    unittest.main()
