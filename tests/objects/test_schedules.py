"""Schedules of CronJobs: which texts are one. The sentences are robfig/cron's."""

from __future__ import annotations

import pytest

from fairlead.objects.schedules import DESCRIPTORS, Calendar, Every, inner_zone, is_schedule, parse


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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("@every 1h30m", 5400),
        ("@every 1.5h", 5400),
        ("@every 2s999ms", 2),
        ("@every 10ms", 1),
        ("@every 0", 1),
        ("@every -5m", 1),
        ("@every .5m1us", 30),
        ("@every 2562047h", 9223369200),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse(text) == Every(seconds)


def test_a_duration_that_is_too_long() -> None:
    said = 'failed to parse duration @every 2562048h: time: invalid duration "2562048h"'
    assert is_schedule("@every 2562048h") == (said,)


@pytest.mark.parametrize(
    ("text", "either"),
    [
        ("* * 1 * 1", True),
        ("* * */2 * 1", True),
        ("* * * * 1", False),
        ("* * 1 * ?", False),
        ("* * 1,*/1 * 1", False),
        ("@weekly", False),
    ],
)
def test_whether_one_kind_of_days_is_enough(text: str, either: bool) -> None:
    read = parse(text)
    assert isinstance(read, Calendar)
    assert read.either is either


def test_what_fields_mean() -> None:
    read = parse("50/4,7 20-22 1-9/3 jan-mar,DEC sat")
    assert isinstance(read, Calendar)
    assert (sorted(read.minutes), sorted(read.hours)) == ([7, 50, 54, 58], [20, 21, 22])
    assert (sorted(read.days), sorted(read.months), sorted(read.weekdays)) == ([1, 4, 7], [1, 2, 3, 12], [6])
    for name, fields in DESCRIPTORS.items():
        assert parse(name) == parse(fields)


def test_a_zone_in_front() -> None:
    assert inner_zone("TZ=Asia/Tokyo 0 0 * * *") == inner_zone("CRON_TZ=Asia/Tokyo @daily") == "Asia/Tokyo"
    assert inner_zone("0 0 * * *") == ""
    assert parse("TZ=Asia/Tokyo 0 0 * * *") == parse("@daily")
