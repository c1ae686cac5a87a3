"""A test that never ends is ended, whatever runs it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

import pytest
import uvloop

from tests.waiting import TookTooLong, ending


async def waits() -> None:
    await asyncio.Event().wait()


async def works() -> None:
    while True:  # noqa: ASYNC110 - to be always awake is what it is for
        await asyncio.sleep(0)


async def has_a_task_that_works() -> None:
    await asyncio.gather(asyncio.create_task(works()), waits())


Run = Callable[[Coroutine[Any, Any, None]], object]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("does", [waits, works, has_a_task_that_works])
def test_a_loop_does_not_go_on_after_the_limit(
    run: Run, does: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    def time_is_up(_: int, __: FrameType | None) -> None:
        pytest.fail("too long")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        await does()

    before = signal.signal(signal.SIGUSR1, ending(time_is_up))
    try:
        with pytest.raises(TookTooLong, match="too long"):
            run(main())
    finally:
        signal.signal(signal.SIGUSR1, before)
