"""What the embedded store promises besides: durability, a bounded file, one process at a time."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from fairlead.store import Change, Compacted, Condition, Failed
from fairlead.store.sqlite import SQLiteStore
from tests.waiting import LIMIT

WRITER = """
import asyncio, sys, uvloop
from fairlead.store import Change, Condition
from fairlead.store.sqlite import SQLiteStore

async def write(store, who):
    for i in range(1_000_000):
        key = f"/pods/{who}/{i}"
        revision = await store.commit([Condition(key, 0)], [Change(key, b"x" * 300), Change(f"/last/{who}", b"%d" % i)])
        print(revision, key, flush=True)

async def main():
    store = await SQLiteStore.open(sys.argv[1], events=500)
    await asyncio.gather(*(write(store, who) for who in range(20)))

uvloop.run(main())
"""


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4])
def test_no_acknowledged_write_is_lost_by_kill_9(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "store.db"
    acknowledged: dict[str, int] = {}
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER.replace("/pods/", f"/pods/{time.time_ns()}-"), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline()]
            end = time.monotonic() + seconds
            while time.monotonic() < end or len(lines) < 20:
                lines.append(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        for line in lines:
            if line.endswith("\n"):
                revision, key = line.split()
                acknowledged[key] = int(revision)

    async def main() -> None:
        async with await SQLiteStore.open(path) as store:
            for key, revision in acknowledged.items():
                entry = await store.get(key)
                assert entry is not None, key
                assert entry.revision == revision
            assert store.revision >= max(acknowledged.values())

    uvloop.run(main())
    assert len(acknowledged) > 20


def test_a_full_disk_fails_the_writers_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def main() -> None:
        async with await SQLiteStore.open(path) as store:
            await store.commit([], [Change("/a/1", b"before")])
            watch = store.watch("/a/", 1)
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (store.size + 50_000, hard))
            try:
                results = await asyncio.gather(
                    store.commit([Condition("/a/2", 0)], [Change("/a/2", bytes(1_000_000))]),
                    store.commit([Condition("/a/1", 1)], [Change("/a/1", b"with it")]),
                    return_exceptions=True,
                )
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert all(isinstance(result, Failed) for result in results)
            assert await store.get("/a/2") is None
            assert store.revision == 1
            assert await store.commit([Condition("/a/1", 1)], [Change("/a/1", b"after")]) == 2
            assert [event.value for event in await watch.next()] == [b"after"]
        async with await SQLiteStore.open(path) as store:
            assert [(e.key, e.value) for e in (await store.range("/")).entries] == [("/a/1", b"after")]

    uvloop.run(main())


FULL = """
import asyncio, sys
from pathlib import Path
from fairlead.store import Change, Failed
from fairlead.store.sqlite import SQLiteStore

async def fill(store, acknowledged):
    while True:
        key = f"/a/{len(acknowledged)}"
        await store.commit([], [Change(key, bytes(10_000))])
        acknowledged.append(key)

async def main(place):
    ballast = place / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    store = await SQLiteStore.open(place / "store.db")
    acknowledged = []
    for more in True, False:
        before = len(acknowledged)
        try:
            await fill(store, acknowledged)
        except Failed as error:
            print(error)
        assert len(acknowledged) > before + 20
        if more:
            ballast.unlink()
    if sys.argv[2] == "closed":
        await store.close()
    else:
        store._database.close()
    store = await SQLiteStore.open(place / "store.db")
    assert [e.key for e in (await store.range("/a/")).entries] == sorted(acknowledged)
    print("all there")
    sys.stdout.flush()
    import os
    os._exit(0)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a small file system of its own")
