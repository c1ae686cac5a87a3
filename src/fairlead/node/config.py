"""What a node's agent has to be told."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fairlead.node import environment, images, machine, resolver
from fairlead.node.heartbeat import LEASE_SECONDS
from fairlead.node.images import Image
from fairlead.node.kubelet.config import KubeletConfig
from fairlead.objects.core_v1 import Container, Pod

ZONE = "topology.kubernetes.io/zone"

USUAL_PODS = 250
"""Pods of a node with a usual pod CIDR, a /24."""


@dataclass(frozen=True)
class NodeConfig:
    """A node. The agent has to run in the node's network namespace, which has `addresses`.

    `state_directory` is where the pods are remembered: the same for the next agent of this node, on a file system
    that does not outlive the machine's boot.
    `shared_claims` is where the folders of persistent volume claims are, the same for nodes that share them, and says
    that somebody binds claims, which pods wait for; by default each node has its own, and pods wait for nobody.
    `api_service` is the address and port of the Service `kubernetes`, for the containers' environment.
    """

    name: str
    addresses: Sequence[str]
    pod_cidrs: Sequence[str]
    state_directory: Path
    labels: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    api_service: tuple[str, int] | None = None
    kubelet: KubeletConfig | None = None
    """How logs, commands and ports of the pods are served; None: not at all."""
    shared_claims: Path | None = None
    linked: Callable[[str, int], Awaitable[None]] | None = None
    """Awaited when a pod has a new network: its uid, and the process that has it."""
    lease_seconds: int = LEASE_SECONDS
    """How long the node's Lease is good for. It is renewed four times in that time."""

    @property
    def claims_directory(self) -> Path:
        """Where the folders of persistent volume claims are."""
        return self.shared_claims or self.state_directory / "claims"

    @cached_property
    def allocatable(self) -> Mapping[str, str]:
        """What pods may use of this machine, by resource: all of it, for every node of it."""
        return machine.resources(self.state_directory) | {"pods": str(pods_of(self.pod_cidrs))}

    @property
    def shared_paths(self) -> tuple[str, ...]:
        """Host paths that pods see wherever they lie: this program itself, of which built-in images may import more."""
        return (sys.prefix, str(Path(__file__).resolve().parents[2]))

    def environment(self, pod: Pod, container: Container) -> dict[str, str]:
        """What a container's environment begins with."""
        host = self.name if pod.spec.hostNetwork else resolver.hostname(pod)
        values = {"PATH": environment.PATH, "HOSTNAME": host}
        found = images.find(container.image, self.images)
        if found is not None:
            values.update(found[1].environment)
        if self.api_service is not None:
            address, port = self.api_service
            endpoint = f"tcp://{address}:{port}"
            prefix = f"KUBERNETES_PORT_{port}_TCP"
            values |= {
                "KUBERNETES_SERVICE_HOST": address,
                "KUBERNETES_SERVICE_PORT": str(port),
                "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
                "KUBERNETES_PORT": endpoint,
                prefix: endpoint,
                f"{prefix}_PROTO": "tcp",
                f"{prefix}_PORT": str(port),
                f"{prefix}_ADDR": address,
            }
        if found is not None and found[1].run is not None:
            declared = (f"{port.containerPort}/{port.protocol or 'TCP'}" for port in container.ports)
            values |= {
                "FAIRLEAD_POD_NAME": pod.metadata.name,
                "FAIRLEAD_POD_NAMESPACE": pod.metadata.namespace,
                "FAIRLEAD_NODE_NAME": self.name,
                "FAIRLEAD_NODE_ZONE": self.labels.get(ZONE, ""),
                "FAIRLEAD_CONTAINER_PORTS": ",".join(declared),
            }
        return values


def pods_of(cidrs: Sequence[str]) -> int:
    """How many pods a node says it can have: 250, or as many as it has addresses for where it was given more."""
    size = min((ipaddress.ip_network(cidr).num_addresses for cidr in cidrs), default=0)
    return size - 3 if size > 256 else USUAL_PODS
