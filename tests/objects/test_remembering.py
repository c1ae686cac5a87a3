"""Answers are remembered for names, not for texts that would fill the memory."""

from __future__ import annotations

import pytest

from fairlead.objects.remembering import LONGEST, remembered


@pytest.mark.parametrize(("length", "times"), [(1, 1), (LONGEST, 1), (LONGEST + 1, 2)])
def test_long_texts_are_judged_anew(length: int, times: int) -> None:
    asked: list[str] = []

    @remembered(8)
    def size(value: str) -> int:
        asked.append(value)
        return len(value)

    assert [size("a" * length) for _ in range(2)] == [length, length]
    assert len(asked) == times


def test_numbers_are_remembered_too() -> None:
    asked: list[int] = []

    @remembered(8)
    def twice(value: int) -> int:
        asked.append(value)
        return 2 * value

    assert [twice(3), twice(3)] == [6, 6]
    assert asked == [3]
