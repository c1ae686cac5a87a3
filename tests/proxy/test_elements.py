"""The way from one state of the kernel to another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.proxy.elements import Applied, Desired, Route, diff, frontend, place, split
from fairlead.proxy.selection import Backing, Verdict

WEB = frontend(b"\x0a\x60\x00\x01", 6, 80)
A, B, C, D = (bytes((10, 244, 1, n, 0x1F, 0x90, 0, 0)) for n in range(1, 5))

targets = st.lists(st.integers(0, 12).map(lambda n: bytes((10, 0, 0, n, 0, 80, 0, 0))), unique=True)
verdicts = st.sampled_from(Verdict)
backings = st.none() | verdicts | targets.filter(bool).map(tuple)


def test_an_endpoint_that_goes_moves_only_the_last_one() -> None:
    assert place((A, C, D), (A, B, C, D)) == [A, D, C]


def test_an_endpoint_that_comes_moves_nobody() -> None:
    assert place((D, C, B, A), (A, B, C)) == [A, B, C, D]


def test_an_endpoint_that_is_replaced_gives_its_slot() -> None:
    assert place((A, D, C), (A, B, C)) == [A, D, C]


@given(targets, targets)
def test_every_target_has_one_slot(wanted: list[bytes], slots: list[bytes]) -> None:
    placed = place(wanted, slots)
    assert sorted(placed) == sorted(wanted)
    count = min(len(wanted), len(slots))
    stay = sum(target in wanted for target in slots[:count])
    assert sum(a == b for a, b in zip(placed, slots, strict=False)) == stay


@given(st.lists(backings, max_size=8))
def test_every_step_leaves_the_packets_right(history: list[Backing | None]) -> None:
    """Steps may be in different batches: after each of them, chains draw only filled slots with wanted targets."""
    applied = Applied()
    slots: dict[int, bytes] = {}
    chain = ""
    before: set[bytes] = set()

    def consistent(allowed: set[bytes]) -> None:
        count = int(chain.removeprefix("pick-")) if chain.startswith("pick-") else 0
        assert all(slots[index] in allowed for index in range(count))

    for backing in history:
        wanted = set(backing) if isinstance(backing, tuple) else set()
        todo = diff(Desired({WEB: backing}), applied)
        for run in todo.filled:
            for index, target in enumerate(run.targets, run.first):
                assert index not in slots
                slots[index] = target
                consistent(before | wanted)
        for run in todo.replaced:
            assert run.first in slots
            slots[run.first] = run.targets[0]
            consistent(before | wanted)
        for _, old, new in todo.routed:
            assert old == chain
            chain = new
            consistent(before | wanted)
        for _, first, end in todo.emptied:
            for index in range(first, end):
                del slots[index]
            consistent(before | wanted)
        todo.apply(applied)
        before = wanted
        assert set(slots.values()) == wanted
        held: Route | None = applied.routes.get(WEB)
        assert held == (b"".join(slots[i] for i in range(len(slots))) if wanted else backing)
        assert not diff(Desired({WEB: backing}), applied)


@given(backings, backings)
def test_nothing_else_is_touched(first: Backing | None, second: Backing | None) -> None:
    other = frontend(b"\x0a\x60\x00\x02", 17, 53)
    applied = Applied({other: A + B})
    for backing in (first, second):
        todo = diff(Desired({WEB: backing}), applied)
        assert {run.frontend for run in (*todo.filled, *todo.replaced)} <= {WEB}
        todo.apply(applied)
    assert split(applied.routes[other]) == [A, B]
