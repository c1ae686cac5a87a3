"""Who the pods of a StatefulSet are: their names, places, labels and claims.

Upstream: pkg/controller/statefulset/stateful_set_utils.go.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from fairlead.objects.apps_v1 import StatefulSet
from fairlead.objects.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodSpec,
    PodTemplateSpec,
    Volume,
)
from fairlead.objects.meta_v1 import ObjectMeta, OwnerReference

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
REVISION_LABEL = "controller-revision-hash"

_NAME = re.compile(r"(.*)-([0-9]{1,9})")


def split(pod: str) -> tuple[str, int]:
    """The name of the set and the ordinal in a pod's name; ("", -1) for a name of another form."""
    found = _NAME.fullmatch(pod)
    return (found[1], int(found[2])) if found else ("", -1)


def ordinal(pod: Pod) -> int:
    """Its place in the row; -1 if its name has none."""
    return split(pod.metadata.name)[1]


def is_member(stateful_set: StatefulSet, pod: Pod) -> bool:
    """Whether the pod's name is one that this set gives."""
    return split(pod.metadata.name)[0] == stateful_set.metadata.name


def start(stateful_set: StatefulSet) -> int:
    """The first ordinal."""
    ordinals = stateful_set.spec.ordinals
    return ordinals.start if ordinals is not None else 0


def owner(stateful_set: StatefulSet) -> OwnerReference:
    """The reference by which the set controls what is its own."""
    meta = stateful_set.metadata
    return OwnerReference(
        apiVersion="apps/v1",
        kind="StatefulSet",
        name=meta.name,
        uid=meta.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


def pod_of(stateful_set: StatefulSet, template: PodTemplateSpec, revision: str, place: int) -> Pod:
    """The pod at this place of the row, made after the template, which is that of the revision."""
    name = f"{stateful_set.metadata.name}-{place}"
    meta = template.metadata
    spec = template.spec
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=stateful_set.metadata.namespace,
            labels={
                **meta.labels,
                NAME_LABEL: name,
                INDEX_LABEL: str(place),
                REVISION_LABEL: revision,
            },
            annotations=meta.annotations,
            finalizers=meta.finalizers,
            ownerReferences=(owner(stateful_set),),
        ),
        spec=replace(
            spec,
            hostname=name,
            subdomain=stateful_set.spec.serviceName,
            volumes=_volumes(stateful_set, spec, place),
        ),
    )


def _volumes(stateful_set: StatefulSet, spec: PodSpec, place: int) -> tuple[Volume, ...]:
    """The claims as volumes, in place of those of the template that have their names."""
    claimed = {
        claim.metadata.name: Volume(
            name=claim.metadata.name,
            persistentVolumeClaim=PersistentVolumeClaimVolumeSource(
                claimName=claim_name(stateful_set, claim, place)
            ),
        )
        for claim in stateful_set.spec.volumeClaimTemplates
    }
    return (*claimed.values(), *(volume for volume in spec.volumes if volume.name not in claimed))


def claim_name(stateful_set: StatefulSet, claim: PersistentVolumeClaim, place: int) -> str:
    """The name of the claim that is made after this template for the pod at this place."""
    return f"{claim.metadata.name}-{stateful_set.metadata.name}-{place}"


def claims_of(stateful_set: StatefulSet, place: int) -> tuple[PersistentVolumeClaim, ...]:
    """The claims of the pod at this place, whoever is to own them."""
    selector = stateful_set.spec.selector
    chosen = selector.matchLabels if selector is not None else {}
    return tuple(
        replace(
            claim,
            metadata=replace(
                claim.metadata,
                name=claim_name(stateful_set, claim, place),
                namespace=stateful_set.metadata.namespace,
                labels={**claim.metadata.labels, **chosen},
            ),
        )
        for claim in stateful_set.spec.volumeClaimTemplates
    )


def identified(stateful_set: StatefulSet, pod: Pod) -> Pod:
    """The pod with the labels that say who it is; the very pod if it has them."""
    name = pod.metadata.name
    labels = {**pod.metadata.labels, NAME_LABEL: name, INDEX_LABEL: str(ordinal(pod))}
    if labels == pod.metadata.labels:
        return pod
    return replace(pod, metadata=replace(pod.metadata, labels=labels))


def revision(pod: Pod) -> str:
    """The name of the revision that the pod was made after; "" if it does not say."""
    return pod.metadata.labels.get(REVISION_LABEL, "")
