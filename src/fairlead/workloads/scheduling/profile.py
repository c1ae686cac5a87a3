"""A pod as scheduling sees it: worked out once, read for every node."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, cast

from fairlead.objects.core_v1 import Pod
from fairlead.workloads.scheduling import amounts, terms
from fairlead.workloads.scheduling.hostports import HostPort, host_ports

_SPREAD_KINDS = ("ReplicaSet", "ReplicationController", "StatefulSet")
"""The controllers whose pods are spread without being asked. Upstream: helper.DefaultSelector."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What a pod asks of its node, and what others can ask of it. `cpu` and `memory` are with least amounts."""

    key: str
    pod: Pod
    kind: terms.Kind
    priority: int
    requests: Mapping[str, int]
    cpu: int
    memory: int
    ports: frozenset[HostPort]
    affinity: terms.Affinity
    spreads: tuple[terms.Spread, ...]

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels."""
        return self.pod.metadata.labels

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return self.kind.namespace

    def matched_by(self, query: terms.Query, namespace_labels: Mapping[str, str]) -> bool:
        """Whether the query means this pod."""
        return query.matches(self.kind, self.labels, namespace_labels)


def profile(pod: Pod) -> Profile:
    """The pod's profile. Cost: the size of its spec. Pods of one template share what is equal of theirs."""
    meta = pod.metadata
    least = amounts.requests(pod, least=True)
    return Profile(
        key=f"{meta.namespace}/{meta.name}",
        pod=pod,
        kind=_shared(
            terms.Kind(
                meta.namespace,
                frozenset(meta.labels.items()),
                next((owner.uid for owner in meta.ownerReferences if owner.controller), ""),
                meta.deletionTimestamp is not None,
            )
        ),
        priority=pod.spec.priority or 0,
        requests=_requests(tuple(amounts.requests(pod).items())),
        cpu=least.get("cpu", 0),
        memory=least.get("memory", 0),
        ports=_shared(host_ports(pod)),
        affinity=_shared(terms.affinity(pod)),
        spreads=_shared(terms.spreads(pod)),
    )


SHARED = 4096
"""Different values that are remembered for those who come with an equal one."""

T = TypeVar("T", bound=Hashable)


@lru_cache(maxsize=SHARED)
def _remembered(value: Hashable) -> Hashable:
    return value


def _shared(value: T) -> T:
    """The value, or an equal one that others have."""
    return cast(T, _remembered(value))


@lru_cache(maxsize=SHARED)
def _requests(items: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    return dict(items)


def spread_owner(pod: Pod) -> str:
    """The uid of the controller over whose pods this one is spread by default; "" if there is none."""
    for owner in pod.metadata.ownerReferences:
        if owner.controller:
            return owner.uid if owner.kind in _SPREAD_KINDS else ""
    return ""
