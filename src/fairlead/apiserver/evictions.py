"""Evictions: a pod is deleted unless a PodDisruptionBudget forbids it.

Upstream: pkg/registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from fairlead.apiserver import deletion
from fairlead.apiserver.answers import decoded
from fairlead.apiserver.bodies import as_json, read_object
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import PODDISRUPTIONBUDGETS, PODS
from fairlead.apiserver.metadata import now
from fairlead.apiserver.registry import Registry, check_preconditions
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.writes import Body, check_delete_options, dry_run
from fairlead.objects import templates
from fairlead.objects.core_v1 import Pod, PodCondition
from fairlead.objects.meta_v1 import DeleteOptions, Preconditions, Status, StatusCause, StatusDetails
from fairlead.objects.policy_v1 import Eviction, PodDisruptionBudget
from fairlead.objects.status import StatusError, bad_request, failure

VERSIONS = ("policy/v1", "policy/v1beta1")
"""Clients before 1.22 send the older one, which has the same fields."""
MAX_DISRUPTED = 2000
"""Pods of a budget that are on their way out without its controller having seen it."""
RETRY_SECONDS = 10
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


async def evict(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Status:
    """POST to pods/NAME/eviction. Raises 429 where the pod has to stay for now, 500 where it has two budgets."""
    eviction = read(body, query)
    if eviction.metadata.name and eviction.metadata.name != info.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = eviction.deleteOptions or DeleteOptions()
    check_delete_options(options)
    dry = dry_run(query, options.dryRun, "DeleteOptions")
    entry = await registry.get(kind, info.namespace, info.name)
    pod = decoded(kind, entry.value, entry.revision)
    if registry.admission is not None:
        registry.admission.admit("CREATE", kind, "eviction", info.name, eviction, pod)
    check_preconditions(kind, pod, entry.revision, options.preconditions)
    if not is_expendable(pod):
        await _spend(registry, pod, dry=dry)
        await _mark(registry, pod, dry=dry)
    if options.preconditions is None:
        options = replace(options, preconditions=Preconditions(uid=pod.metadata.uid))
    else:
        # What has been marked has another version now.
        options = replace(options, preconditions=replace(options.preconditions, resourceVersion=None))
    await deletion.delete(registry, kind, info.namespace, info.name, options, dry_run=dry)
    return Status(status="Success", code=201)


def read(body: Body, query: Query) -> Eviction:
    """The eviction in a body. Raises 400."""
    data = as_json(body.data, body.content_type, VERSIONS[0], "Eviction")
    data = data.replace(b'"policy/v1beta1"', b'"policy/v1"', 1)
    eviction, _ = read_object(Eviction, "Eviction", VERSIONS[0], data, query.text("fieldValidation"))
    return eviction


def is_expendable(pod: Pod) -> bool:
    """Whether no budget counts the pod: it does not run, or goes already."""
    ended = pod.status.phase in ("Succeeded", "Failed", "Pending")
    return ended or pod.metadata.deletionTimestamp is not None


def is_ready(pod: Pod) -> bool:
    """Whether its node says so."""
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


async def _spend(registry: Registry, pod: Pod, *, dry: bool) -> None:
    """Takes the pod out of the budget that it has, if it has one."""
    budget = await _budget(registry, pod)
    if budget is None or spares(budget, pod):
        return

    async def modify(found: Any | None) -> PodDisruptionBudget:
        if found is None:
            raise AssertionError("an update without create")
        return spent(found, pod.metadata.name, now())

    namespace, name = budget.metadata.namespace, budget.metadata.name
    await registry.update(PODDISRUPTIONBUDGETS, namespace, name, modify, subresource="status", dry_run=dry)


async def _budget(registry: Registry, pod: Pod) -> PodDisruptionBudget | None:
    kind = PODDISRUPTIONBUDGETS
    page = await registry.store.range(kind.list_prefix(pod.metadata.namespace))
    budgets = [decoded(kind, entry.value, entry.revision) for entry in page.entries]
    found = [budget for budget in budgets if protects(budget, pod)]
    if len(found) > 1:
        why = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
        raise failure(500, "InternalError", f"Internal error occurred: {why}")
    return found[0] if found else None


def protects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    """Whether the budget is for this pod; without a selector it is for none."""
    matcher = templates.readable(budget.spec.selector)
    return matcher is not None and matcher.matches(pod.metadata.labels)


def spares(budget: PodDisruptionBudget, pod: Pod) -> bool:
    """Whether a pod that is not ready may go without being counted."""
    if is_ready(pod):
        return False
    if budget.spec.unhealthyPodEvictionPolicy == "AlwaysAllow":
        return True
    return 0 < budget.status.desiredHealthy <= budget.status.currentHealthy


def spent(budget: PodDisruptionBudget, pod: str, when: str) -> PodDisruptionBudget:
    """The budget after one more disruption. Raises 429 where it has none left, 403 where it is in no order."""
    status, name = budget.status, budget.metadata.name
    if status.observedGeneration < budget.metadata.generation:
        raise refusal(f"The disruption budget {name} is still being processed by the server.")
    if status.disruptionsAllowed < 0:
        raise unordered(name, "pdb disruptions allowed is negative")
    if len(status.disruptedPods) > MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise unordered(name, why)
    if status.disruptionsAllowed == 0:
        needs = f"needs {status.desiredHealthy} healthy pods and has {status.currentHealthy} currently"
        raise refusal(f"The disruption budget {name} {needs}")
    return replace(
        budget,
        status=replace(
            status,
            disruptionsAllowed=status.disruptionsAllowed - 1,
            disruptedPods={**status.disruptedPods, pod: when},
        ),
    )


def refusal(why: str) -> StatusError:
    """429: not now."""
    causes = (StatusCause(reason="DisruptionBudget", message=why),)
    details = StatusDetails(causes=causes, retryAfterSeconds=RETRY_SECONDS if "processed" in why else 0)
    return failure(429, "TooManyRequests", VIOLATED, details=details)


def unordered(name: str, why: str) -> StatusError:
    """403: the budget is in no order."""
    details = StatusDetails(name=name, group="policy", kind="poddisruptionbudget")
    return failure(
        403, "Forbidden", f'poddisruptionbudget.policy "{name}" is forbidden: {why}', details=details
    )


async def _mark(registry: Registry, pod: Pod, *, dry: bool) -> None:
    """Writes into the pod why it goes."""
    condition = PodCondition(
        type="DisruptionTarget",
        status="True",
        reason="EvictionByEvictionAPI",
        message="Eviction API: evicting",
        lastTransitionTime=now(),
    )

    async def modify(found: Any | None) -> Pod:
        if found is None:
            raise AssertionError("an update without create")
        others = tuple(c for c in found.status.conditions if c.type != condition.type)
        changed: Pod = replace(found, status=replace(found.status, conditions=(*others, condition)))
        return changed

    namespace, name = pod.metadata.namespace, pod.metadata.name
    await registry.update(PODS, namespace, name, modify, subresource="status", dry_run=dry)
