"""When a schedule is due by the clock of a time zone. Moments are whole seconds since 1970.

A minute that the clock leaves out is never due, one that it shows twice is due twice: so it is upstream, too
(robfig/cron v3, SpecSchedule.Next), which beside that loses the starts of some days on which clocks are changed at
midnight or by half an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from fairlead.objects.schedules import Calendar, Every, Schedule

MINUTE, HOUR, DAY = 60, 3600, 86400

HORIZON = 5 * 366 * DAY
"""Seconds after which a start is not looked for any more, as upstream: there is none on the 30th of February."""

_EPOCH = date(1970, 1, 1).toordinal()

Zone = Callable[[int], int]
"""By how many seconds a zone's clock is ahead of UTC at a moment."""


def local(moment: int) -> int:
    """The zone of this process, for schedules without one (upstream: that of kube-controller-manager)."""
    return time.localtime(moment).tm_gmtoff


@lru_cache(maxsize=256)
def zone(name: str) -> Zone:
    """The zone of this name of the IANA database. Raises ValueError if there is none."""
    info = UTC if name == "UTC" else _zone_info(name)

    def ahead(moment: int) -> int:
        offset = datetime.fromtimestamp(moment, info).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0

    return ahead


def _zone_info(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"unknown time zone {name}") from None


def first_after(schedule: Schedule, at: Zone, moment: int, until: int | None = None) -> int | None:
    """The first start after the moment; None if there is none up to `until`, or in five years.

    Cost: some microseconds a day that is passed over; on a day on which clocks are changed one a minute.
    """
    if isinstance(schedule, Every):
        found = moment + schedule.seconds
        return found if until is None or found <= until else None
    if not (schedule.minutes and schedule.hours):
        return None
    last = moment + HORIZON if until is None else min(until, moment + HORIZON)
    now = moment - moment % MINUTE + MINUTE
    while now <= last:
        ahead = at(now)
        today = (now + ahead) // DAY
        if at(now + 2 * DAY) == ahead:
            # No zone changes its clocks and changes them back within two days.
            start = _of_day(schedule, now + ahead - today * DAY) if _is_day(schedule, today) else None
            if start is not None:
                found = today * DAY + start - ahead
                return found if found <= last else None
            now = (today + 1) * DAY - ahead
        else:
            tomorrow = now + DAY
            if any(_is_day(schedule, day) for day in (today - 1, today, today + 1, today + 2)):
                while now < min(tomorrow, last + 1):
                    if _is_due(schedule, now + at(now)):
                        return now
                    now += MINUTE
            now = tomorrow
    return None


def last_until(schedule: Schedule, at: Zone, since: int, until: int) -> int | None:
    """The last start after `since` and not after `until`; None if there is none.

    Cost: that of some thirty looks for a first one.
    """
    if first_after(schedule, at, since, until) is None:
        return None
    if isinstance(schedule, Every):
        return until - (until - since) % schedule.seconds
    low, high = since, until  # after `low` there is one, after `high` none
    while high - low > 1:
        middle = (low + high) // 2
        if first_after(schedule, at, middle, until) is None:
            high = middle
        else:
            low = middle
    return high


def coming(schedule: Schedule, at: Zone, since: int, now: int) -> int | None:
    """The next start from now on, of those after `since`; None if there is none in five years."""
    if isinstance(schedule, Every) and now > since:
        return now + schedule.seconds - (now - since) % schedule.seconds
    return first_after(schedule, at, max(since, now))


def more_than(schedule: Schedule, at: Zone, since: int, until: int, count: int) -> bool:
    """Whether there are more than so many starts after `since` and not after `until`. Cost: that of `count` looks."""
    if isinstance(schedule, Every):
        return (until - since) // schedule.seconds > count
    moment: int | None = since
    for _ in range(count + 1):
        moment = first_after(schedule, at, moment, until) if moment is not None else None
    return moment is not None


def _is_day(schedule: Calendar, day: int) -> bool:
    """Whether something is due on this day, in days since 1970."""
    then = date.fromordinal(_EPOCH + day)
    if then.month not in schedule.months:
        return False
    by_day, by_weekday = then.day in schedule.days, then.isoweekday() % 7 in schedule.weekdays
    return by_day or by_weekday if schedule.either else by_day and by_weekday


def _of_day(schedule: Calendar, second: int) -> int | None:
    """The first start of a day from this second of it on, in seconds since midnight."""
    hour, minute = second // HOUR, second % HOUR // MINUTE
    if hour in schedule.hours:
        later = [each for each in schedule.minutes if each >= minute]
        if later:
            return hour * HOUR + min(later) * MINUTE
    hours = [each for each in schedule.hours if each > hour]
    return min(hours) * HOUR + min(schedule.minutes) * MINUTE if hours else None


def _is_due(schedule: Calendar, shown: int) -> bool:
    """Whether a minute is due at which the clock shows this, in seconds since 1970 as if it were UTC's."""
    day, second = divmod(shown, DAY)
    hour, minute = second // HOUR, second % HOUR // MINUTE
    return hour in schedule.hours and minute in schedule.minutes and _is_day(schedule, day)


def written(moment: int) -> str:
    """The moment for people to read, in UTC (Go's RFC1123Z)."""
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(moment))
