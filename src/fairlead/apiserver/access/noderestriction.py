"""What the agent of a node may write: its own Node without steering pods to itself, its Lease, its pods' status.

Upstream: plugin/pkg/admission/noderestriction (the plugin NodeRestriction), for the kinds that there are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.access.nodeauthorizer import LEASES as LEASE_NAMESPACE
from fairlead.apiserver.access.podreferences import Referring
from fairlead.apiserver.access.rules import quote
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import LEASES, NODES, PERSISTENTVOLUMECLAIMS, PODS, SERVICEACCOUNTS
from fairlead.apiserver.podaccounts import MIRROR
from fairlead.objects.authentication_v1 import TokenRequest
from fairlead.objects.codec import decoder, encode
from fairlead.objects.core_v1 import Node, PersistentVolumeClaim, Pod

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"
"""The operations of admission."""

RESERVED = "node-restriction.kubernetes.io"
"""Labels below this domain are the administrator's: by them pods are kept off nodes that were taken over."""

LABELS = frozenset(
    (
        *(f"kubernetes.io/{name}" for name in ("hostname", "os", "arch")),
        *(f"beta.kubernetes.io/{name}" for name in ("os", "arch", "instance-type")),
        *(f"topology.kubernetes.io/{name}" for name in ("zone", "region")),
        *(f"failure-domain.beta.kubernetes.io/{name}" for name in ("zone", "region")),
        "node.kubernetes.io/instance-type",
    )
)
"""Of Kubernetes' own labels, those that a node gives itself (upstream: kubelet/pkg/apis/well_known_labels.go)."""
DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")

CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
"""What a node says of a claim."""


def problem(
    node: str, operation: str, kind: Kind, subresource: str, name: str, obj: Any | None, old: Any | None
) -> str:
    """Why a node may not write this, "" where it may. `obj` is as it was sent, `old` as it stands."""
    if kind is PODS:
        return _pod(node, operation, subresource, obj, old)
    if kind is NODES:
        return _node(node, operation, name, obj, old)
    if kind is LEASES:
        return _lease(node, obj if old is None else old)
    if kind is SERVICEACCOUNTS and subresource == "token" and obj is not None:
        return _token(node, obj, old)
    if kind is PERSISTENTVOLUMECLAIMS:
        return (
            _claim(node, subresource, obj, old) if subresource == "status" else "may only update PVC status"
        )
    return ""


def _lease(node: str, lease: Any) -> str:
    if lease.metadata.namespace != LEASE_NAMESPACE:
        return f"can only access leases in the {quote(LEASE_NAMESPACE)} system namespace"
    if lease.metadata.name != node:
        return "can only access node lease with the same name as the requesting node"
    return ""


def _token(node: str, request: TokenRequest, pod: Pod | None) -> str:
    to = request.spec.boundObjectRef
    if to is None or to.apiVersion != "v1" or to.kind != "Pod" or not to.name:
        return "node requested token not bound to a pod"
    if not to.uid:
        return "node requested token with a pod binding without a uid"
    if pod is None:
        return ""  # which is 404
    if to.uid != pod.metadata.uid:
        said = f"the UID in the bound object reference ({to.uid}) does not match the UID in record."
        return f"{said} The object might have been deleted and then recreated"
    if pod.spec.nodeName != node:
        return "node requested token bound to a pod scheduled on a different node"
    audiences = request.spec.audiences
    if len(audiences) > 1:
        return "node may only request 0 or 1 audiences"
    if audiences and audiences[0] not in _audiences(pod):
        return f"audience {quote(audiences[0])} not found in pod spec volume"
    return ""


def _audiences(pod: Pod) -> set[str]:
    """Whom tokens are for that the pod's volumes ask for."""
    return {
        part.serviceAccountToken.audience
        for volume in pod.spec.volumes
        if volume.projected is not None
        for part in volume.projected.sources
        if part.serviceAccountToken is not None
    }


