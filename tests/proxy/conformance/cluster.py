"""A dataplane on each node of the topology, told of Services by hand: what a proxy is without an API."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from fairlead.objects.core_v1 import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)
from fairlead.objects.discovery_v1 import EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.proxy import modes
from fairlead.proxy.connections import Connections
from fairlead.proxy.conntrack import noting
from fairlead.proxy.dataplane import Selected
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.ipvs.interface import NAME as INTERFACE
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.resources import SERVICE_NAME, Endpoint, EndpointSlice
from fairlead.proxy.selection import Node
from tests.proxy.topology import ADDRESSES, NODE_OF, NODES, POD_CIDRS, PORT, SERVICE_CIDRS, ZONES, Topology
from tests.waiting import LIMIT

NODE_PORT = 30080


@dataclass(frozen=True)
class On:
    """An endpoint: on which pod or node, and what its slice says of it."""

    place: str
    ready: bool | None = True
    serving: bool | None = None
    terminating: bool | None = None
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    def endpoint(self, family: Family) -> Endpoint:
        hints = None
        if self.zones or self.nodes:
            hints = EndpointHints(
                forZones=tuple(ForZone(name=zone) for zone in self.zones),
                forNodes=tuple(ForNode(name=node) for node in self.nodes),
            )
        return Endpoint(
            addresses=(ADDRESSES[family][self.place],),
            nodeName=NODE_OF.get(self.place, self.place),
            conditions=EndpointConditions(
                ready=self.ready, serving=self.serving, terminating=self.terminating
            ),
            hints=hints,
        )


Served = str | Iterable[On]
"""Endpoints: those of `On`, or ready ones on the pods of these letters."""


class NodeProxy:
    """One node's ledger and dataplane, of one mode and family."""

    def __init__(
        self, network: Topology, node: str, mode: str, family: Family, options: ProxyOptions
    ) -> None:
        self._network, self._node, self._mode, self._options = network, node, modes.load(mode), options
        packed = family.pack(ADDRESSES[family][node])
        assert packed is not None
        self.ledger = Ledger(Node(node, (packed,), ZONES[node]), family)
        self.family = family
        self.start()

    def start(self) -> None:
        """A process with the same knowledge of the API, which finds the kernel as it is."""
        self.dataplane = self._network.inside(
            self._node, lambda: self._mode.dataplane(self._options, self.family)
        )
        self._connections = self._network.inside(self._node, lambda: Connections(self.family))
        self.forgotten = 0
        """How many connections the kernel was made to forget after the last commit."""
        try:
            self._network.inside(self._node, lambda: self.dataplane.node_changed(self.ledger.node.addresses))
            self.rebuild()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """The process ends; the kernel goes on."""
        self.dataplane.close()
        self._connections.close()

    def rebuild(self) -> None:
        """As after a doubt about what the kernel holds."""
        changes: dict[str, Selected] = {}
        everything = noting(self.ledger.everything, changes)
        self._network.inside(self._node, lambda: self.dataplane.rebuild(everything))
        self._connections.restart()
        self.forgotten = self._connections.changed(changes)

    def sync(self) -> None:
        """Takes what the ledger was told into the kernel."""
        changes = self.ledger.changes()
        self._network.inside(self._node, lambda: self.dataplane.commit(changes))
        self._network.inside(self._node, wait_for_addresses)
        self.forgotten = self._connections.changed(changes)

    def harmed(self) -> bool:
        """Whether it notices that somebody touched its rules."""
        return self._network.inside(self._node, self.dataplane.harmed)

    def cleanup(self) -> None:
        """Ends, and leaves nothing."""
        self.stop()
        self._network.inside(self._node, lambda: self._mode.cleanup(self.family))


def wait_for_addresses() -> None:
    """Until what is sent to an address of `kube-ipvs0` stays here: in IPv6 the kernel sees to that a moment later."""
    added = {words[0] for words in fields("/proc/thread-self/net/if_inet6") if words[5] == INTERFACE}
    deadline = time.monotonic() + LIMIT
    while added - {words[0] for words in fields("/proc/thread-self/net/ipv6_route") if words[1] == "80"}:
        assert time.monotonic() < deadline, "the addresses of kube-ipvs0 are not the node's"
        time.sleep(0.001)


def fields(path: str) -> list[list[str]]:
    return [line.split() for line in Path(path).read_text().splitlines()]


