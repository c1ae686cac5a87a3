"""Jobs: what is filled in for the user, and what is refused. Nothing here runs them.

Upstream: SetDefaults_Job, ValidateJob, ValidateJobUpdate in pkg/apis/batch, generateSelector in pkg/registry/batch/job.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fairlead.objects import counts, jobpolicies, labels, names, templates
from fairlead.objects.batch_v1 import Job, JobSpec, PodFailurePolicy
from fairlead.objects.core_v1 import PodTemplateSpec
from fairlead.objects.meta_v1 import LabelSelector
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, invalid, not_supported, required, too_long

UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_UID_LABEL, OLD_NAME_LABEL = "controller-uid", "job-name"
INDEXED, NOT_INDEXED = "Indexed", "NonIndexed"
MODES = (INDEXED, NOT_INDEXED)
REPLACEMENTS = ("Failed", "TerminatingOrFailed")
MAX_PARALLELISM = 100_000
MAX_MANAGER = 63
HIGH, FEW = 100_000, 10_000
"""Of more completions than this, only so many indexes may run at a time, or fail, where each has its own limit."""
WITHOUT_END = 2**31 - 1

COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def default(job: Job) -> Job:
    """The Job with how often and how its pods are run."""
    spec = job.spec
    completions, parallelism = spec.completions, spec.parallelism
    if completions is None and parallelism is None:
        completions = 1
    limit = 6 if spec.backoffLimitPerIndex is None else WITHOUT_END
    policy = default_failure_policy(spec.podFailurePolicy)
    filled = replace(
        spec,
        completions=completions,
        parallelism=1 if parallelism is None else parallelism,
        backoffLimit=limit if spec.backoffLimit is None else spec.backoffLimit,
        completionMode=spec.completionMode or NOT_INDEXED,
        suspend=bool(spec.suspend),
        manualSelector=bool(spec.manualSelector),
        podFailurePolicy=policy,
        podReplacementPolicy=spec.podReplacementPolicy or ("Failed" if policy else "TerminatingOrFailed"),
        template=templates.default(spec.template),
    )
    given = spec.template.metadata.labels
    if given and not job.metadata.labels:
        job = replace(job, metadata=replace(job.metadata, labels=given))
    return replace(job, spec=filled)


def default_failure_policy(policy: PodFailurePolicy | None) -> PodFailurePolicy | None:
    """The policy whose conditions say which status they mean."""
    if policy is None:
        return None
    rules = tuple(
        replace(
            rule,
            onPodConditions=tuple(replace(c, status=c.status or "True") for c in rule.onPodConditions),
        )
        for rule in policy.rules
    )
    return replace(policy, rules=rules)


def selecting(job: Job) -> Job:
    """The Job with the selector that finds its own pods and no others, unless the user makes that himself."""
    spec, uid = job.spec, job.metadata.uid
    if spec.manualSelector:
        return job
    own = {OLD_UID_LABEL: uid, OLD_NAME_LABEL: job.metadata.name, UID_LABEL: uid}
    own[NAME_LABEL] = job.metadata.name
    metadata = spec.template.metadata
    template = replace(spec.template, metadata=replace(metadata, labels={**own, **metadata.labels}))
    selector = spec.selector or LabelSelector()
    selector = replace(selector, matchLabels={UID_LABEL: uid, **selector.matchLabels})
    return replace(job, spec=replace(spec, selector=selector, template=template))


def validate(job: Job, old: Job | None = None) -> list[FieldError]:
    """The errors of a Job that is created, or that replaces `old`; defaults and selector are in it."""
    spec = job.spec
    if old is None:
        errors = validate_metadata(job.metadata, names.is_dns1123_subdomain)
        errors += _validate_generated(job)
        return errors + _validate_selected(spec) + _validate_host_names(job)
    errors = validate_metadata_update(job.metadata, old.metadata)
    errors += _validate_selected(spec)
    errors += _validate_completions(spec, old.spec)
    errors += unchanged(spec.selector, old.spec.selector, "spec.selector")
    errors += unchanged(spec.template, _steered(spec.template, old), "spec.template")
    for field in FIXED:
        errors += unchanged(getattr(spec, field), getattr(old.spec, field), f"spec.{field}")
    return errors


def _validate_completions(spec: JobSpec, old: JobSpec) -> list[FieldError]:
    if spec.completionMode != INDEXED:
        return unchanged(spec.completions, old.completions, "spec.completions")
    if spec.completions in (None, old.completions, spec.parallelism):
        return []
    said = "can only be modified in tandem with spec.parallelism"
    return [invalid("spec.completions", spec.completions, said)]


def _steered(template: PodTemplateSpec, old: Job) -> PodTemplateSpec:
    """The old template, with where its pods go taken from the new one as long as the Job has not begun."""
    before = old.spec.template
    if not old.spec.suspend or old.status.startTime is not None:
        return before
    affinity = template.spec.affinity
    if before.spec.affinity is not None and affinity is not None:
        affinity = replace(before.spec.affinity, nodeAffinity=affinity.nodeAffinity)
    return replace(
        before,
        metadata=replace(
            before.metadata, labels=template.metadata.labels, annotations=template.metadata.annotations
        ),
        spec=replace(
            before.spec,
            affinity=affinity,
            nodeSelector=template.spec.nodeSelector,
            tolerations=template.spec.tolerations,
            schedulingGates=template.spec.schedulingGates,
        ),
    )


def _validate_generated(job: Job) -> list[FieldError]:
    spec = job.spec
    if spec.manualSelector or spec.selector is None:
        return []
    uid, name = job.metadata.uid, job.metadata.name
    own = {OLD_UID_LABEL: uid, OLD_NAME_LABEL: name, UID_LABEL: uid, NAME_LABEL: name}
    given = spec.template.metadata.labels
    path = "spec.template.metadata.labels"
    errors = [
        invalid(path, given, f"must be '{value}'") if key in given else required(f"{path}[{key}]")
        for key, value in own.items()
        if given.get(key) != value
    ]
    matcher = templates.readable(spec.selector)
    if matcher is not None and not matcher.matches(own):
        errors.append(invalid("spec.selector", spec.selector, "`selector` not auto-generated"))
    return errors


def _validate_selected(spec: JobSpec) -> list[FieldError]:
    errors = validate_spec(spec, "spec")
    if spec.selector is None:
        return [*errors, required("spec.selector")]
    errors += labels.validate_selector(spec.selector, "spec.selector")
    matcher = templates.readable(spec.selector)
    if matcher is not None:
        errors += templates.validate_selected(spec.template, matcher, "spec.template")
    return errors


def _validate_host_names(job: Job) -> list[FieldError]:
    """The pods of an indexed Job are called after it and their index."""
    spec, name = job.spec, job.metadata.name
    if spec.completionMode != INDEXED or not spec.completions:
        return []
    longest = f"{name}-{spec.completions - 1}"
    if not names.is_dns1123_label(longest):
        return []
    said = f"will not able to create pod with invalid DNS label: {longest}"
    return [invalid("metadata.name", name, said)]


def validate_spec(spec: JobSpec, path: str) -> list[FieldError]:
    """The errors in the spec of a Job or of a template of Jobs, but for its selector."""
    errors = counts.all_not_negative(spec, COUNTS, path)
    if spec.maxFailedIndexes is not None and spec.backoffLimitPerIndex is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.managedBy is not None:
        errors += names.validate_domain_path(spec.managedBy, f"{path}.managedBy")
        if len(spec.managedBy) > MAX_MANAGER:
            errors.append(too_long(f"{path}.managedBy", MAX_MANAGER))
    errors += _validate_mode(spec, path)
    errors += jobpolicies.validate_failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.successPolicy is not None and spec.completionMode != INDEXED:
        at = f"{path}.successPolicy"
        errors.append(invalid(at, spec.successPolicy, "requires indexed completion mode"))
    elif spec.completions is not None:
        errors += jobpolicies.validate_success_policy(spec, f"{path}.successPolicy")
    allowed = ("Failed",) if spec.podFailurePolicy is not None else REPLACEMENTS
    if spec.podReplacementPolicy is not None and spec.podReplacementPolicy not in allowed:
        at = f"{path}.podReplacementPolicy"
        errors.append(not_supported(at, spec.podReplacementPolicy, allowed))
    errors += templates.validate(spec.template, f"{path}.template")
    return errors + _validate_restart(spec, f"{path}.template.spec.restartPolicy")


def _validate_mode(spec: JobSpec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.completionMode is not None and spec.completionMode not in MODES:
        errors.append(not_supported(f"{path}.completionMode", spec.completionMode, MODES))
    if spec.completionMode != INDEXED:
        said = "requires indexed completion mode"
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            value: Any = getattr(spec, field)
            if value is not None:
                errors.append(invalid(f"{path}.{field}", value, said))
        return errors
    if spec.completions is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if (spec.parallelism or 0) > MAX_PARALLELISM:
        said = f"must be less than or equal to {MAX_PARALLELISM} when completion mode is Indexed"
        errors.append(invalid(f"{path}.parallelism", spec.parallelism, said))
    failed = spec.maxFailedIndexes
    if failed is not None and spec.completions is not None and failed > spec.completions:
        said = "must be less than or equal to completions"
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, said))
    if failed is not None and failed > HIGH:
        errors.append(invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {HIGH}"))
    if (spec.completions or 0) > HIGH and spec.backoffLimitPerIndex is not None:
        errors += _validate_many(spec, path)
    return errors


def _validate_many(spec: JobSpec, path: str) -> list[FieldError]:
    """The errors of a Job with so many indexes that not all that fail can be written down."""
    errors: list[FieldError] = []
    if spec.maxFailedIndexes is None:
        said = f"must be specified when completions is above {HIGH}"
        errors.append(required(f"{path}.maxFailedIndexes", said))
    said = f"must be less than or equal to {FEW} when completions are above {HIGH} "
    said += "and used with backoff limit per index"
    for field, value in (("parallelism", spec.parallelism), ("maxFailedIndexes", spec.maxFailedIndexes)):
        if (value or 0) > FEW:
            errors.append(invalid(f"{path}.{field}", value, said))
    return errors


def _validate_restart(spec: JobSpec, path: str) -> list[FieldError]:
    policy = spec.template.spec.restartPolicy
    match policy:
        case "Always" | "":
            return [required(path, 'valid values: "OnFailure", "Never"')]
        case "OnFailure":
            if spec.podFailurePolicy is not None:
                said = 'only "Never" is supported when podFailurePolicy is specified'
                return [invalid(path, policy, said)]
        case "Never":
            pass
        case _:
            return [not_supported(path, policy, ("Never", "OnFailure"))]
    return []


def validate_status(job: Job, old: Job) -> list[FieldError]:
    """The errors in a change of a Job's status."""
    errors = validate_metadata_update(job.metadata, old.metadata)
    fields = ("active", "succeeded", "failed", "ready", "terminating")
    return errors + counts.all_not_negative(job.status, fields, "status")
