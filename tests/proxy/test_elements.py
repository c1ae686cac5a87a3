"""The way from one state of the kernel to another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairlead.proxy.nftables.difference import Applied, Desired, diff, place, split
from fairlead.proxy.nftables.elements import Backed, Way, frontend, ranges
from fairlead.proxy.nftables.elements import sticky as sticky_key
from fairlead.proxy.nftables.names import LOCAL, Chain, Key, Learner, chain_named

WEB = frontend(b"\x0a\x60\x00\x01", 6, 80)
A, B, C, D = (bytes((10, 244, 1, n, 0x1F, 0x90, 0, 0)) for n in range(1, 5))

targets = st.lists(st.integers(0, 12).map(lambda n: bytes((10, 0, 0, n, 0, 80, 0, 0))), unique=True)
backings = st.none() | st.builds(Backed, targets.filter(bool).map(tuple), st.booleans())


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


chains = st.builds(Chain, st.sampled_from(Key), st.integers(1, 65536), st.booleans(), st.booleans())
learners = st.builds(Learner, st.integers(1, 86400), st.booleans())


@given(chains | learners)
def test_a_chain_is_its_name(chain: Chain | Learner) -> None:
    assert chain_named(chain.name) == chain


def desired(backed: Backed | None, base: int) -> Desired:
    key = Key.OWN
    way = backed and Way(Chain(key, len(backed.targets), base > 0).name)
    return Desired({WEB: way}, {(WEB, base): backed})


@given(st.lists(backings, max_size=8), st.sampled_from([0, LOCAL]))
def test_every_step_leaves_the_packets_right(history: list[Backed | None], base: int) -> None:
    """Steps may be in different batches: after each of them, chains draw only filled slots with wanted targets."""
    applied = Applied()
    slots: dict[int, bytes] = {}
    sticky: set[bytes] = set()
    chain: Chain | Learner | None = None
    before: set[bytes] = set()

    def consistent(allowed: set[bytes]) -> None:
        assert all(
            slots[base + index] in allowed for index in range(chain.count if isinstance(chain, Chain) else 0)
        )

    for backed in history:
        wanted = set(backed.targets) if backed is not None else set()
        todo = diff(desired(backed, base), applied)
        sticky |= {key for _, key in todo.joined}
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
            assert (old and chain_named(old.chain)) == chain
            chain = chain_named(new.chain) if new is not None else None
            consistent(before | wanted)
        for _, first, end in todo.emptied:
            for index in range(first, end):
                del slots[index]
            consistent(before | wanted)
        sticky -= {key for _, key in todo.left}
        todo.apply(applied)
        before = wanted
        assert set(slots.values()) == wanted
        assert sticky == (
            {sticky_key(WEB, target) for target in wanted} if backed and backed.sticky else set()
        )
        assert applied.slots.get((WEB, base), b"") == b"".join(slots[base + i] for i in range(len(slots)))
        assert not diff(desired(backed, base), applied)


ways = st.builds(
    lambda sources: Way("alias-1", WEB, sources=tuple(sorted(sources))),
    st.sets(st.sampled_from([(A[:4], A[:4]), (B[:4], C[:4]), (D[:4], D[:4])])),
)


@given(st.lists(st.none() | ways, max_size=6))
def test_nobody_is_let_in_or_kept_out_on_the_way(history: list[Way | None]) -> None:
    """A frontend is guarded only while all its sources are there."""
    applied = Applied()
    there: set[object] = set()
    guarded = False
    for way in history:
        todo = diff(Desired({WEB: way}), applied)
        before = applied.ways.get(WEB)
        there -= set(todo.closed)
        there |= set(todo.opened)
        assert not (todo.closed and not todo.opened and before and not before.sources)
        assert not guarded or there
        guarded = way is not None and bool(way.sources) if todo.routed else guarded
        assert not guarded or (way is not None and there >= set(ranges(WEB, way)))
        there -= set(todo.forgotten)
        todo.apply(applied)
        assert there == (set(ranges(WEB, way)) if way is not None else set())


@given(backings, backings)
def test_nothing_else_is_touched(first: Backed | None, second: Backed | None) -> None:
    other = frontend(b"\x0a\x60\x00\x02", 17, 53)
    applied = Applied({other: Way("pick-2")}, {(other, 0): A + B})
    for backed in (first, second):
        todo = diff(desired(backed, 0), applied)
        assert {run.owner for run in (*todo.filled, *todo.replaced)} <= {WEB}
        todo.apply(applied)
    assert split(applied.slots[other, 0]) == [A, B]
    assert applied.ways[other] == Way("pick-2")
