"""Schedules of CronJobs: which texts are one. The sentences are robfig/cron's."""

from __future__ import annotations

import pytest

from fairlead.objects.schedules import is_schedule


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "*/5 0-6 1,15 * *",
        "0 0 1 jan-MAR sun",
        "5/15 * ? * ?",
        "@hourly",
        "@every 1h30m",
        "CRON_TZ=UTC 0 0 * * *",
    ],
)
def test_schedules(text: str) -> None:
    assert is_schedule(text) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b", "expected exactly 5 fields, found 2: [a b]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@never", "unrecognized descriptor: @never"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    assert is_schedule(text) == (said,)
