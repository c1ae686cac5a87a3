"""Whether a Job is over, and why: the conditions that say so.

A Job that is over first says what it comes to (FailureTarget, SuccessCriteriaMet) and ends the pods that run; it is
Failed or Complete when none is left. Upstream: syncJob in pkg/controller/job/job_controller.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.objects.batch_v1 import Job, JobCondition
from fairlead.objects.scalars import moment, timestamp
from fairlead.workloads.job import policies
from fairlead.workloads.job.survey import Survey, is_indexed

COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
TARGETS = {COMPLETE: "SuccessCriteriaMet", FAILED: "FailureTarget"}
"""What a Job says while its last pods end."""


@dataclass(frozen=True)
class Verdict:
    """What a Job comes to, Complete or Failed."""

    type: str
    reason: str
    message: str


def condition(job: Job, type: str) -> JobCondition | None:
    """The Job's condition of this type, if it is true."""
    return next((c for c in job.status.conditions if c.type == type and c.status == "True"), None)


def is_finished(job: Job) -> bool:
    """Whether the Job is Complete or Failed, for ever."""
    return condition(job, COMPLETE) is not None or condition(job, FAILED) is not None


def with_condition(
    conditions: tuple[JobCondition, ...],
    type: str,
    reason: str,
    message: str,
    now: float,
    status: str = "True",
) -> tuple[JobCondition, ...]:
    """The conditions with this one in its place, at the end if it is new; the same if it says so already."""
    old = next((c for c in conditions if c.type == type), None)
    if old is not None and (old.status, old.reason, old.message) == (status, reason, message):
        return conditions
    stamp = timestamp(now)
    new = JobCondition(
        type=type,
        status=status,
        lastProbeTime=stamp,
        lastTransitionTime=stamp,
        reason=reason,
        message=message,
    )
    return tuple(new if c is old else c for c in conditions) if old is not None else (*conditions, new)


def verdict(job: Job, found: Survey, now: float) -> Verdict | None:
    """What the Job comes to; None while it goes on. What was once said stays."""
    for type, target in TARGETS.items():
        said = condition(job, target)
        if said is not None:
            return Verdict(type, said.reason, said.message)
    return _failure(job, found, now) or _success(job, found)


def _failure(job: Job, found: Survey, now: float) -> Verdict | None:
    spec = job.spec
    if found.fatal:
        return Verdict(FAILED, "PodFailurePolicy", found.fatal)
    limit = spec.backoffLimit if spec.backoffLimit is not None else 6
    if found.failed > limit or _restarted_too_often(job, found, limit):
        return Verdict(FAILED, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if deadline_in(job, now) == 0:
        return Verdict(FAILED, "DeadlineExceeded", "Job was active longer than specified deadline")
    if is_indexed(job) and found.failed_indexes:
        most = spec.maxFailedIndexes
        if most is not None and len(found.failed_indexes) > most:
            said = "Job has exceeded the specified maximal number of failed indexes"
            return Verdict(FAILED, "MaxFailedIndexesExceeded", said)
        if len(found.completed) + len(found.failed_indexes) >= (spec.completions or 0):
            return Verdict(FAILED, "FailedIndexes", "Job has failed indexes")
    return None


def _restarted_too_often(job: Job, found: Survey, limit: int) -> bool:
    """Whether containers were started anew in their pods more often than allowed (pastBackoffLimitOnFailure)."""
    if job.spec.template.spec.restartPolicy != "OnFailure":
        return False
    restarts = sum(
        status.restartCount
        for pod in found.active
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def deadline_in(job: Job, now: float) -> float | None:
    """Seconds until the Job has run for too long, 0 if it has; None without a limit, or while it does not run."""
    limit, since = job.spec.activeDeadlineSeconds, moment(job.status.startTime)
    if limit is None or since is None or job.spec.suspend:
        return None
    return max(since + limit - now, 0.0)


def _success(job: Job, found: Survey) -> Verdict | None:
    if is_indexed(job):
        why = policies.satisfied(job, set(found.completed))
        if why:
            return Verdict(COMPLETE, "SuccessPolicy", why)
    completions = job.spec.completions
    if completions is None:
        done = found.succeeded > 0 and not found.active
    else:
        done = found.succeeded >= completions
    said = "Reached expected number of succeeded pods"
    return Verdict(COMPLETE, "CompletionsReached", said) if done else None
