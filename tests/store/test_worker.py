"""The thread that works for an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from fairlead.store.worker import Worker


def with_worker(test: Callable[[Worker], Awaitable[None]]) -> None:
    """Runs a test with a worker, whose thread is gone after it."""

    async def main() -> None:
        worker = Worker("test-worker")
        try:
            await test(worker)
        finally:
            worker.close()

    asyncio.run(main())
    assert "test-worker" not in [thread.name for thread in threading.enumerate()]


def test_things_are_done_in_the_thread_one_after_another() -> None:
    async def test(worker: Worker) -> None:
        order: list[int] = []

        def work(number: int) -> str:
            order.append(number)
            return threading.current_thread().name

        assert set(await asyncio.gather(*(worker.do(work, n) for n in range(100)))) == {"test-worker"}
        assert order == list(range(100))

    with_worker(test)


def test_an_error_reaches_who_waits_and_the_thread_goes_on() -> None:
    async def test(worker: Worker) -> None:
        with pytest.raises(ZeroDivisionError):
            await worker.do(lambda: 1 // 0)
        assert await worker.do(max, 1, 2) == 2

    with_worker(test)


def test_what_nobody_waits_for_any_more_is_done_all_the_same() -> None:
    async def test(worker: Worker) -> None:
        gate, done = threading.Event(), threading.Event()
        held = worker.do(gate.wait)
        given_up = worker.do(done.set)
        given_up.cancel()
        gate.set()
        assert await held
        assert await worker.do(done.is_set)

    with_worker(test)


def test_a_loop_that_is_closed_does_not_matter_to_the_thread() -> None:
    gate = threading.Event()

    async def main() -> Worker:
        worker = Worker("test-worker")
        worker.do(gate.wait)
        return worker

    worker = asyncio.run(main())
    gate.set()
    worker.close()
