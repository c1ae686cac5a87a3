"""What the distributed store promises besides: servers that are one, a member lost, TLS, an outcome for all writes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from fairlead.store import Change, Closed, Condition, Conflict, Failed, Store, TooSlow, Unknown, open_store
from fairlead.store.etcd import client as clients
from fairlead.store.etcd.address import Address, parse, with_options
from fairlead.store.etcd.store import EtcdStore
from tests.store.etcd import Cluster, needs_etcd
from tests.waiting import LIMIT


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("http://127.0.0.1:2379", Address(("127.0.0.1:2379",))),
        ("http://a,http://b:1,http://[::1]:2", Address(("a:2379", "b:1", "[::1]:2"))),
        ("https://a?prefix=/x/", Address(("a:2379",), secure=True, prefix="/x")),
        (
            "https://a?cafile=/ca&certfile=/c&keyfile=/k&compaction=60",
            Address(("a:2379",), True, Path("/ca"), Path("/c"), Path("/k"), compaction=60),
        ),
    ],
)
def test_an_address_is_read(place: str, address: Address) -> None:
    assert parse(place) == address


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "'' is no URL of an etcd member"),
        ("127.0.0.1:2379", "is no URL of an etcd member"),
        ("http://a/path", "is no URL of an etcd member"),
        ("http://a,https://b", "all http or all https"),
        ("http://a?colour=red", "'colour' is no option"),
        ("http://a?prefix=/", "may not be empty"),
        ("https://a?certfile=/c", "needs both certfile and keyfile"),
        ("http://a?cafile=/c", "of no use with http:// URLs"),
        ("http://a?compaction=soon", "no number of seconds"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_a_sentence(place: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        parse(place)


def test_options_are_added_to_an_address() -> None:
    assert with_options("etcd:http://a", {"prefix": "/x", "cafile": ""}) == "etcd:http://a?prefix=/x"
    assert with_options("sqlite:x", {"prefix": ""}) == "sqlite:x"
    with pytest.raises(ValueError, match="cafile is an option of etcd"):
        with_options("sqlite:x", {"cafile": "/ca"})


@needs_etcd
def test_two_servers_see_the_same_events_at_the_same_revisions(etcd: Cluster) -> None:
    async def main() -> None:
        address = etcd.address("/two")
        async with await open_store(address) as a, await open_store(address) as b:
            n = max(a.revision, b.revision)
            await a.sync()
            await b.sync()
            watches = a.watch("/x/", a.revision), b.watch("/x/", b.revision)
            await asyncio.gather(
                *((a, b)[i % 2].commit([], [Change(f"/x/{i % 7}", b"%d" % i)]) for i in range(100))
            )
            seen = []
            for watch in watches:
                events = list(await watch.next())
                async with asyncio.timeout(LIMIT):
                    while len(events) < 100:
                        events += await watch.next()
                seen.append([(e.revision, e.key, e.value) for e in events])
            assert seen[0] == seen[1]
            assert len({revision for revision, _, _ in seen[0]}) == 100
            assert seen[0][0][0] > n

    uvloop.run(main())


@needs_etcd
def test_a_read_after_sync_has_what_another_server_wrote_before(etcd: Cluster) -> None:
    async def main() -> None:
        address = etcd.address("/sync")
        async with await open_store(address) as a, await open_store(address) as b:
            for i in range(50):
                revision = await a.commit([], [Change("/x/1", b"%d" % i)])
                await b.sync()
                entry = await b.get("/x/1")
                assert entry is not None
                assert (entry.value, entry.revision) == (b"%d" % i, revision)
            etcd.control("put", "/of-somebody-else", "x")
            await b.sync()
            assert b.revision > revision, "what others write moves the revision too"
            await a.sync()

    uvloop.run(main())


@needs_etcd
def test_a_lost_race_with_another_server_is_a_conflict_after_which_one_can_try_again(etcd: Cluster) -> None:
    async def main() -> None:
        address = etcd.address("/race")

        async def count(store: Store) -> None:
            for _ in range(40):
                while True:
                    entry = await store.get("/counter/1")
                    value = int(entry.value) if entry else 0
                    condition = Condition("/counter/1", entry.revision if entry else 0)
                    try:
                        await store.commit([condition], [Change("/counter/1", b"%d" % (value + 1))])
                    except Conflict:
                        continue
                    break

        async with await open_store(address) as a, await open_store(address) as b:
            await asyncio.gather(count(a), count(b), count(a))
            await a.sync()
            entry = await a.get("/counter/1")
            assert entry is not None
            assert entry.value == b"120"

    uvloop.run(main())


@needs_etcd
def test_a_server_that_starts_has_the_history_from_before_and_pages_of_others(tmp_path: Path) -> None:
    """In an etcd of its own: whoever compacts for one prefix compacts for all."""
    etcd = Cluster(tmp_path)

    async def main() -> None:
        address = etcd.address("/history")
        async with await open_store(address) as a:
            n = await a.commit([], [Change("/x/1", b"1")])
            both = await a.commit([], [Change("/x/2", b"2")])
            last = await a.commit([], [Change("/x/1", None)])
        async with await open_store(address) as b:
            told = await b.watch("/x/", n).next()
            assert [(e.revision, e.key) for e in told] == [(both, "/x/2"), (last, "/x/1")]
            assert isinstance(b, EtcdStore)
            b._forget(b.revision)
            page = await b.range("/x/", revision=both, limit=1)
            assert ([e.key for e in page.entries], page.remaining) == (["/x/1"], 1)
            page = await b.range("/x/", revision=both, limit=1, after="/x/1")
            assert ([e.key for e in page.entries], page.remaining) == (["/x/2"], 0)

    try:
        uvloop.run(main())
    finally:
        etcd.stop()


@needs_etcd
def test_watches_start_again_where_somebody_compacted_what_was_not_seen(etcd: Cluster) -> None:
    async def main() -> None:
        address = etcd.address("/compacted")
        async with await open_store(address) as a, await open_store(address) as b:
            assert isinstance(b, EtcdStore)
            watch = b.watch("/x/", b.revision)
            for task in b._tasks[:1]:
                task.cancel()  # it follows no longer
            await a.commit([], [Change("/x/1", b"1")])
            last = await a.commit([], [Change("/x/1", b"2")])
            etcd.control("compact", str(last))
            b._tasks.append(asyncio.ensure_future(b._follow()))
            with pytest.raises(TooSlow):
                async with asyncio.timeout(LIMIT):
                    await watch.next()
            await b.sync()
            entry = await b.get("/x/1")
            assert entry is not None
            assert entry.value == b"2"
            events = b.watch("/x/", b.revision)
            await a.commit([], [Change("/x/1", b"3")])
            assert [e.value for e in await events.next()] == [b"3"]

    uvloop.run(main())


@needs_etcd
def test_one_of_the_servers_compacts_at_a_time(etcd: Cluster) -> None:
    async def main() -> None:
        address = etcd.address("/compaction")
        async with await open_store(address) as a, await open_store(address) as b:
            assert isinstance(a, EtcdStore)
            assert isinstance(b, EtcdStore)
            first = await a.commit([], [Change("/x/1", b"1")])
            done = [(await store._compaction.attempt(0, first))[2] for store in (a, b)]
            assert done == [True, False]
            assert (await a._compaction.known()) == (first, 1)

    uvloop.run(main())


@needs_etcd
def test_a_write_whose_answer_is_lost_is_made_once(etcd: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers of every third transaction are thrown away, before or after etcd had it."""
    call = clients.Client.call
    calls = 0

    async def lossy(self: clients.Client, method: str, request: bytes, seconds: float = 3.0) -> bytes:
        nonlocal calls
        calls += 1
        if calls % 3 == 0 and method.endswith("Txn"):
            if calls % 2:
                await call(self, method, request, seconds)
            raise clients.Broken("lost")
        return await call(self, method, request, seconds)

    async def main() -> None:
        async with await open_store(etcd.address("/lost")) as store:
            monkeypatch.setattr(clients.Client, "call", lossy)
            watch = store.watch("/x/", store.revision)
            revisions = []
            for i in range(60):
                entry = await store.get("/x/1")
                condition = Condition("/x/1", entry.revision if entry else 0)
                revisions.append(await store.commit([condition], [Change("/x/1", b"%d" % i)]))
            events = list(await watch.next())
            assert [(e.revision, e.value) for e in events] == [
                (r, b"%d" % i) for i, r in enumerate(revisions)
            ]

    uvloop.run(main())


