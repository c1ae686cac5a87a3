"""Schedules of CronJobs: what a text means, or what is wrong with it.

The grammar and the sentences are those of robfig/cron v3 (ParseStandard), which upstream uses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""The least and the largest value of minute, hour, day of month, month, day of week."""

MONTHS = dict(
    zip(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        range(1, 13),
        strict=True,
    )
)
DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
WORDS: tuple[dict[str, int], ...] = ({}, {}, {}, MONTHS, DAYS)

DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
"""Nanoseconds in each unit of a duration of Go's."""

LONGEST = 2**63 - 1
"""Nanoseconds in Go's longest duration."""

_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)")
_AMOUNT = re.compile(r"(\d*)\.?(\d*)(ns|us|µs|ms|s|m|h)")
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S*) *")


@dataclass(frozen=True)
class Calendar:
    """Minutes by the clock and the calendar of a time zone.

    `weekdays` count from Sunday, 0. `either`: both kinds of days are restricted, and one of them is enough.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool


@dataclass(frozen=True)
class Every:
    """So many seconds after the time before, at least one."""

    seconds: int


Schedule = Calendar | Every


def parse(text: str) -> Schedule:
    """What five fields, or a descriptor such as `@hourly`, mean. Raises ValueError with what is wrong.

    A time zone in front, as old CronJobs may have it, is `inner_zone`'s business.
    """
    text = _ZONE.sub("", text, count=1) if _ZONE.match(text) else text
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@every "):
        return Every(_every(text))
    if text.startswith("@"):
        if text not in DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = DESCRIPTORS[text]
    fields = text.split()
    if len(fields) != len(FIELDS):
        listed = " ".join(fields)
        raise ValueError(f"expected exactly {len(FIELDS)} fields, found {len(fields)}: [{listed}]")
    read = [_field(*each) for each in zip(fields, FIELDS, WORDS, strict=True)]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = read
    return Calendar(minutes, hours, days, months, weekdays, either=not (any_day or any_weekday))


def is_schedule(text: str) -> tuple[str, ...]:
    """Five fields, or a descriptor such as `@hourly`."""
    try:
        parse(text)
    except ValueError as error:
        return (str(error),)
    return ()


def inner_zone(text: str) -> str:
    """The time zone that the schedule itself begins with, `TZ=...` or `CRON_TZ=...`; "" without one."""
    found = _ZONE.match(text)
    return found[1] if found is not None else ""


def _every(text: str) -> int:
    """The seconds of `@every DURATION`: whole ones, and at least one (cron.Every)."""
    duration = text.removeprefix("@every ")
    nanoseconds = LONGEST + 1
    if _DURATION.fullmatch(duration):
        nanoseconds = sum(
            int(whole or 0) * UNITS[unit] + int(part or 0) * UNITS[unit] // 10 ** len(part)
            for whole, part, unit in _AMOUNT.findall(duration)
        )
    if nanoseconds > LONGEST:
        raise ValueError(f'failed to parse duration {text}: time: invalid duration "{duration}"')
    return 1 if duration.startswith("-") else max(nanoseconds // 10**9, 1)


def _field(text: str, limits: tuple[int, int], words: dict[str, int]) -> tuple[frozenset[int], bool]:
    """The values that a field allows, and whether it says that it does not restrict them."""
    values: set[int] = set()
    unrestricted = False
    for part in filter(None, text.split(",")):
        allowed, star = _range(part, *limits, words)
        values.update(allowed)
        unrestricted = unrestricted or star
    return frozenset(values), unrestricted


def _range(text: str, low: int, high: int, words: dict[str, int]) -> tuple[range, bool]:
    span, *steps = text.split("/")
    ends = span.split("-")
    star = ends[0] in ("*", "?")
    if star:
        start, end = low, high
    else:
        start = end = _number(ends[0], words)
        if len(ends) == 2:
            end = _number(ends[1], words)
        elif len(ends) > 2:
            raise ValueError(f"too many hyphens: {text}")
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = _number(steps[0], {}) if steps else 1
    if steps and len(ends) == 1:
        end = high
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star and step == 1


def _number(text: str, words: dict[str, int]) -> int:
    known = words.get(text.lower())
    if known is not None:
        return known
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number
