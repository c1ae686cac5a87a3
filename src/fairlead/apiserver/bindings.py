"""Bindings: a pod gets its node.

Upstream: pkg/registry/core/pod/storage (BindingREST).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from fairlead.apiserver.bodies import as_json, read_object
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import PODS
from fairlead.apiserver.metadata import now
from fairlead.apiserver.registry import MODIFIED, Registry, check_uid
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.writes import Body, dry_run
from fairlead.objects.core_v1 import Binding, Pod, PodCondition
from fairlead.objects.meta_v1 import Status
from fairlead.objects.status import (
    StatusError,
    bad_request,
    conflict,
    not_supported,
    required,
    unprocessable,
)


async def bind(registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body) -> Status:
    """POST to pods/NAME/binding: the pod gets its node. Upstream: pkg/registry/core/pod/storage (BindingREST)."""
    data = as_json(body.data, body.content_type, "v1", "Binding")
    binding, _ = read_object(Binding, "Binding", "v1", data, query.text("fieldValidation"))
    errors = []
    if binding.target.kind not in ("", "Node"):
        errors.append(not_supported("target.kind", binding.target.kind, ("Node", "<empty>")))
    if not binding.target.name:
        errors.append(required("target.name"))
    if errors:
        raise unprocessable("Binding", info.name, errors)
    if binding.metadata.name and binding.metadata.name != info.name:
        raise bad_request("name in URL does not match name in Binding object")

    async def modify(pod: Pod | None) -> Pod:
        if pod is None:
            raise AssertionError("an update without create")
        check_uid(PODS, info.name, binding.metadata.uid, pod.metadata.uid)
        if binding.metadata.resourceVersion not in ("", pod.metadata.resourceVersion):
            raise conflict("pods", info.name, MODIFIED)
        if pod.metadata.deletionTimestamp is not None:
            raise refuse_binding(info.name, f"pod {info.name} is being deleted, cannot be assigned to a host")
        if pod.spec.nodeName:
            raise refuse_binding(
                info.name, f'pod {info.name} is already assigned to node "{pod.spec.nodeName}"'
            )
        return bound(pod, binding.target.name, binding.metadata.annotations)

    await registry.update(
        PODS, info.namespace, info.name, modify, subresource="binding", dry_run=dry_run(query)
    )
    return Status(status="Success", code=201)


def refuse_binding(name: str, why: str) -> StatusError:
    """409: the pod cannot be bound."""
    return conflict("pods/binding", name, why)


def bound(pod: Pod, node: str, annotations: Mapping[str, str]) -> Pod:
    """The pod on its node."""
    scheduled = PodCondition(type="PodScheduled", status="True", lastTransitionTime=now())
    if pod.metadata.generation:
        scheduled = replace(scheduled, observedGeneration=pod.metadata.generation)
    others = tuple(condition for condition in pod.status.conditions if condition.type != "PodScheduled")
    return replace(
        pod,
        metadata=replace(pod.metadata, annotations={**pod.metadata.annotations, **annotations}),
        spec=replace(pod.spec, nodeName=node),
        status=replace(pod.status, conditions=(*others, scheduled)),
    )
