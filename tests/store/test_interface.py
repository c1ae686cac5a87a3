"""What every store promises.

That revisions grow by one is not among it: several stores may share an etcd, and one may write there for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.store import (
    Change,
    Closed,
    Compacted,
    Condition,
    Conflict,
    Event,
    Future,
    Store,
    TooSlow,
    watches,
)
from fairlead.store.history import History
from fairlead.store.state import State

Open = Callable[[], Awaitable[Store]]

FAR = 1_000_000
"""A revision that much later does not exist yet."""


def with_store(open_again: Open, test: Callable[[Store], Awaitable[None]]) -> None:
    async def main() -> None:
        async with await open_again() as store:
            await test(store)

    uvloop.run(main())


async def put(store: Store, key: str, value: bytes) -> int:
    return await store.commit([], [Change(key, value)])


async def drop(store: Store, key: str) -> int:
    return await store.commit([], [Change(key, None)])


def told(events: list[Event]) -> list[tuple[int, str, bytes | None, bytes | None]]:
    return [(e.revision, e.key, e.value, e.previous.value if e.previous else None) for e in events]


def test_a_value_is_read_as_it_was_written_with_its_revision(open_again: Open) -> None:
    async def test(store: Store) -> None:
        n = store.revision
        assert await store.get("/pods/default/web") is None
        one = await put(store, "/pods/default/web", b"one")
        two = await put(store, "/pods/default/web", b"two")
        entry = await store.get("/pods/default/web")
        assert entry is not None
        assert (entry.value, entry.revision) == (b"two", two)
        assert n < one < two <= store.revision

    with_store(open_again, test)


@pytest.mark.parametrize(
    ("key", "ahead", "holds"),
    [
        ("/a/1", 0, True),
        ("/a/1", None, False),
        ("/a/1", 1, False),
        ("/a/2", None, True),
        ("/a/2", 0, False),
    ],
)
def test_a_transaction_is_made_if_its_conditions_hold(
    open_again: Open, key: str, ahead: int | None, holds: bool
) -> None:
    async def test(store: Store) -> None:
        n = await put(store, "/a/1", b"x")
        condition = Condition(key, 0 if ahead is None else n + ahead)
        changes = [Change("/a/1", b"y"), Change("/b/1", b"z")]
        made = n
        if holds:
            made = await store.commit([condition], changes)
            assert made > n
        else:
            with pytest.raises(Conflict) as refused:
                await store.commit([condition], changes)
            assert refused.value.key == condition.key
        assert (await store.get("/b/1") is not None) is holds
        entry = await store.get("/a/1")
        assert entry is not None
        assert entry.revision == made

    with_store(open_again, test)


def test_one_of_many_writers_of_a_key_wins(open_again: Open) -> None:
    async def test(store: Store) -> None:
        results = await asyncio.gather(
            *(store.commit([Condition("/a/x", 0)], [Change("/a/x", b"%d" % i)]) for i in range(100)),
            return_exceptions=True,
        )
        [made] = [r for r in results if not isinstance(r, Conflict)]
        entry = await store.get("/a/x")
        assert entry is not None
        assert entry.revision == made

    with_store(open_again, test)


def test_changes_of_one_transaction_have_one_revision(open_again: Open) -> None:
    async def test(store: Store) -> None:
        n = await store.commit([], [Change("/a/1", b"1"), Change("/a/2", b"2")])
        page = await store.range("/a/")
        assert [(e.key, e.revision) for e in page.entries] == [("/a/1", n), ("/a/2", n)]
        with pytest.raises(ValueError, match="only once"):
            await store.commit([], [Change("/a/1", b"1"), Change("/a/1", None)])

    with_store(open_again, test)


def test_deleting_what_is_not_there_changes_nothing(open_again: Open) -> None:
    async def test(store: Store) -> None:
        n = await put(store, "/a/1", b"1")
        watch = store.watch("/a/", n)
        assert await drop(store, "/a/2") >= n
        last = await put(store, "/a/3", b"3")
        assert [e.revision for e in await watch.next()] == [last]

    with_store(open_again, test)


def test_a_range_is_sorted_and_comes_in_pages(open_again: Open) -> None:
    async def test(store: Store) -> None:
        for name in ("/a/x/2", "/a/x/1", "/a/y/1", "/a/x/3", "/ab/1"):
            await put(store, name, b"")
        page = await store.range("/a/")
        assert [e.key for e in page.entries] == ["/a/x/1", "/a/x/2", "/a/x/3", "/a/y/1"]
        page = await store.range("/a/x/", limit=2)
        assert ([e.key for e in page.entries], page.remaining) == (["/a/x/1", "/a/x/2"], 1)
        page = await store.range("/a/x/", limit=2, after="/a/x/2")
        assert ([e.key for e in page.entries], page.remaining) == (["/a/x/3"], 0)
        assert len((await store.range("/")).entries) == 5

    with_store(open_again, test)


def test_a_range_can_be_read_as_it_was(open_again: Open) -> None:
    async def test(store: Store) -> None:
        n = await put(store, "/a/1", b"old")
        then = await put(store, "/a/2", b"goes")
        await put(store, "/a/1", b"new")
        await drop(store, "/a/2")
        await put(store, "/a/3", b"comes")
        page = await store.range("/a/", revision=then)
        assert [(e.key, e.value, e.revision) for e in page.entries] == [
            ("/a/1", b"old", n),
            ("/a/2", b"goes", then),
        ]
        assert page.revision == then
        with pytest.raises(Future):
            await store.range("/a/", revision=n + FAR)

    with_store(open_again, test)


def test_a_watch_tells_everything_under_its_prefix_once_in_order(open_again: Open) -> None:
    async def test(store: Store) -> None:
        n = await put(store, "/a/x/1", b"1")
        watch = store.watch("/a/x/", n - 1)
        one = store.watch("/a/x/2", n)
        await put(store, "/a/y/1", b"other")
        two = await put(store, "/a/x/1", b"2")
        three = await put(store, "/a/x/2", b"3")
        gone = await drop(store, "/a/x/1")
        seen: list[Event] = []
        while len(seen) < 4:
            seen += await watch.next()
        assert told(seen) == [
            (n, "/a/x/1", b"1", None),
            (two, "/a/x/1", b"2", b"1"),
            (three, "/a/x/2", b"3", None),
            (gone, "/a/x/1", None, b"2"),
        ]
        assert n < two < three < gone
        assert watch.revision == store.revision
        assert told(list(await one.next())) == [(three, "/a/x/2", b"3", None)]
        watch.close()
        with pytest.raises(Closed):
            await watch.next()

    with_store(open_again, test)


def test_a_watch_of_the_future_or_the_forgotten_past_is_refused(open_again: Open) -> None:
    async def test(store: Store) -> None:
        made = [await put(store, "/a/1", b"%d" % i) for i in range(5)]
        await store.compact(made[2])
        with pytest.raises(Compacted) as refused:
            store.watch("/a/", made[1])
        assert refused.value.oldest == made[2]
        with pytest.raises(Compacted):
            await store.range("/a/", revision=made[1])
        with pytest.raises(Future):
            store.watch("/a/", made[-1] + FAR)
        assert [e.revision for e in await store.watch("/a/", made[2]).next()] == made[3:]
        assert [e.value for e in (await store.range("/a/", revision=made[2])).entries] == [b"2"]

    with_store(open_again, test)


@pytest.mark.parametrize(("bound", "value"), [("WAITING", 10), ("WAITING_BYTES", 10)])
def test_a_watch_that_is_not_read_is_cut_off(
    open_again: Open, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(watches, bound, value)
    cut: list[bool] = []

    async def test(store: Store) -> None:
        watch = store.watch("/a/", store.revision, lambda: cut.append(True))
        other = store.watch("/a/", store.revision)
        for i in range(12):
            await put(store, "/a/1", b"%d" % i)
            await other.next()
        assert cut == [True]
        with pytest.raises(TooSlow):
            await watch.next()

    with_store(open_again, test)


def test_closing_the_store_ends_watches_and_refuses_writes(open_again: Open) -> None:
    async def main() -> None:
        store = await open_again()
        watch = store.watch("/a/", store.revision)
        waiting = asyncio.ensure_future(watch.next())
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(Closed):
            await waiting
        with pytest.raises(Closed):
            await put(store, "/a/1", b"")

    uvloop.run(main())


def test_everything_is_there_after_opening_again(open_again: Open) -> None:
    async def main() -> None:
        async with await open_again() as store:
            one = await put(store, "/a/1", b"1")
            two = await put(store, "/a/2", b"2")
            three = await put(store, "/a/1", b"3")
            four = await drop(store, "/a/2")
            await store.compact(two)
        async with await open_again() as store:
            assert store.revision >= four
            assert [(e.key, e.value, e.revision) for e in (await store.range("/")).entries] == [
                ("/a/1", b"3", three)
            ]
            assert told(list(await store.watch("/a/", two).next())) == [
                (three, "/a/1", b"3", b"1"),
                (four, "/a/2", None, b"2"),
            ]
            with pytest.raises(Compacted):
                store.watch("/a/", one)
            # A store may write down what it forgets.
            last = await put(store, "/a/3", b"4")
            await store.compact(last)
        async with await open_again() as store:
            assert store.revision >= last
            assert [e.key for e in (await store.range("/")).entries] == ["/a/1", "/a/3"]

    uvloop.run(main())


KEYS = st.sampled_from(["/a/x/1", "/a/x/2", "/a/y/1", "/b/1"])
HISTORIES = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=3))), max_size=40)


@settings(max_examples=100)
@given(HISTORIES, st.integers(0, 40))
def test_the_past_is_what_the_present_was(changes: list[tuple[str, bytes | None]], when: int) -> None:
    state, history, past = State(), History(), {0: [("", b"")][:0]}
    revision = 0
    for key, value in changes:
        previous = state.get(key)
        if value is None and previous is None:
            continue
        revision += 1
        event = Event(revision, key, value, previous)
        state.apply(event)
        history.add(event)
        past[revision] = [(e.key, e.value) for e in state.range("/", "", 0)[0]]
    at = min(when, revision)
    entries, _ = state.range_before("/", "", 0, history.undone(at))
    assert [(e.key, e.value) for e in entries] == past[at]
