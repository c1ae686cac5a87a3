"""Work on large objects, done aside: other requests have their turns meanwhile, if slower ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LARGE = 256 << 10
"""Bytes of an object whose reading and judging may take a tenth of a second, where all of it is Python."""


async def aside(large: bool, work: Callable[[], T]) -> T:
    """What the work gives; done in a thread if it is on something large. Its requester is known there too."""
    return await asyncio.to_thread(work) if large else work()