def _pod(node: str, operation: str, subresource: str, pod: Pod | None, old: Pod | None) -> str:
    who = f"node {quote(node)}"
    if subresource == "status" and pod is not None and old is not None:
        if old.spec.nodeName != node:
            return f"{who} can only update pod status for pods with spec.nodeName set to itself"  # noqa: S608
        if pod.metadata.labels != old.metadata.labels:
            return f"{who} cannot update labels through pod status"
        if pod.status.resourceClaimStatuses != old.status.resourceClaimStatuses:
            return f"{who} cannot update resource claim statues"
        return ""
    if subresource == "eviction" and old is not None:
        if old.spec.nodeName != node:
            return f"node {node} can only evict pods with spec.nodeName set to itself"
        return ""
    if subresource:
        said = f"unexpected pod subresource {quote(subresource)}"
        return f"{said}, only 'status' and 'eviction' are allowed"
    if operation == DELETE and old is not None:
        if old.spec.nodeName != node:
            return f"{who} can only delete pods with spec.nodeName set to itself"
        return ""
    if operation == CREATE and pod is not None:
        return _mirror(node, pod)
    return f"unexpected operation {quote(operation)}, {who} can only create and delete mirror pods"


def _mirror(node: str, pod: Pod) -> str:
    """What is wrong with a pod that a node makes: the picture of one that it has from a file."""
    who = f"node {quote(node)}"
    if MIRROR not in pod.metadata.annotations:
        return f"pod does not have {quote(MIRROR)} annotation, {who} can only create mirror pods"
    if pod.spec.nodeName != node:
        return f"{who} can only create pods with spec.nodeName set to itself"
    owners = pod.metadata.ownerReferences
    if len(owners) > 1:
        return f"{who} can only create pods with a single owner reference set to itself"
    if not owners or (owners[0].apiVersion, owners[0].kind, owners[0].name) != ("v1", "Node", node):
        return f"{who} can only create pods with an owner reference set to itself"
    if not owners[0].controller:
        return f"{who} can only create pods with a controller owner reference set to itself"
    if owners[0].blockOwnerDeletion:
        return f"{who} must not set blockOwnerDeletion on an owner reference"
    called = {
        "serviceaccounts": "a service account",
        "secrets": "secrets",
        "configmaps": "configmaps",
        "persistentvolumeclaims": "persistentvolumeclaims",
    }
    needed = {plural for plural, _ in decoder(Referring).decode(encode(pod)).references()}
    for plural, what in called.items():
        if plural in needed:
            return f"{who} can not create pods that reference {what}"
    return ""


def _node(node: str, operation: str, name: str, obj: Node | None, old: Node | None) -> str:
    who = f"node {quote(node)}"
    if name != node:
        return f"{who} is not allowed to modify node {quote(name)}"
    if obj is None:
        return ""
    if old is None:
        if obj.spec.configSource is not None:
            return f"{who} is not allowed to create pods with a non-nil configSource"
        if labels := forbidden_labels(obj.metadata.labels, {}):
            return f"{who} is not allowed to set the following labels: {', '.join(labels)}"
        return ""
    if obj.spec.configSource is not None and obj.spec.configSource != old.spec.configSource:
        return f"{who} is not allowed to update configSource to a new non-nil configSource"
    if obj.spec.taints != old.spec.taints:
        return f"{who} is not allowed to modify taints"
    if obj.metadata.ownerReferences != old.metadata.ownerReferences:
        return f"{who} is not allowed to modify ownerReferences"
    if labels := forbidden_labels(obj.metadata.labels, old.metadata.labels):
        return f"is not allowed to modify labels: {', '.join(labels)}"
    return ""


def forbidden_labels(now: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """The labels that differ and that no node gives itself, in order."""
    changed = {name for name in (*now, *before) if now.get(name) != before.get(name)}
    return sorted(name for name in changed if not is_a_nodes(name))


def is_a_nodes(label: str) -> bool:
    """Whether a node may give itself this label."""
    domain = label.partition("/")[0] if "/" in label else ""
    if _below(domain, RESERVED):
        return False
    if not _below(domain, "kubernetes.io") and not _below(domain, "k8s.io"):
        return True
    return label in LABELS or any(_below(domain, one) for one in DOMAINS)


def _below(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _claim(
    node: str, subresource: str, claim: PersistentVolumeClaim | None, old: PersistentVolumeClaim | None
) -> str:
    if claim is None or old is None:
        return f"unexpected operation on {subresource}"
    said = {name: getattr(claim.status, name) for name in CLAIM_STATUS}
    kept = replace(
        old.metadata,
        managedFields=claim.metadata.managedFields,
        resourceVersion=claim.metadata.resourceVersion,
    )
    if replace(old, metadata=kept, status=replace(old.status, **said)) != claim:
        allowed = "status.quantity and status.conditions"
        return f"node {quote(node)} is not allowed to update fields other than {allowed}"
    return ""
