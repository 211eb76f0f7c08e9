from __future__ import annotations

from typing import Any

from snakebridge_worker import frames

from .support import Ref
from .test_lane import SESSION, Case, PersistentId, call, request


def pipeline(*steps: bytes, flags: int = 0) -> bytes:
    """One request of these."""
    parts: list[Any] = []
    for step in steps:
        _, kind, step_flags, _, _ = frames.HEADER.unpack_from(step)
        parts += [kind, step_flags, step[frames.HEADER_LEN :]]
    return request(frames.PIPELINE, *parts, flags=flags)


def result(place: int) -> PersistentId:
    return PersistentId(frames.FIRST_RESULT + place)


def with_refs(module: str, function: str, *args: Any, flags: int = 0) -> bytes:
    return call(module, function, *args, flags=flags | frames.HAS_REFS)


NOT_SENT = frames.HEADER.pack(1, 0, 0, SESSION, 0)


class Pipelines(Case):
    def test_results_in_order(self) -> None:
        values, failures = self.value(
            pipeline(call("math", "sqrt", 16), call("builtins", "str", 5), call("builtins", "list"))
        )
        self.assertEqual((values, failures), ([4.0, "5", []], []))

    def test_bodies_that_are_values(self) -> None:
        one = (frames.CALL, 0, ("math", "sqrt", (16,)))
        other = (frames.CALL, frames.NO_RESULT, ("builtins", "list", ([1],)))
        wrong = (frames.CALL, 0, ("math", "sqrt", ("x",)))
        values, failures = self.value(request(frames.PIPELINE, *one, *other, *wrong, *one))
        self.assertEqual(values, [4.0, None, None, 4.0])
        self.assertEqual([failure[:2] for failure in failures], [(2, frames.ERROR)])

    def test_empty(self) -> None:
        self.assertEqual(self.value(pipeline()), ([], []))

    def test_a_failure_does_not_keep_the_others(self) -> None:
        values, failures = self.value(
            pipeline(call("math", "sqrt", -1), call("nothing.at", "all"), call("math", "sqrt", 4))
        )
        self.assertEqual(values, [None, None, 2.0])
        self.assertEqual(
            [failure[:2] for failure in failures], [(0, frames.ERROR), (1, frames.ERROR)]
        )
        self.assertEqual(failures[0][2][1], "ValueError")
        self.assertEqual(failures[1][2][1], "ModuleNotFoundError")

    def test_results_as_arguments_and_receivers(self) -> None:
        values, failures = self.value(
            pipeline(
                call("collections", "deque", [1], flags=frames.BY_REF),
                request(frames.METHOD, result(0), "append", (2,), flags=frames.HAS_REFS),
                with_refs("builtins", "list", result(0)),
                with_refs("builtins", "len", result(2)),
            )
        )
        self.assertEqual(failures, [])
        self.assertIsInstance(values[0], Ref)
        self.assertEqual(values[1:], [None, [1, 2], 2])

    def test_what_uses_a_failed_result_is_not_made(self) -> None:
        values, failures = self.value(
            pipeline(
                call("math", "sqrt", -1),
                with_refs("builtins", "print", result(0)),
                with_refs("builtins", "print", result(1)),
                with_refs("builtins", "print", result(7)),
                NOT_SENT,
                with_refs("builtins", "print", result(4)),
            )
        )
        self.assertEqual(values, [None] * 6)
        self.assertEqual(failures[0][1], frames.ERROR)
        for _, kind, (code, _) in failures[1:]:
            self.assertEqual((kind, code), (frames.FAULT, frames.FAULT_NOT_MADE))
        self.assertEqual(failures[1][2][1], "call 1, whose result it uses, has failed")

    def test_faults_of_single_calls(self) -> None:
        kept = self.keep("collections", "deque")
        values, failures = self.value(
            pipeline(
                with_refs("builtins", "print", PersistentId(999)),
                request(frames.LEN, 999, flags=frames.TARGET_REF),
                request(frames.LEN, kept, flags=frames.TARGET_REF),
                frames.HEADER.pack(1, frames.CALL, 0, SESSION, 3) + b"bad",
            )
        )
        self.assertEqual(values, [None, None, 0, None])
        self.assertEqual(
            [failure[2][0] for failure in failures],
            [frames.FAULT_REF_NOT_FOUND, frames.FAULT_REF_NOT_FOUND, frames.FAULT_ARGUMENTS],
        )

    def test_no_result(self) -> None:
        values, _ = self.value(pipeline(call("builtins", "dict", flags=frames.NO_RESULT)))
        self.assertEqual(values, [None])

    def test_again(self) -> None:
        values, _ = self.value(pipeline(call("builtins", "chr", 0xD800), call("builtins", "int")))
        self.assertEqual(values[1], 0)
        values, _ = self.value(request(frames.AGAIN))
        self.assertIsInstance(values[0], Ref)
        self.assertEqual(values[1], 0)

    def test_an_id_of_a_result_means_nothing_elsewhere(self) -> None:
        code, _ = self.fault(with_refs("builtins", "print", result(0)))
        self.assertEqual(code, frames.FAULT_REF_NOT_FOUND)


class Interrupts(Case):
    def test_the_rest_is_not_made(self) -> None:
        self.check(caught=False)

    def test_the_rest_is_not_made_either_where_a_call_catches_it(self) -> None:
        self.check(caught=True)

    def check(self, *, caught: bool) -> None:
        made: list[int] = []

        def step(parts: Any) -> None:
            made.append(1)
            try:
                self.lane.interrupt()
            except KeyboardInterrupt:
                if not caught:
                    raise

        self.lane.operations[200] = step
        self.assertEqual(self.error(pipeline(request(200), request(200))), "KeyboardInterrupt")
        self.assertEqual(made, [1])
        self.assert_alive()
