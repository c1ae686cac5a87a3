"""The names of the chains, which are kube-proxy's own: scripts and people look for them."""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256
from typing import NamedTuple

NAT, FILTER, MANGLE = "nat", "filter", "mangle"


class Chain(NamedTuple):
    """A chain and the table that it stands in."""

    table: str
    name: str


SERVICES = Chain(NAT, "KUBE-SERVICES")
NODE_PORTS = Chain(NAT, "KUBE-NODEPORTS")
POSTROUTING = Chain(NAT, "KUBE-POSTROUTING")
MARK_MASQ = Chain(NAT, "KUBE-MARK-MASQ")
MARK_FOREIGN = Chain(NAT, "KUBE-MARK-FOREIGN")
"""Ours alone: marks what comes from no pod, where one match cannot say that because pods have several networks."""

UNSERVED = Chain(FILTER, "KUBE-SERVICES")
UNSERVED_EXTERNAL = Chain(FILTER, "KUBE-EXTERNAL-SERVICES")
CLUSTER_IPS = Chain(FILTER, "KUBE-CLUSTER-IPS")
"""Ours alone: refuses what is sent to a ClusterIP on a port that it does not have, drops what no Service has.
What a Service took is translated before it comes here, so that it costs the others one comparison."""
HEALTH_PORTS = Chain(FILTER, "KUBE-NODEPORTS")
FORWARD = Chain(FILTER, "KUBE-FORWARD")
FIREWALL = Chain(FILTER, "KUBE-PROXY-FIREWALL")
LOCALNET = Chain(FILTER, "KUBE-FIREWALL")
"""The kubelet's too, so that it is never emptied."""

CANARY = "KUBE-PROXY-CANARY"
CANARIES = tuple(Chain(table, CANARY) for table in (MANGLE, NAT, FILTER))
"""Empty chains. Where they are gone, somebody flushed the tables."""
KUBELET_CANARY = Chain(MANGLE, "KUBE-KUBELET-CANARY")
"""Says that a kubelet looks after `LOCALNET`."""

SHARED = frozenset((SERVICES, POSTROUTING, MARK_MASQ, MARK_FOREIGN, FORWARD, FIREWALL))
"""What the ipvs mode has too, under the same names and with rules of its own."""

PORTALS = (SERVICES, NODE_PORTS, UNSERVED, CLUSTER_IPS, UNSERVED_EXTERNAL, HEALTH_PORTS, FIREWALL)
"""Chains that all Services share: the order of their rules does not matter, for no packet fits two of them.
Each stands before those that it leads to."""
CONSTANT = (POSTROUTING, MARK_MASQ, MARK_FOREIGN, FORWARD)

_PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-")
_OURS = frozenset((*PORTALS, *CONSTANT, *CANARIES))


def port_hash(port: str, protocol: str, endpoint: str = "") -> str:
    """Sixteen characters for a Service port (`namespace/name:port`), or for one of its endpoints."""
    return b32encode(sha256(f"{port}{protocol}{endpoint}".encode()).digest()[:10]).decode()


def is_service_chain(name: str) -> bool:
    """Whether a chain of the table nat belongs to one Service."""
    return name.startswith(_PREFIXES)


def is_ours(chain: Chain) -> bool:
    """Whether the proxy made the chain, in this mode. `LOCALNET` is nobody's."""
    return chain in _OURS or (chain.table == NAT and is_service_chain(chain.name))
