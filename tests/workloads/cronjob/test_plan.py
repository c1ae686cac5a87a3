"""What is to be done about a CronJob at a moment."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.objects.batch_v1 import CronJob, Job
from fairlead.objects.scalars import timestamp
from fairlead.workloads.cronjob.plan import Plan, next_in, plan_cronjob
from fairlead.workloads.cronjob.sightings import seen, started, without
from tests.workloads.cronjob.objects import MADE, cron_job, job

TEN = MADE + 600
"""The first start of `*/10 * * * *`."""

NAME = f"nightly-{TEN // 60}"


def names(jobs: tuple[Job, ...]) -> list[str]:
    return [each.metadata.name for each in jobs]


def reasons(plan: Plan) -> list[str]:
    return [each.reason for each in plan.told]


@pytest.mark.parametrize(
    ("case", "of", "now", "scheduled", "again", "told"),
    [
        ("none is due yet", cron_job(), MADE + 599.5, None, 0.5, []),
        ("one is due", cron_job(), TEN, TEN, 600, []),
        ("one was missed", cron_job(), TEN + 90.25, TEN, 509.75, []),
        ("of several that were missed the last", cron_job(), TEN + 3700, TEN + 3600, 500, []),
        ("this one has been", cron_job(last=TEN), TEN + 1, None, 599, []),
        ("the next one", cron_job(last=TEN), TEN + 600, TEN + 600, 600, []),
        ("it is held back", cron_job(suspend=True), TEN, None, None, []),
        ("a hundred were missed", cron_job("* * * * *"), MADE + 6000, MADE + 6000, 60, []),
        (
            "more than a hundred",
            cron_job("* * * * *"),
            MADE + 6060,
            MADE + 6060,
            60,
            ["TooManyMissedTimes"],
        ),
        (
            "more than a hundred, which a deadline forgets",
            cron_job("* * * * *", startingDeadlineSeconds=600),
            MADE + 6060,
            MADE + 6060,
            60,
            [],
        ),
        ("not too late", cron_job(startingDeadlineSeconds=30), TEN + 30, TEN, 570, []),
        ("too late", cron_job(startingDeadlineSeconds=30), TEN + 30.5, None, 569.5, ["MissSchedule"]),
        # after a weekend, Friday's last; upstream's estimate misses that
        (
            "irregular",
            cron_job("30 6-16/4 * * 1-5"),
            MADE + 2 * 86400,
            MADE + 23400,
            81000,
            [],
        ),
        ("a duration", cron_job("@every 90s"), MADE + 200, MADE + 180, 70, []),
        (
            "a duration longer than the deadline",
            cron_job("@every 1h", startingDeadlineSeconds=60),
            MADE + 3601,
            MADE + 3600,
            3599,
            [],
        ),
        (
            "by another clock",
            cron_job("0 14 * * *", timeZone="Asia/Kolkata"),
            MADE + 1800,
            MADE + 1800,
            86400,
            [],
        ),
        ("no such zone", cron_job(timeZone="Mars/Olympus"), TEN, None, None, ["UnknownTimeZone"]),
        ("no schedule", cron_job("* * * *"), TEN, None, None, ["UnparseableSchedule"]),
        ("no such day", cron_job("0 0 30 2 *"), TEN, None, None, ["InvalidSchedule"]),
        (
            "a zone in the schedule",
            cron_job("TZ=Asia/Kolkata 0 14 * * *"),
            MADE + 1800,
            MADE + 1800,
            86400,
            ["UnsupportedSchedule"],
        ),
        (
            "no such zone in the schedule",
            cron_job("TZ=Mars 0 14 * * *"),
            TEN,
            None,
            None,
            ["UnsupportedSchedule", "UnparseableSchedule"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_when_a_job_is_made(
    case: str, of: CronJob, now: float, scheduled: int | None, again: float | None, told: list[str]
) -> None:
    plan = plan_cronjob(of, [], now)
    assert (plan.scheduled if plan.create is not None else None, plan.again) == (scheduled, again), case
    assert reasons(plan) == told
    assert plan.status == of.status
    if not of.spec.suspend:
        assert next_in(of, now) == again


def test_the_job_of_a_start() -> None:
    made = plan_cronjob(cron_job(timeZone="Asia/Kolkata"), [], TEN + 5).create
    assert made is not None
    meta = made.metadata
    assert (meta.name, meta.namespace, meta.labels) == (NAME, "default", {"app": "nightly"})
    assert meta.annotations == {
        "note": "x",
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2027-01-15T13:40:00+05:30",
    }
    (owner,) = meta.ownerReferences
    assert (owner.kind, owner.name, owner.uid, owner.controller) == ("CronJob", "nightly", "cj", True)
    assert made.spec == cron_job().spec.jobTemplate.spec
    for zone in (None, "UTC", "Europe/London"):
        made = plan_cronjob(cron_job(timeZone=zone), [], TEN).create
        assert made is not None
        (shown,) = (v for k, v in made.metadata.annotations.items() if k.startswith("batch"))
        assert shown == "2027-01-15T08:10:00Z"


RUNNING, OTHER = job("one"), job("two")


@pytest.mark.parametrize(
    ("policy", "active", "made", "replaced", "told"),
    [
        ("Allow", (RUNNING,), True, [], []),
        ("Forbid", (RUNNING,), False, [], ["JobAlreadyActive"]),
        ("Forbid", (), True, [], []),
        ("Replace", (RUNNING, OTHER), True, ["one", "two"], []),
        ("Replace", (), True, [], []),
    ],
)
def test_what_becomes_of_those_that_still_run(
    policy: str, active: tuple[Job, ...], made: bool, replaced: list[str], told: list[str]
) -> None:
    plan = plan_cronjob(cron_job(active=active, concurrencyPolicy=policy), active, TEN)
    assert (plan.create is not None, names(plan.replaced), reasons(plan)) == (made, replaced, told)
    assert plan.again == 600
    assert [each.name for each in plan.status.active] == names(active)


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
def test_a_start_that_has_its_job_already_has_no_second(policy: str) -> None:
    there = job(NAME)
    plan = plan_cronjob(cron_job(active=(there,), concurrencyPolicy=policy), [there], TEN + 1)
    assert (plan.create, plan.replaced, plan.told, plan.again) == (None, (), (), 599)
    assert [each.name for each in plan.status.active] == [NAME]


@pytest.mark.parametrize(("ended", "active"), [("", [NAME]), ("Failed", [])])
def test_a_job_that_is_not_in_the_status_is_that_of_its_start(ended: str, active: list[str]) -> None:
    plan = plan_cronjob(cron_job(failedJobsHistoryLimit=0), [job(NAME, ended)], TEN + 1)
    assert (plan.create, plan.again) == (None, 599)
    assert [each.name for each in plan.status.active] == active
    assert plan.status.lastScheduleTime == timestamp(TEN)


def test_a_job_of_an_earlier_start_that_is_not_in_the_status_counts_as_running() -> None:
    lost = plan_cronjob(cron_job(), [], TEN).create
    assert lost is not None
    lost = replace(lost, metadata=replace(lost.metadata, uid="lost"))
    plan = plan_cronjob(cron_job(concurrencyPolicy="Forbid"), [lost], TEN + 600)
    assert (plan.create, reasons(plan)) == (None, ["JobAlreadyActive"])
    assert [each.uid for each in plan.status.active] == ["lost"]


def test_a_cronjob_that_goes_starts_nothing() -> None:
    of = cron_job(active=(RUNNING,))
    of = replace(of, metadata=replace(of.metadata, deletionTimestamp=timestamp(MADE)))
    plan = plan_cronjob(of, [job("one", "Complete")], TEN)
    assert (plan.create, plan.again, plan.status.active) == (None, None, ())


def done(number: int, ended: str = "Complete") -> Job:
    return job(f"{ended.lower()}-{number}", ended, began=MADE + number, completed=MADE + number + 5)


@pytest.mark.parametrize(
    ("limits", "gone"),
    [
        ({}, ["complete-1", "complete-2", "failed-1"]),
        ({"successfulJobsHistoryLimit": 0}, [f"complete-{n}" for n in range(1, 6)] + ["failed-1"]),
        ({"failedJobsHistoryLimit": 3}, ["complete-1", "complete-2"]),
        ({"successfulJobsHistoryLimit": None, "failedJobsHistoryLimit": None}, []),
    ],
)
def test_which_finished_jobs_go(limits: dict[str, Any], gone: list[str]) -> None:
    jobs = [done(n) for n in (3, 1, 5, 2, 4)] + [done(2, "Failed"), done(1, "Failed"), RUNNING]
    assert names(plan_cronjob(cron_job(**limits), jobs, MADE).history) == gone


def test_the_oldest_is_the_one_that_began_first_and_those_that_never_did_go_last() -> None:
    jobs = [job("b", "Failed", began=None), job("c", "Failed", began=MADE), job("a", "Failed", began=MADE)]
    assert names(plan_cronjob(cron_job(failedJobsHistoryLimit=0), jobs, MADE).history) == ["a", "c", "b"]


def test_what_the_status_says_of_jobs() -> None:
    good, bad = job("good", "Complete", completed=MADE + 9), job("bad", "Failed")
    gone, unknown = job("gone"), job("unknown")
    status, told = seen(cron_job(active=(RUNNING, good, bad, gone)), [unknown, RUNNING, good, bad])
    assert [each.name for each in status.active] == ["one"]
    assert status.lastSuccessfulTime == timestamp(MADE + 9)
    assert [(each.type, each.reason, each.message) for each in told] == [
        ("Warning", "UnexpectedJob", "Saw a job that the controller did not create or forgot: unknown"),
        ("Normal", "SawCompletedJob", "Saw completed job: good, condition: Complete"),
        ("Normal", "SawCompletedJob", "Saw completed job: bad, condition: Failed"),
        ("Normal", "MissingJob", "Active job went missing: gone"),
    ]


@pytest.mark.parametrize(
    ("before", "jobs", "after"),
    [
        (None, [job("a", "Failed", completed=MADE)], None),
        (None, [job("a", "Complete", completed=MADE + 2), job("b", "Complete", completed=MADE)], MADE + 2),
        (MADE + 3, [job("a", "Complete", completed=MADE)], MADE + 3),
        (MADE, [job("a", "Complete", completed=MADE + 3)], MADE + 3),
        (MADE, [job("a", "Complete")], MADE),
    ],
)
def test_when_it_succeeded_last(before: int | None, jobs: list[Job], after: int | None) -> None:
    of = cron_job(succeeded=timestamp(before) if before is not None else None)
    assert seen(of, jobs)[0].lastSuccessfulTime == (timestamp(after) if after is not None else None)


def test_a_job_that_is_given_up_is_not_told_of_as_completed() -> None:
    ended = job("a", "Complete", completed=MADE)
    of = cron_job(active=(ended,), successfulJobsHistoryLimit=0)
    plan = plan_cronjob(of, [ended], MADE)
    assert (names(plan.history), plan.told, plan.status.active) == (["a"], (), ())
    assert plan.status.lastSuccessfulTime == timestamp(MADE)


def test_what_was_made_and_deleted_is_in_the_status() -> None:
    status = started(cron_job(active=(RUNNING,)).status, OTHER, TEN)
    assert [each.uid for each in status.active] == ["one", "two"]
    assert status.lastScheduleTime == timestamp(TEN)
    assert [each.uid for each in without(status, RUNNING).active] == ["two"]
