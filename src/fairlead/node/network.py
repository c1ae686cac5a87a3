"""A pod's link to its node: addresses from the pod CIDR, and a routed veth pair.

The pod has `eth0` with its address as a /32 (a /128 in IPv6) and a default route by way of a link-local neighbour, the
node's end of the pair; the node has a route to the pod's address. Both ends know each other's hardware address
beforehand, so the first packet waits for no ARP, and no route of the node's is needed for it to answer; proxy ARP is
on as well, for programs in the pod that flush their neighbours. Routed rather than bridged, because a pod that reaches
itself through a Service, and an ordinary user's lab, then need no module of the kernel.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from fairlead.node import namespaces
from fairlead.node.records import Address

GATEWAY = {4: "169.254.1.1", 6: "fe80::ecee:eeff:feee:eeee"}
HOST_MAC = "ee:ee:ee:ee:ee:ee"
"""Every pod's gateway has it: the pairs are links of their own, so it never meets itself."""


class AddressesExhausted(Exception):
    """All addresses of a pod CIDR are in use."""


class AddressPool:
    """Which addresses of the node's pod CIDRs are in use: one of each CIDR for a pod.

    Addresses are given out in turn, so that a freed one rests as long as possible; the first is .2 (.1 is left to the
    node, as with a bridge). It holds nothing on disk: the sandboxes' records say what is in use.
    """

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
        self._used: set[str] = set()
        self._last = [1] * len(self._networks)

    def take(self) -> tuple[Address, ...]:
        """One address of every CIDR. Raises `AddressesExhausted`, and takes none then."""
        taken: list[Address] = []
        for number, network in enumerate(self._networks):
            # The last address of an IPv4 network is its broadcast address.
            size = min(network.num_addresses, 1 << 20) - (1 if network.version == 4 else 0)
            span = size - 2
            for step in range(1, span + 1):
                offset = 2 + (self._last[number] - 2 + step) % span if span > 0 else 2
                ip = str(network[offset])
                if ip not in self._used:
                    self._last[number] = offset
                    taken.append(Address(ip))
                    break
            else:
                raise AddressesExhausted(f"no address is free in the pod CIDR {network}")
        self._used.update(address.ip for address in taken)
        return tuple(taken)

    def are_free(self, addresses: Iterable[Address]) -> bool:
        """Whether they are the node's to give, and nobody has one of them."""
        return all(
            address.ip not in self._used
            and any(ipaddress.ip_address(address.ip) in network for network in self._networks)
            for address in addresses
        )

    def claim(self, addresses: Iterable[Address]) -> None:
        """Marks the addresses of a pod that was found running as used."""
        for address in addresses:
            self._used.add(address.ip)
            for number, network in enumerate(self._networks):
                parsed = ipaddress.ip_address(address.ip)
                if parsed in network:
                    offset = int(parsed) - int(network.network_address)
                    self._last[number] = max(self._last[number], offset)

    def give_back(self, addresses: Iterable[Address]) -> None:
        """The pod is gone: its addresses are free."""
        self._used.difference_update(address.ip for address in addresses)


def host_interface(uid: str) -> str:
    """The name of the node's end of a pod's pair: at most 15 bytes, the kernel's limit."""
    return "fl" + hashlib.sha256(uid.encode()).hexdigest()[:10]


def pod_mac(uid: str) -> str:
    """A hardware address of a pod's own: locally administered, unicast."""
    digest = hashlib.sha256(uid.encode()).hexdigest()
    return ":".join(["02", *(digest[i : i + 2] for i in range(10, 20, 2))])


def connect(node: int, uid: str, addresses: Sequence[Address]) -> None:
    """Links the calling thread's network namespace, the pod's, with that of the node (a file descriptor).

    Blocks for about 10 ms; meant for the sandbox's process. Raises `OSError`.
    """
    try:
        _connect(node, uid, addresses)
    except NetlinkError as error:
        raise OSError(error.code, f"cannot link the pod with its node: {error.args[1]}") from error
    # As containerd has it by default: any user of a pod may bind to port 80.
    namespaces.set_sysctl("net/ipv4/ip_unprivileged_port_start", 0)


def _connect(node: int, uid: str, addresses: Sequence[Address]) -> None:
    name, mac = host_interface(uid), pod_mac(uid)
    pair = {
        "ifname": "eth0",
        "kind": "veth",
        "address": mac,
        "peer": {"ifname": name, "address": HOST_MAC, "net_ns_fd": node},
    }
    with IPRoute() as inside:
        try:
            inside.link("add", **pair)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise
            # The kernel takes its time to remove what belonged to the pod's last sandbox.
            with namespaces.entered(node):
                _disconnect_host(name)
            inside.link("add", **pair)
        eth0 = inside.link_lookup(ifname="eth0")[0]
        with namespaces.entered(node):
            _connect_host(name, mac, addresses)
        inside.link("set", index=1, state="up")
        inside.link("set", index=eth0, state="up")
        for address in addresses:
            version = 6 if address.bits == 128 else 4
            flags = {"flags": 0x02} if version == 6 else {}  # IFA_F_NODAD: nobody else is on the link
            inside.addr("add", index=eth0, address=address.ip, prefixlen=address.bits, **flags)
            gateway = GATEWAY[version]
            if version == 4:
                inside.route("add", dst=f"{gateway}/32", oif=eth0, scope="link")
            inside.neigh("replace", dst=gateway, lladdr=HOST_MAC, ifindex=eth0, state="permanent")
            inside.route("add", dst="default" if version == 4 else "::/0", gateway=gateway, oif=eth0)


def _connect_host(name: str, mac: str, addresses: Sequence[Address]) -> None:
    with IPRoute() as host:
        index = host.link_lookup(ifname=name)[0]
        namespaces.set_sysctl(f"net/ipv4/conf/{name}/proxy_arp", 1)
        # What comes from a pod has the pod's address, or it is dropped.
        namespaces.set_sysctl(f"net/ipv4/conf/{name}/rp_filter", 1)
        host.link("set", index=index, state="up")
        for address in addresses:
            host.neigh("replace", dst=address.ip, lladdr=mac, ifindex=index, state="permanent")
            host.route("replace", dst=f"{address.ip}/{address.bits}", oif=index, scope="link")


def _disconnect_host(name: str) -> None:
    with IPRoute() as host:
        for index in host.link_lookup(ifname=name):
            host.link("del", index=index)