@pytest.mark.parametrize("end", ["closed", "cut off"])
def test_a_full_file_system_loses_nothing_and_is_written_to_again(tmp_path: Path, end: str) -> None:
    mounted = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", str(tmp_path), sys.executable, FULL, end],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the disk is full; writes are taken again as soon as there is room") == 2
    assert done.stdout.endswith("all there\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"no database, " * 1000), "it is damaged, or no store"),
        (lambda path: overwrite(path, 4096, b"\xff" * 8192), "it is damaged, or no store"),
        (
            lambda path: sql(path, "PRAGMA user_version = 7"),
            "written in format 7, this version of Fairlead knows 1",
        ),
        (
            lambda path: (path.unlink(), sql(path, "CREATE TABLE t (x)")),
            "it is an SQLite file of another program",
        ),
        (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
    ],
    ids=["no database", "pages overwritten", "of another version", "of another program", "a directory"],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "store.db"

    async def main() -> None:
        async with await SQLiteStore.open(path) as store:
            for i in range(100):
                await store.commit([], [Change(f"/a/{i}", bytes(1000))])
        damage(path)
        with pytest.raises(Failed, match=said) as refused:
            await SQLiteStore.open(path)
        assert str(path) in str(refused.value)

    uvloop.run(main())


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def sql(path: Path, statement: str) -> object:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()
    return None


def test_a_copy_of_the_file_is_a_back_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def main() -> None:
        async with await SQLiteStore.open(path) as store:
            await store.commit([], [Change("/a/1", b"saved")])
        assert [file.name for file in tmp_path.iterdir()] == ["store.db"], "all of it is in one file"
        saved = path.read_bytes()
        async with await SQLiteStore.open(path) as store:
            await store.commit([], [Change("/a/1", b"later")])
        path.write_bytes(saved)
        async with await SQLiteStore.open(path) as store:
            assert [e.value for e in (await store.range("/a/")).entries] == [b"saved"]
            assert store.revision == 1

    uvloop.run(main())


def test_a_store_without_a_directory_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(Failed, match="there is no directory"):
            await SQLiteStore.open(tmp_path / "no/store.db")

    uvloop.run(main())


def test_the_file_shrinks_after_most_of_it_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def main() -> None:
        async with await SQLiteStore.open(path, events=2000) as store:
            for value in bytes(10_000), None:
                await asyncio.gather(*(store.commit([], [Change(f"/a/{i}", value)]) for i in range(2000)))
            for i in range(40):
                await store.commit([], [Change("/b/1", b"%d" % i)])
                await store.compact(store.revision)
        assert path.stat().st_size < 8_000_000

    uvloop.run(main())


def test_history_is_forgotten_by_age(tmp_path: Path) -> None:
    async def main() -> None:
        async with await SQLiteStore.open(tmp_path / "store.db", seconds=0.05) as store:
            for i in range(5):
                await store.commit([], [Change("/a/1", b"%d" % i)])
            async with asyncio.timeout(LIMIT):
                while store._cache.history.compacted < 5:  # noqa: ASYNC110 - it is the store's own timer
                    await asyncio.sleep(0.01)
            with pytest.raises(Compacted):
                store.watch("/a/", 4)
            assert store.revision == 5

    uvloop.run(main())


def test_the_history_and_the_file_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def main() -> None:
        async with await SQLiteStore.open(path, events=100) as store:
            for start in range(0, 5000, 100):
                await asyncio.gather(
                    *(
                        store.commit([], [Change(f"/a/{i % 10}", bytes(1000))])
                        for i in range(start, start + 100)
                    )
                )
            with pytest.raises(Compacted):
                store.watch("/a/", 1)
            assert len((await store.range("/a/")).entries) == 10
        async with await SQLiteStore.open(path, events=100) as store:
            assert len((await store.range("/a/")).entries) == 10
            assert store.revision == 5000
        assert path.stat().st_size < 4_000_000

    uvloop.run(main())


def test_a_second_server_is_told_that_the_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    program = f"""
import asyncio
from fairlead.store import open_store
try:
    asyncio.run(open_store("sqlite:{path}"))
except Exception as error:
    print(error)
"""

    async def main() -> None:
        async with await SQLiteStore.open(path):
            said = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=True
            )
            assert "another process has it open, an API server most likely" in said.stdout
            assert str(path) in said.stdout

    uvloop.run(main())


@pytest.mark.parametrize("before", [None, 0o644])
def test_the_files_are_their_owners_alone(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "store.db"

    async def main() -> None:
        async with await SQLiteStore.open(path) as store:
            await store.commit([], [Change("/secrets/a", b"x")])
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            assert modes == dict.fromkeys(("store.db", "store.db-wal"), 0o600)

    umask = os.umask(0)
    try:
        if before is not None:
            uvloop.run(main())
            path.chmod(before)
        uvloop.run(main())
    finally:
        os.umask(umask)


def test_who_is_cancelled_with_the_writer_can_still_write(tmp_path: Path) -> None:
    """As at the end of a loop, which cancels all tasks at once."""

    async def test() -> None:
        async with await SQLiteStore.open(tmp_path / "store.db") as store:
            first = asyncio.create_task(store.commit([], [Change("/first", b"1")]))
            await asyncio.sleep(0)  # it is with the thread now
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            revision = await store.commit([], [Change("/last", b"2")])
            assert first.cancelled()
            first_there, last_there = await store.get("/first"), await store.get("/last")
            assert first_there is not None
            assert last_there is not None
            assert first_there.revision < last_there.revision == revision

    uvloop.run(test())