class Cluster:
    """The proxies of both nodes, which are told of the same Services."""

    def __init__(self, network: Topology, mode: str, family: Family, **options: object) -> None:
        self.network, self.mode, self.family = network, mode, family
        self.proxies: dict[str, NodeProxy] = {}
        self._slices: dict[str, EndpointSlice] = {}
        for node in NODES:
            # Others flush the rules here, as they can before Linux 6.9 (`test_ownership` has the rest).
            settings = ProxyOptions(LocalPods(POD_CIDRS[node]), SERVICE_CIDRS, own_table=False, **options)  # type: ignore[arg-type]
            self.proxies[node] = NodeProxy(network, node, mode, family, settings)

    def serve(self, service: Service, on: Served, port: int = PORT) -> None:
        """Service and endpoints come, or become, so."""
        meta = service.metadata
        key = f"{meta.namespace}/{meta.name}"
        assert service.spec is not None
        chosen = [On(place) for place in on] if isinstance(on, str) else on
        piece = EndpointSlice(
            metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, labels={SERVICE_NAME: meta.name}),
            addressType=self.family.address_type,
            endpoints=tuple(each.endpoint(self.family) for each in chosen),
            ports=tuple(
                EndpointPort(name=p.name, port=port, protocol=p.protocol) for p in service.spec.ports
            ),
        )
        for proxy in self.proxies.values():
            proxy.ledger.service_changed(key, service)
            proxy.ledger.slice_changed(key, self._slices.get(key), piece)
        self._slices[key] = piece
        self.sync()

    def remove(self, key: str) -> None:
        """The Service and its slice go."""
        piece = self._slices.pop(key)
        for proxy in self.proxies.values():
            proxy.ledger.service_changed(key, None)
            proxy.ledger.slice_changed(key, piece, None)
        self.sync()

    def clear(self) -> None:
        """No Service is left, and no connection is remembered."""
        for key in list(self._slices):
            self.remove(key)
        # A datagram from a port that an earlier test used would follow the translation made for that one.
        for place in ("outside", *NODES):
            self.network.inside(place, forget_connections)

    def sync(self) -> None:
        """Takes what was told into both kernels."""
        for proxy in self.proxies.values():
            proxy.sync()

    def cleanup(self) -> None:
        """Ends both proxies, and leaves nothing."""
        for proxy in self.proxies.values():
            proxy.cleanup()


def forget_connections() -> None:
    """Empties the connection table of this network namespace."""
    with NFCTSocket() as table:
        table.flush()


class Frontends:
    """The addresses of the Service under test in one family, by the name that the tables use."""

    def __init__(self, family: Family) -> None:
        four = family is IPV4
        self.family = family
        self.cluster = "10.96.0.100" if four else "fd00:96::100"
        self.external = "203.0.113.5" if four else "fd00:203::5"
        self.balanced = "203.0.113.6" if four else "fd00:203::6"
        self.proxied = "203.0.113.7" if four else "fd00:203::7"
        self._at = {
            "clusterIP": (self.cluster, 80),
            "another port of the clusterIP": (self.cluster, 81),
            "a free address": ("10.96.0.200" if four else "fd00:96::200", 80),
            "externalIP": (self.external, 80),
            "another port of the externalIP": (self.external, 81),
            "loadBalancer": (self.balanced, 80),
            "loadBalancer of ipMode Proxy": (self.proxied, 80),
            "localhost's nodePort": ("127.0.0.1" if four else "::1", NODE_PORT),
        }
        for place in ("node1", "node2", "node1-other", "node2-other"):
            self._at[f"{place}'s nodePort"] = (ADDRESSES[family][place], NODE_PORT)

    def __getitem__(self, name: str) -> tuple[str, int]:
        return self._at[name]

    def service(self, name: str = "web", **spec: object) -> Service:
        """A Service of TCP and UDP port 80. `spec` is the API's, without addresses: its type says which it has.

        A LoadBalancer has an address of each ipMode, and every type but ClusterIP an externalIP. `timeout` is
        that of its session affinity.
        """
        type = spec.get("type", "ClusterIP")
        timeout = spec.pop("timeout", None)
        if timeout is not None:
            config = SessionAffinityConfig(clientIP=ClientIPConfig(timeoutSeconds=timeout))  # type: ignore[arg-type]
            spec |= {"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}
        ports = tuple(
            ServicePort(name=p, port=80, protocol=p, nodePort=0 if type == "ClusterIP" else NODE_PORT)
            for p in ("TCP", "UDP")
        )
        fields = {
            "clusterIPs": (spec.pop("clusterIP", self.cluster),),
            "ports": ports,
            "externalIPs": () if type == "ClusterIP" else (self.external,),
            **spec,
        }
        status = ServiceStatus()
        if type == "LoadBalancer":
            ingress = (
                LoadBalancerIngress(ip=self.balanced),
                LoadBalancerIngress(ip=self.proxied, ipMode="Proxy"),
            )
            status = ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=ingress))
        return Service(
            metadata=ObjectMeta(name=name, namespace="default"),
            spec=ServiceSpec(**fields),  # type: ignore[arg-type]
            status=status,
        )
