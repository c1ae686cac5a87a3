"""What the embedded store promises besides: durability, a bounded file, one process at a time."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from fairlead.store import Change, Compacted, Condition, Failed
from fairlead.store.sqlite import SQLiteStore

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
            while time.monotonic() < end:
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
            assert "database is locked" in said.stdout
            assert str(path) in said.stdout

    uvloop.run(main())


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with await SQLiteStore.open(tmp_path / "store.db"):
            assert os.stat(tmp_path / "store.db").st_mode & 0o077 == 0

    uvloop.run(main())
