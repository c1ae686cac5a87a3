"""A thread that works for an event loop: one thing after another, and nothing besides.

Both want the interpreter at the same time, and while the thread has it all requests wait. So it does as little in
Python as can be: an executor's futures, with their locks and callbacks, take more of it than a commit does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

Work = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]


class Worker:
    """The thread of the loop that runs; it ends when it is closed, or with the process."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def do(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Calls a function in the thread, after all before it. Whoever no longer waits for it does not stop it."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((done, function, arguments))
        return done

    def close(self) -> None:
        """Waits for what is under way, and ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        get, tell = self._queue.get, self._loop.call_soon_threadsafe
        while (work := get()) is not None:
            done, function, arguments = work
            try:
                result, error = function(*arguments), None
            except Exception as raised:
                result, error = None, raised
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                tell(_settle, done, result, error)


def _settle(done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
