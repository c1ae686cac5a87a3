"""CronJobs: what is filled in for the user, and what is refused. Nothing here runs them.

Upstream: SetDefaults_CronJob, validateCronJobSpec in pkg/apis/batch.
"""

from __future__ import annotations

import re
import zoneinfo

from msgspec.structs import replace

from fairlead.objects import counts, jobs, names, schedules, templates
from fairlead.objects.batch_v1 import CronJob, CronJobSpec
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, invalid, not_supported, required

POLICIES = ("Allow", "Forbid", "Replace")
MAX_NAME = 63 - 11
"""Its Jobs are called after it and a time of 11 letters."""

_ZONE_PART = re.compile(r"[A-Za-z._0-9+][A-Za-z.\-_0-9+]{0,13}")


def default(cron_job: CronJob) -> CronJob:
    """The CronJob with what it does about overlaps, and how many Jobs it keeps."""
    spec = cron_job.spec
    template = spec.jobTemplate
    job = replace(
        template.spec,
        template=templates.default(template.spec.template),
        podFailurePolicy=jobs.default_failure_policy(template.spec.podFailurePolicy),
    )
    successful, failed = spec.successfulJobsHistoryLimit, spec.failedJobsHistoryLimit
    filled = replace(
        spec,
        concurrencyPolicy=spec.concurrencyPolicy or "Allow",
        suspend=bool(spec.suspend),
        successfulJobsHistoryLimit=3 if successful is None else successful,
        failedJobsHistoryLimit=1 if failed is None else failed,
        jobTemplate=replace(template, spec=job),
    )
    return replace(cron_job, spec=filled)


def validate(cron_job: CronJob, old: CronJob | None = None) -> list[FieldError]:
    """The errors of a CronJob that is created, or that replaces `old`; defaults are in it."""
    if old is not None:
        errors = validate_metadata_update(cron_job.metadata, old.metadata)
        return errors + _validate_spec(cron_job.spec, old.spec)
    name = cron_job.metadata.name
    errors = validate_metadata(cron_job.metadata, names.is_dns1123_subdomain)
    errors += _validate_spec(cron_job.spec, None)
    if len(name) > MAX_NAME:
        errors.append(invalid("metadata.name", name, f"must be no more than {MAX_NAME} characters"))
    return errors


def _validate_spec(spec: CronJobSpec, old: CronJobSpec | None) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.schedule:
        errors.append(required("spec.schedule"))
    else:
        errors += names.wrong(schedules.is_schedule, "spec.schedule", spec.schedule)
        if "TZ" in spec.schedule:
            errors += _validate_inner_zone(spec, old)
    errors += counts.not_negative("spec.startingDeadlineSeconds", spec.startingDeadlineSeconds)
    if spec.timeZone is not None and (old is None or old.timeZone != spec.timeZone):
        errors += names.wrong(is_time_zone, "spec.timeZone", spec.timeZone)
    if spec.concurrencyPolicy not in POLICIES:
        errors.append(not_supported("spec.concurrencyPolicy", spec.concurrencyPolicy, POLICIES))
    errors += _validate_template(spec)
    fields = ("successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    return errors + counts.all_not_negative(spec, fields, "spec")


def _validate_inner_zone(spec: CronJobSpec, old: CronJobSpec | None) -> list[FieldError]:
    said = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
    if old is not None and "TZ" in old.schedule:
        if spec.timeZone is None:
            return []
        said = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
    return [invalid("spec.schedule", spec.schedule, said)]


def is_time_zone(value: str) -> tuple[str, ...]:
    """The name of a zone of the IANA database."""
    if not value:
        return ("timeZone must be nil or non-empty string",)
    parts = value.split("/")
    if any(part in (".", "..") or not _ZONE_PART.fullmatch(part) for part in parts):
        return (f"unknown time zone {value}",)
    if value.lower() == "local":
        return ("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",)
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return () if value == "UTC" else (f"unknown time zone {value}",)
    return ()


def _validate_template(spec: CronJobSpec) -> list[FieldError]:
    path, job = "spec.jobTemplate.spec", spec.jobTemplate.spec
    errors = jobs.validate_spec(job, path)
    if job.selector is not None:
        errors.append(invalid(f"{path}.selector", job.selector, "`selector` will be auto-generated"))
    if job.manualSelector:
        errors.append(not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    return errors
