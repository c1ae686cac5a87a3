from __future__ import annotations

import asyncio

import pytest

from fairlead.workloads.batches import AT_ONCE, at_once, slow_start


class Writes:
    """Counts writes, and how many are under way at once; those from `fails` on are refused."""

    def __init__(self, fails: int = 10_000) -> None:
        self.fails = fails
        self.tried = 0
        self.running = 0
        self.batches: list[int] = []

    async def __call__(self, item: int) -> None:
        self.tried += 1
        self.running += 1
        await asyncio.sleep(0)
        if self.running:
            self.batches.append(self.running)
            self.running = 0
        if item >= self.fails:
            raise OSError(f"{item} is refused")


def test_batches_double_up_to_a_bound() -> None:
    write = Writes()
    assert asyncio.run(slow_start(range(100), write)) == 100
    assert write.batches == [1, 2, 4, 8, 16, 32, 32, 5]


@pytest.mark.parametrize(("fails", "tried"), [(0, 1), (1, 3), (5, 7), (99, 100)])
def test_after_a_failure_the_next_batch_is_not_tried(fails: int, tried: int) -> None:
    write = Writes(fails)
    with pytest.raises(OSError, match=f"{fails} is refused"):
        asyncio.run(slow_start(range(100), write))
    assert write.tried == tried


def test_at_once_is_bounded_and_tries_all() -> None:
    write = Writes(fails=3)
    with pytest.raises(OSError, match="3 is refused"):
        asyncio.run(at_once(range(100), write))
    assert write.tried == 100
    assert max(write.batches) == AT_ONCE
