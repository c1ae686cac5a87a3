"""Who owns the claims of a StatefulSet, and so what they are deleted with.

Upstream: pkg/controller/statefulset/stateful_set_utils.go (updateClaimOwnerRefForSetAndPod).
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects.apps_v1 import StatefulSet
from fairlead.objects.core_v1 import PersistentVolumeClaim, Pod
from fairlead.objects.meta_v1 import OwnerReference
from fairlead.workloads.statefulset.identity import owner


def owned(
    stateful_set: StatefulSet, pod: Pod | None, claim: PersistentVolumeClaim, *, condemned: bool
) -> PersistentVolumeClaim:
    """The claim with the owners that the set's policy asks for; the very claim if it has them.

    `pod` uses it, None if there is none yet; `condemned`: the set has become too small for it. With `whenDeleted:
    Delete` the set owns the claim; with `whenScaled: Delete` a condemned pod does. Other owners stay.
    """
    policy = stateful_set.spec.persistentVolumeClaimRetentionPolicy
    deleted = policy is not None and policy.whenDeleted == "Delete"
    scaled = policy is not None and policy.whenScaled == "Delete"
    refs = claim.metadata.ownerReferences
    own = owner(stateful_set)
    if any(ref.controller and ref.kind not in ("StatefulSet", "Pod") for ref in refs):
        return claim  # somebody else looks after it
    by_pod = _of_pod(pod) if pod is not None and scaled and condemned else None
    by_set = own if deleted and by_pod is None else None
    others = tuple(
        ref for ref in refs if ref.uid != own.uid and not (ref.kind == "Pod" and ref.apiVersion == "v1")
    )
    wanted = (*others, *(ref for ref in (by_set, by_pod) if ref is not None))
    if wanted == refs:
        return claim
    return replace(claim, metadata=replace(claim.metadata, ownerReferences=wanted))


def is_stale(claim: PersistentVolumeClaim, pod: Pod | None) -> bool:
    """Whether the claim goes away with a pod of the same name that was before; a new pod has to wait for its end."""
    if claim.metadata.deletionTimestamp is not None:
        return True
    uid = pod.metadata.uid if pod is not None else ""
    return any(
        ref.kind == "Pod" and ref.apiVersion == "v1" and ref.uid != uid
        for ref in claim.metadata.ownerReferences
    )


def _of_pod(pod: Pod) -> OwnerReference:
    meta = pod.metadata
    return OwnerReference(
        apiVersion="v1", kind="Pod", name=meta.name, uid=meta.uid, controller=True, blockOwnerDeletion=True
    )
