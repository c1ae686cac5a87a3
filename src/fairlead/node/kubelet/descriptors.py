"""Pipes and terminals read and written by the event loop, a piece at a time: whoever does not take it lets it wait."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

CHUNK = 32 << 10
"""Bytes that are read at a time."""


async def read(fd: int, over: asyncio.Future[None]) -> bytes:
    """What there is, as soon as there is something; b"" at the end. Once `over` is done, no more is waited for.

    The descriptor does not block.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, CHUNK)
        except BlockingIOError:
            if over.done():
                return b""
            await _until(loop.add_reader, loop.remove_reader, fd, over)
        except OSError as error:
            if error.errno != errno.EIO:  # of a terminal that no process has open any more
                raise
            return b""


async def readable(fd: int) -> None:
    """Waits until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    await _until(loop.add_reader, loop.remove_reader, fd)


async def write(fd: int, data: bytes) -> None:
    """Writes all of it. Raises OSError where nobody reads any more. The descriptor does not block."""
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _until(loop.add_writer, loop.remove_writer, fd)


async def _until(
    add: Callable[..., Any],
    remove: Callable[[int], Any],
    fd: int,
    over: asyncio.Future[None] | None = None,
) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(*_: object) -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, wake)
    if over is not None:
        over.add_done_callback(wake)
    try:
        await ready
    finally:
        remove(fd)
        if over is not None:
            over.remove_done_callback(wake)
