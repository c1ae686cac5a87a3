"""What a failed pod means to its Job, and when some successes are success enough.

Upstream: pkg/controller/job/pod_failure_policy.go, success_policy.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.objects.batch_v1 import Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule
from fairlead.objects.core_v1 import ContainerStatus, Pod
from fairlead.workloads.job import indexes

COUNT, IGNORE, FAIL_JOB, FAIL_INDEX = "Count", "Ignore", "FailJob", "FailIndex"


@dataclass(frozen=True)
class Meaning:
    """What is to be done about a failed pod; `message` is why, where a rule says so."""

    action: str = COUNT
    message: str = ""


def meaning(job: Job, pod: Pod) -> Meaning:
    """What the first matching rule of the Job's podFailurePolicy says of a failed pod; it counts where none does."""
    policy = job.spec.podFailurePolicy
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        why = _matches(rule, pod)
        if why:
            return Meaning(rule.action, f"{why} matching {rule.action} rule at index {number}")
    return Meaning()


def _matches(rule: PodFailurePolicyRule, pod: Pod) -> str:
    place = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.onExitCodes is not None:
        for container in (*pod.status.containerStatuses, *pod.status.initContainerStatuses):
            code = _matched_code(rule.onExitCodes, container)
            if code is not None:
                return f"Container {container.name} for pod {place} failed with exit code {code}"
        return ""
    for pattern in rule.onPodConditions:
        for condition in pod.status.conditions:
            if condition.type == pattern.type and condition.status == (pattern.status or "True"):
                return f"Pod {place} has condition {condition.type}"
    return ""


def _matched_code(wanted: PodFailurePolicyOnExitCodesRequirement, container: ContainerStatus) -> int | None:
    ended = container.state.terminated
    if ended is None or not ended.exitCode or wanted.containerName not in ("", container.name):
        return None
    listed = ended.exitCode in wanted.values
    return ended.exitCode if listed == (wanted.operator == "In") else None


def satisfied(job: Job, completed: set[int]) -> str:
    """Why the completed indexes are enough by the Job's successPolicy; "" if they are not."""
    policy = job.spec.successPolicy
    completions = job.spec.completions or 0
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        among = indexes.parse(rule.succeededIndexes, completions) if rule.succeededIndexes else completed
        done = completed & among
        enough = len(done) >= rule.succeededCount if rule.succeededCount else done == among
        if enough and (rule.succeededCount or rule.succeededIndexes):
            return f"Matched rules at index {number}"
    return ""
