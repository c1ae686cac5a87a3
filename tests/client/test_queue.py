"""The work queue: no key twice at once, none lost, failures tried again."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from fairlead.client.queue import WorkQueue
from fairlead.client.retry import Backoff
from fairlead.objects.status import failure

from .server import until


def served(
    story: Callable[[WorkQueue[str]], Awaitable[None]],
    sync: Callable[[str], Awaitable[None]],
    workers: int = 4,
    name: str = "",
) -> None:
    """Tells the story to a queue whose keys are worked on."""

    async def run() -> None:
        queue: WorkQueue[str] = WorkQueue(name)
        task = asyncio.create_task(queue.serve(sync, workers=workers))
        try:
            await story(queue)
            await until(lambda: queue.idle, "all is done")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_a_key_waits_once_and_never_runs_twice_at_the_same_time() -> None:
    running: Counter[str] = Counter()
    ran: Counter[str] = Counter()

    async def sync(key: str) -> None:
        running[key] += 1
        assert running[key] == 1
        await asyncio.sleep(0.001)
        running[key] -= 1
        ran[key] += 1

    async def story(queue: WorkQueue[str]) -> None:
        for _ in range(100):
            queue.add("a")
            queue.add("b")
        await until(lambda: ran == {"a": 1, "b": 1}, "each ran once")
        for _ in range(20):
            queue.add("a")
            await asyncio.sleep(0.0003)

    served(story, sync)
    assert 2 <= ran["a"] <= 21


def test_a_key_added_while_it_runs_runs_again() -> None:
    seen: list[int] = []
    state = {"value": 1}
    begun, added = asyncio.Event(), asyncio.Event()

    async def sync(key: str) -> None:
        value = state["value"]
        begun.set()
        await added.wait()
        seen.append(value)

    async def story(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await begun.wait()
        state["value"] = 2
        queue.add("a")
        queue.add("a")
        added.set()

    served(story, sync)
    assert seen == [1, 2]


def test_of_several_delays_the_one_that_ends_first_counts() -> None:
    ran: list[str] = []

    async def sync(key: str) -> None:
        ran.append(key)

    async def story(queue: WorkQueue[str]) -> None:
        queue.add_after("a", 60)
        queue.add_after("a", 0.01)
        queue.add_after("a", 30)
        await until(lambda: ran == ["a"], "it ran")
        assert queue.idle

    served(story, sync)
    assert ran == ["a"]


def test_the_end_of_an_outage_ends_all_waiting() -> None:
    done: set[str] = set()

    async def sync(key: str) -> None:
        done.add(key)

    async def story(queue: WorkQueue[str]) -> None:
        for key in "abc":
            queue.add_after(key, 3600)
        queue.hurry()
        await until(lambda: done == set("abc"), "all is done")

    served(story, sync)


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    tries: Counter[str] = Counter()

    async def sync(key: str) -> None:
        tries[key] += 1
        if tries.total() < 8:
            raise OSError("away")

    async def story(queue: WorkQueue[str]) -> None:
        for key in "abc":
            queue.add(key)

    served(story, sync)
    assert [record.levelname for record in caplog.records if record.levelno > logging.DEBUG] == ["WARNING"]


@pytest.mark.parametrize("error", [OSError("away"), failure(409, "Conflict", "late"), KeyError("a defect")])
def test_what_fails_is_tried_again(error: Exception) -> None:
    tries: Counter[str] = Counter()

    async def sync(key: str) -> None:
        tries[key] += 1
        if key == "bad" and tries[key] < 4:
            raise error

    async def story(queue: WorkQueue[str]) -> None:
        queue.add("bad")
        queue.add("good")

    served(story, sync)
    assert tries == {"bad": 4, "good": 1}


def test_delays_grow_with_jitter_up_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(0.1, 1.0)
    for whole in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0):
        assert whole / 2 <= backoff.next() <= whole
    assert len({Backoff(1, 1).next() for _ in range(10)}) > 1, "not all come back at once"
    backoff.reset()
    assert backoff.next() <= 0.1


def test_a_queue_counts_by_the_names_of_client_go() -> None:
    async def sync(key: str) -> None:
        if key == "bad" and not value("workqueue_retries_total"):
            raise OSError("away")

    async def story(queue: WorkQueue[str]) -> None:
        for key in ("a", "b", "bad"):
            queue.add(key)
        assert value("workqueue_depth") == 3

    def value(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"name": "test"}) or 0.0

    served(story, sync, name="test")
    assert value("workqueue_adds_total") == 4
    assert value("workqueue_retries_total") == 1
    assert value("workqueue_depth") == 0
    assert value("workqueue_queue_duration_seconds_count") == 4
    assert value("workqueue_work_duration_seconds_count") == 4
    assert value("workqueue_unfinished_work_seconds") == 0
    assert value("workqueue_longest_running_processor_seconds") == 0
