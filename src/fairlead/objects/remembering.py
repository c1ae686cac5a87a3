"""Answers that are remembered, because the same names come again and again; those to long texts are not.

Whoever writes to the API chooses the texts: a few thousand of them, as long as requests may be, would fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

T = TypeVar("T")

LONGEST = 512
"""Longer texts, in characters, are no names and are judged anew each time."""


def remembered(answers: int) -> Callable[[Callable[[Any], T]], Callable[[Any], T]]:
    """Makes a pure function of one text remember as many `answers`."""

    def decorate(function: Callable[[Any], T]) -> Callable[[Any], T]:
        known = lru_cache(maxsize=answers)(function)

        @wraps(function)
        def answer(value: Any) -> T:
            if isinstance(value, str) and len(value) > LONGEST:
                return function(value)
            return known(value)

        return answer

    return decorate
