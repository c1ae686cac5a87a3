"""Which nodes announce which address. Pure.

In layer 2 one node answers for an address, in BGP all that may carry its traffic say so. Every node decides for itself,
from the same objects, so nothing has to be agreed on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b

from fairlead.loadbalancer.pools import Address, parse_address
from fairlead.loadbalancer.requests import CLASS, is_ours
from fairlead.objects.core_v1 import Node, Service
from fairlead.objects.discovery_v1 import EndpointSlice

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


def addresses(service: Service, *, default: bool, name: str = CLASS) -> tuple[Address, ...]:
    """The addresses to announce for the Service: those of its status that packets arrive at unchanged.

    None that another's load balancer gave (`is_ours`), nor those of `ipMode: Proxy`, whose traffic takes another way.
    """
    if service.status is None or not is_ours(service, default=default, name=name):
        return ()
    found = []
    for ingress in service.status.loadBalancer.ingress:
        if ingress.ip and ingress.ipMode != "Proxy":
            with contextlib.suppress(ValueError):  # what another wrote cannot be announced
                found.append(parse_address(ingress.ip))
    return tuple(found)


def is_eligible(node: Node) -> bool:
    """Whether traffic from outside may come to the node at all."""
    return EXCLUDED not in node.metadata.labels and node.metadata.deletionTimestamp is None


def is_ready(node: Node) -> bool:
    """Whether the node says that it is Ready."""
    return node.status is not None and any(
        condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions
    )


def carriers(service: Service, slices: Iterable[EndpointSlice], nodes: Mapping[str, Node]) -> frozenset[str]:
    """The nodes, by name, that may take the Service's traffic from outside.

    Under externalTrafficPolicy Local those with an endpoint that is ready, else all. Of them those that are Ready; if
    none is, all: nodes that have lost the API server together still forward (KEP-3458). Cost: nodes, or endpoints.
    """
    local = service.spec is not None and service.spec.externalTrafficPolicy == "Local"
    names: Collection[str] = nodes.keys()
    if local:
        names = {
            endpoint.nodeName
            for piece in slices
            for endpoint in piece.endpoints
            # API: endpointslice.endpoints.conditions.ready: unknown counts as ready
            if endpoint.nodeName and (endpoint.conditions is None or endpoint.conditions.ready is not False)
        }
    able = {name for name in names if name in nodes and is_eligible(nodes[name])}
    return frozenset({name for name in able if is_ready(nodes[name])} or able)


def shared(of_services: Iterable[frozenset[str]]) -> frozenset[str]:
    """The nodes for an address that several Services share: those that serve all that are served anywhere.

    Where there is no such node, any that serves one of them.
    """
    served = [names for names in of_services if names]
    return frozenset.intersection(*served) or frozenset.union(*served) if served else frozenset()


def rank(node: str, address: Address) -> bytes:
    """Where the node stands in the election for the address: the lowest announces it."""
    return blake2b(f"{node}#{address}".encode(), digest_size=16).digest()


def announcer(address: Address, candidates: Iterable[str]) -> str:
    """The node that announces the address in layer 2; "" if there is no candidate.

    Rendezvous hashing: when a node comes or goes, only addresses that it gets or had move. Cost: about a microsecond a
    candidate.
    """
    return min(candidates, key=lambda node: (rank(node, address), node), default="")