@needs_etcd
def test_a_write_that_nobody_can_tell_of_says_so(etcd: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dead(self: clients.Client, method: str, request: bytes, seconds: float = 3.0) -> bytes:
        raise clients.Broken("etcd at x does not answer: lost")

    async def main() -> None:
        async with await open_store(etcd.address("/dead")) as store:
            with monkeypatch.context() as patch:
                patch.setattr(clients.Client, "call", dead)
                patch.setattr("fairlead.store.etcd.writes.OUTCOME_SECONDS", 0.3)
                with pytest.raises(Unknown, match="not known whether the write was made"):
                    await store.commit([], [Change("/x/1", b"1")])
            await store.commit([Condition("/x/1", 0)], [Change("/x/1", b"2")])

    uvloop.run(main())


@needs_etcd
def test_a_store_that_cannot_be_reached_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.store.etcd.compaction.SECONDS", 0.5)

    async def main() -> None:
        with pytest.raises(
            Failed, match=r"cannot use the store etcd:127.0.0.1:1: etcd at 127.0.0.1:1 does not answer"
        ):
            await open_store("etcd:http://127.0.0.1:1")

    uvloop.run(main())


@needs_etcd
def test_a_full_database_is_an_error_and_writes_go_on_when_there_is_room(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "etcd", options=("--quota-backend-bytes", str(1 << 20)))

    async def main() -> None:
        async with await open_store(cluster.address()) as store:

            async def fill() -> None:
                for _ in range(100):
                    await store.commit([], [Change("/x/1", bytes(100_000))])

            with pytest.raises(Failed, match=r"space quota.*alarm disarm"):
                await fill()
            entry = await store.get("/x/1")
            assert entry is not None
            cluster.control("compact", str(entry.revision))
            cluster.control("defrag")
            cluster.control("alarm", "disarm")
            await store.commit([Condition("/x/1", entry.revision)], [Change("/x/1", b"small")])

    try:
        uvloop.run(main())
    finally:
        cluster.stop()


@needs_etcd
def test_a_server_that_is_left_running_notices_that_etcd_was_restored(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "etcd")

    async def main() -> None:
        async with await open_store(cluster.address()) as store:
            await store.commit([], [Change("/x/1", b"saved")])
            cluster.control("snapshot", "save", str(tmp_path / "snapshot"))
            await store.commit([], [Change("/x/1", b"later")])
            last = await store.commit([], [Change("/x/2", b"later")])
            watch = store.watch("/x/", last)
            await asyncio.to_thread(cluster.restore, tmp_path / "snapshot")
            await store.sync()
            assert store.revision < last
            assert [(e.key, e.value) for e in (await store.range("/x/")).entries] == [("/x/1", b"saved")]
            with pytest.raises(TooSlow):
                await watch.next()
            again = store.watch("/x/", store.revision)
            await store.commit([], [Change("/x/1", b"new")])
            assert [e.value for e in await again.next()] == [b"new"]

    try:
        uvloop.run(main())
    finally:
        cluster.stop()


@needs_etcd
def test_three_members_with_tls_one_lost_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers and a watcher through kills of each member: nothing lost, nothing twice, all of it in order."""
    cluster = Cluster(tmp_path / "etcd", 3, tls=True)
    # How long an election takes, and a member's start, is the machine's affair.
    monkeypatch.setattr("fairlead.store.etcd.writes.OUTCOME_SECONDS", LIMIT)
    monkeypatch.setattr("fairlead.store.etcd.store.READ_SECONDS", LIMIT)

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("fairlead.store.etcd.compaction.SECONDS", 0.5)
            with pytest.raises(Failed, match="does not answer"):
                await open_store(cluster.address().partition("&certfile")[0])
        async with await open_store(cluster.address()) as store, await open_store(cluster.address()) as other:
            watch = other.watch("/x/", other.revision)
            seen: list[tuple[int, str, bytes | None]] = []
            made: list[tuple[int, str, bytes | None]] = []
            done = False

            async def read() -> None:
                while True:
                    try:
                        seen.extend((e.revision, e.key, e.value) for e in await watch.next())
                    except Closed:
                        return

            async def write(who: int) -> None:
                i = 0
                while not done:
                    key = f"/x/{who}"
                    await store.sync()
                    entry = await store.get(key)
                    value = b"%d" % i
                    condition = Condition(key, entry.revision if entry else 0)
                    made.append((await store.commit([condition], [Change(key, value)]), key, value))
                    i += 1

            reader = asyncio.ensure_future(read())
            writers = [asyncio.ensure_future(write(who)) for who in range(8)]
            kills = (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL)
            for member, number in zip(cluster.members, kills, strict=True):
                before = len(made)
                member.signal(number)
                try:
                    async with asyncio.timeout(LIMIT):
                        while len(made) < before + 50:
                            await asyncio.wait(writers, timeout=0.01)
                            for writer in writers:
                                assert not writer.done(), writer.exception()
                finally:
                    if number is signal.SIGSTOP:
                        member.signal(signal.SIGCONT)
                    else:
                        member.start()
                await asyncio.to_thread(cluster.wait)
            done = True
            await asyncio.gather(*writers)
            await other.sync()
            watch.close()
            await reader
            assert seen == sorted(made)

    try:
        uvloop.run(main())
    finally:
        cluster.stop()


def test_the_start_of_a_process_starts_no_threads() -> None:
    """The lab's supervisor forks after it has imported everything: grpc may not be among it."""
    program = (
        "import sys, fairlead.store, fairlead.store.etcd.store, "
        "fairlead.apiserver.server; print('grpc' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
