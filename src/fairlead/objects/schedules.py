"""Schedules of CronJobs: whether a text is one, and what is wrong with it.

The grammar and the sentences are those of robfig/cron v3 (ParseStandard), which upstream uses.
"""

from __future__ import annotations

import re

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

DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")

_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)")
_ZONE = re.compile(r"(?:CRON_)?TZ=\S* *")


def is_schedule(text: str) -> tuple[str, ...]:
    """Five fields, or a descriptor such as `@hourly`."""
    try:
        _read(_ZONE.sub("", text, count=1) if _ZONE.match(text) else text)
    except ValueError as error:
        return (str(error),)
    return ()


def _read(text: str) -> None:
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        _descriptor(text)
        return
    fields = text.split()
    if len(fields) != len(FIELDS):
        listed = " ".join(fields)
        raise ValueError(f"expected exactly {len(FIELDS)} fields, found {len(fields)}: [{listed}]")
    for field, (low, high), words in zip(fields, FIELDS, WORDS, strict=True):
        for part in filter(None, field.split(",")):
            _range(part, low, high, words)


def _descriptor(text: str) -> None:
    if text in DESCRIPTORS:
        return
    if not text.startswith("@every "):
        raise ValueError(f"unrecognized descriptor: {text}")
    duration = text.removeprefix("@every ")
    if not _DURATION.fullmatch(duration):
        raise ValueError(f'failed to parse duration {text}: time: invalid duration "{duration}"')


def _range(text: str, low: int, high: int, words: dict[str, int]) -> None:
    span, *steps = text.split("/")
    ends = span.split("-")
    if ends[0] in ("*", "?"):
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
