"""When schedules are due, held against a reading of every minute."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairlead.objects.schedules import Calendar, parse
from fairlead.workloads.cronjob import clock

MINUTE, DAY = 60, 86400


def moment(text: str, zone: str) -> int:
    """What the clock of the zone shows, and by how much it is ahead where it shows that twice: `... +0100`."""
    shown, _, ahead = text.partition(" +")
    if ahead:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M %z").timestamp())
    return int(datetime.fromisoformat(shown).replace(tzinfo=ZoneInfo(zone)).timestamp())


BERLIN, SYDNEY, CAIRO = "Europe/Berlin", "Australia/Sydney", "Africa/Cairo"


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("* * * * *", "UTC", "2027-01-15T08:00", "2027-01-15T08:01"),
        ("*/15 * * * *", "UTC", "2027-01-15T08:59", "2027-01-15T09:00"),
        ("20-35/15 * * * *", "UTC", "2027-01-15T08:35", "2027-01-15T09:20"),
        ("5/20 * * * *", "UTC", "2027-01-15T08:25", "2027-01-15T08:45"),
        ("0 0 * * *", "Asia/Kolkata", "2027-01-15T08:00", "2027-01-16T00:00"),
        ("30 6-16/4 * * 1-5", "UTC", "2027-01-15T14:30", "2027-01-18T06:30"),
        ("0 0 31 * *", "UTC", "2027-01-31T00:00", "2027-03-31T00:00"),
        ("0 0 29 feb *", "UTC", "2027-01-15T08:00", "2028-02-29T00:00"),
        ("59 23 31 dec ?", "UTC", "2027-12-31T23:59", "2028-12-31T23:59"),
        # both kinds of days: one of them is enough, but where one begins with a star
        ("0 0 1,20 * sun", "UTC", "2027-01-15T08:00", "2027-01-17T00:00"),
        ("0 0 1,20 * sun", "UTC", "2027-01-17T00:00", "2027-01-20T00:00"),
        ("0 0 * * sun", "UTC", "2027-01-15T08:00", "2027-01-17T00:00"),
        ("0 0 */10 * sun", "UTC", "2027-01-15T08:00", "2027-01-17T00:00"),
        ("0 0 */1 * sun", "UTC", "2027-01-18T08:00", "2027-01-24T00:00"),
        ("@hourly", "UTC", "2027-01-15T08:00", "2027-01-15T09:00"),
        ("@weekly", "UTC", "2027-01-15T08:00", "2027-01-17T00:00"),
        ("@yearly", "UTC", "2027-01-15T08:00", "2028-01-01T00:00"),
        # 2027-03-28T02:00 is 03:00 in Berlin, 2027-10-31T03:00 is 02:00
        ("30 2 * * *", BERLIN, "2027-03-27T02:30", "2027-03-29T02:30"),
        ("*/30 * 28 mar *", BERLIN, "2027-03-28T01:30", "2027-03-28T03:00"),
        ("30 2 * * *", BERLIN, "2027-10-30T03:00", "2027-10-31T02:30 +0200"),
        ("30 2 * * *", BERLIN, "2027-10-31T02:30 +0200", "2027-10-31T02:30 +0100"),
        ("30 2 * * *", BERLIN, "2027-10-31T02:30 +0100", "2027-11-01T02:30"),
        ("0 3 * * *", BERLIN, "2027-03-27T03:00", "2027-03-28T03:00"),
        ("30 2 * * *", SYDNEY, "2027-10-02T02:30", "2027-10-04T02:30"),
        # a Friday that begins at 01:00, which the parser of upstream skips
        ("0 12 * * fri", CAIRO, "2027-04-29T12:00", "2027-04-30T12:00"),
        ("0 0 * * fri", CAIRO, "2027-04-29T12:00", "2027-05-07T00:00"),
        # by half an hour back to 01:30 at 02:00
        ("0 2 * * *", "Australia/Lord_Howe", "2027-04-03T02:00", "2027-04-04T02:00"),
    ],
)
def test_when_a_schedule_is_due_next(schedule: str, zone: str, after: str, due: str) -> None:
    found = clock.first_after(parse(schedule), clock.zone(zone), moment(after, zone))
    assert found == moment(due, zone)


@pytest.mark.parametrize("schedule", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", ", * * * *", "* , * * *"])
def test_what_never_comes(schedule: str) -> None:
    assert clock.first_after(parse(schedule), clock.zone(BERLIN), 1_800_000_000) is None


def test_durations_count_from_the_time_before() -> None:
    every, utc, since = parse("@every 90m"), clock.zone("UTC"), 1_800_000_007
    assert clock.first_after(every, utc, since) == since + 5400
    assert clock.first_after(every, utc, since, since + 5399) is None
    assert clock.last_until(every, utc, since, since + 5399) is None
    assert clock.last_until(every, utc, since, since + 5400) == since + 5400
    assert clock.last_until(every, utc, since, since + 11_000) == since + 10_800
    assert clock.coming(every, utc, since, since + 11_000) == since + 16_200
    assert clock.coming(every, utc, since, since - 5) == since + 5400
    assert clock.more_than(every, utc, since, since + 5400 * 101, 100)
    assert not clock.more_than(every, utc, since, since + 5400 * 101 - 1, 100)


def test_zones() -> None:
    assert clock.zone("Asia/Kathmandu")(1_800_000_000) == 20_700
    assert clock.zone("UTC")(1_800_000_000) == 0
    for name in ("Mars/Olympus", "../etc/passwd", "/etc/localtime", ""):
        with pytest.raises(ValueError, match="unknown time zone"):
            clock.zone(name)


def test_without_a_zone_the_clock_of_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        found = clock.first_after(parse("@daily"), clock.local, moment("2027-01-15T08:00", "UTC"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == moment("2027-01-16T00:00", "Asia/Kolkata")


def is_due(schedule: Calendar, zone: str, moment: int) -> bool:
    """What the five fields say of one minute, read directly."""
    shown = datetime.fromtimestamp(moment, ZoneInfo(zone))
    day, weekday = shown.day in schedule.days, shown.isoweekday() % 7 in schedule.weekdays
    return (
        shown.minute in schedule.minutes
        and shown.hour in schedule.hours
        and shown.month in schedule.months
        and (day or weekday if schedule.either else day and weekday)
    )


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    part = st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}"),
        st.tuples(number, st.integers(1, 9)).map(lambda each: f"{each[0]}/{each[1]}"),
    )
    return st.lists(part, min_size=1, max_size=2).map(",".join)


SCHEDULES = st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 6)).map(" ".join)
CHANGES = [
    (BERLIN, "2027-03-28T00:00"),
    (BERLIN, "2027-10-31T00:00"),
    (CAIRO, "2027-04-29T20:00"),
    (CAIRO, "2027-10-28T20:00"),
    ("Australia/Lord_Howe", "2027-04-04T00:00"),
    ("Australia/Lord_Howe", "2027-10-03T00:00"),
    ("America/Havana", "2027-03-13T20:00"),
    ("Antarctica/Troll", "2027-03-28T00:00"),
    ("America/St_Johns", "2027-11-06T20:00"),
    ("UTC", "2027-02-28T12:00"),
]


@settings(max_examples=60, deadline=None)
@given(schedule=SCHEDULES, change=st.sampled_from(CHANGES), before=st.integers(-2 * DAY, DAY))
@example(schedule="* * * * *", change=CHANGES[0], before=0)
@example(schedule="30 2 * * *", change=CHANGES[1], before=0)
@example(schedule="0 0 29 2 1", change=CHANGES[-1], before=0)
def test_a_schedule_is_due_in_the_minutes_that_its_fields_name(
    schedule: str, change: tuple[str, str], before: int
) -> None:
    zone, at = change[0], clock.zone(change[0])
    read = parse(schedule)
    assert isinstance(read, Calendar)
    since = moment(change[1], zone) - before
    until = since + 2 * DAY
    first = since - since % MINUTE + MINUTE
    due = [each for each in range(first, until + 1, MINUTE) if is_due(read, zone, each)]
    assert clock.first_after(read, at, since, until) == (due[0] if due else None)
    assert clock.last_until(read, at, since, until) == (due[-1] if due else None)
    assert clock.more_than(read, at, since, until, 7) == (len(due) > 7)
    if due:
        middle = due[len(due) // 2]
        later = [each for each in due if each > middle]
        assert clock.coming(read, at, since, middle) == (
            later[0] if later else clock.first_after(read, at, until)
        )
