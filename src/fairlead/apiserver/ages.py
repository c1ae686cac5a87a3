"""Ages as kubectl's tables show them: `5s`, `2m30s`, `47h`, `3d4h`. Upstream: apimachinery/pkg/util/duration."""

from __future__ import annotations

from datetime import datetime

UNKNOWN = "<unknown>"

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


def human(seconds: float) -> str:
    """A duration with one or two units, the second only while the first is small. A clock may be 2 s ahead."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * MINUTE:
        return f"{max(whole, 0)}s"
    if whole < 10 * MINUTE:
        return _two(whole, MINUTE, "m", 1, "s")
    if whole < 3 * HOUR:
        return f"{whole // MINUTE}m"
    if whole < 8 * HOUR:
        return _two(whole, HOUR, "h", MINUTE, "m")
    if whole < 2 * DAY:
        return f"{whole // HOUR}h"
    if whole < 8 * DAY:
        return _two(whole, DAY, "d", HOUR, "h")
    if whole < 2 * YEAR:
        return f"{whole // DAY}d"
    if whole < 8 * YEAR:
        return _two(whole, YEAR, "y", DAY, "d")
    return f"{whole // YEAR}y"


def _two(whole: int, large: int, name: str, small: int, second: str) -> str:
    rest = whole % large // small
    return f"{whole // large}{name}{rest}{second}" if rest else f"{whole // large}{name}"


def since(moment: str | None, now: float) -> str:
    """How long ago a moment was. `now` in seconds since the epoch."""
    if not moment:
        return UNKNOWN
    return human(now - datetime.fromisoformat(moment).timestamp())


def between(start: str, end: str) -> str:
    """How long it was from one moment to another."""
    return since(start, datetime.fromisoformat(end).timestamp())
