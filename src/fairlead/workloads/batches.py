"""Many writes of one kind, few at first: what every one of them is refused for costs few refusals.

Upstream: slowStartBatch in pkg/controller/replicaset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

FIRST = 1
MOST = 500
"""Pods that one look at an owner makes or deletes (upstream: BurstReplicas); the next look makes the others."""
AT_ONCE = 32
"""Writes under way at once, so that one owner does not keep the server from all others."""


async def slow_start(items: Sequence[T], write: Callable[[T], Awaitable[object]]) -> int:
    """Writes the items in batches of 1, 2, 4 and so on; after a batch with a failure the others are not tried.

    Gives how many succeeded if all of the tried ones did, else raises the first failure.
    """
    done, size = 0, FIRST
    while done < len(items):
        batch = items[done : done + size]
        await at_once(batch, write)
        done += len(batch)
        size = min(2 * size, AT_ONCE)
    return done


async def at_once(items: Sequence[T], write: Callable[[T], Awaitable[object]]) -> None:
    """Writes all items, `AT_ONCE` together; raises the first failure when all are tried."""
    failures: list[BaseException] = []
    for start in range(0, len(items), AT_ONCE):
        batch = items[start : start + AT_ONCE]
        results = await asyncio.gather(*(write(item) for item in batch), return_exceptions=True)
        failures += [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise failures[0]
