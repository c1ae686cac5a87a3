"""Pods as endpoints: which of them stand behind a Service, with what address, in what condition.

Upstream: k8s.io/endpointslice/util/controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.endpoints.topology import own_hints
from fairlead.objects import addresses as ips
from fairlead.objects.core_v1 import Node, ObjectReference, Pod, PodCondition, Service
from fairlead.objects.discovery_v1 import Endpoint, EndpointConditions

ZONE = "topology.kubernetes.io/zone"


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a Service with this selector selects a pod with these labels; an empty selector selects nothing."""
    if not selector:
        return False
    return all(labels.get(name) == value for name, value in selector.items())


def readiness(pod: Pod) -> PodCondition | None:
    """The pod's Ready condition."""
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return condition
    return None


def is_ready(pod: Pod) -> bool:
    """Whether the pod's Ready condition is true."""
    condition = readiness(pod)
    return condition is not None and condition.status == "True"


def is_eligible(pod: Pod, *, terminating: bool) -> bool:
    """Whether the pod can be an endpoint: it has an address and has not ended; `terminating` ones if asked for."""
    status = pod.status
    if status.phase in ("Failed", "Succeeded"):
        return False
    if not (status.podIP or status.podIPs):
        return False
    return terminating or pod.metadata.deletionTimestamp is None


def addresses(pod: Pod, family: str) -> tuple[str, ...]:
    """The pod's addresses of one family, IPv4 or IPv6, in canonical form; what is no address is passed over."""
    given = [ip.ip for ip in pod.status.podIPs] or [pod.status.podIP]
    return tuple(ips.canonical(ip) for ip in given if ips.family(ip) == family)


def hostname(pod: Pod, service: Service) -> str:
    """The pod's name under the Service's domain; only a pod that says it belongs to that subdomain has one."""
    return pod.spec.hostname if pod.spec.subdomain == service.metadata.name else ""


def reference(pod: Pod) -> ObjectReference:
    """What an endpoint's targetRef says of the pod."""
    meta = pod.metadata
    return ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)


def endpoint(
    pod: Pod, node: Node | None, service: Service, family: str, distribution: str = ""
) -> Endpoint | None:
    """The pod as an endpoint of the Service; None if it has no address of that family.

    A terminating pod is never ready, so that old readers of slices send it nothing; `serving` says what its
    probe says. With `publishNotReadyAddresses` every pod is ready. Ready ones have the hints of the `distribution`.
    """
    own = addresses(pod, family)
    if not own:
        return None
    serving = is_ready(pod)
    terminating = pod.metadata.deletionTimestamp is not None
    ready = service.spec.publishNotReadyAddresses or (serving and not terminating)
    zone = (node.metadata.labels.get(ZONE) if node is not None else None) or None
    node_name = pod.spec.nodeName or None
    return Endpoint(
        addresses=own,
        conditions=EndpointConditions(
            ready=ready,
            serving=serving,
            terminating=terminating,
        ),
        hostname=hostname(pod, service) or None,
        targetRef=reference(pod),
        nodeName=node_name,
        zone=zone,
        hints=own_hints(distribution, zone, node_name) if ready else None,
    )


def concerns_endpoints(old: Pod, new: Pod) -> bool:
    """Whether the change of a pod can change an endpoint made of it, or which Services select it."""
    return (
        old.metadata.labels != new.metadata.labels
        or old.metadata.uid != new.metadata.uid
        or old.metadata.deletionTimestamp != new.metadata.deletionTimestamp
        or old.status.podIP != new.status.podIP
        or old.status.podIPs != new.status.podIPs
        or old.status.phase != new.status.phase
        or old.spec.nodeName != new.spec.nodeName
        or old.spec.hostname != new.spec.hostname
        or old.spec.subdomain != new.spec.subdomain
        or is_ready(old) != is_ready(new)
    )
