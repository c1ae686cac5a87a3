"""The two IP families as the proxy's tables see them."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import collapse_addresses, ip_network

PROTOCOLS = {"TCP": socket.IPPROTO_TCP, "UDP": socket.IPPROTO_UDP, "SCTP": socket.IPPROTO_SCTP}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


@dataclass(frozen=True, slots=True)
class Family:
    """One family: its names in nftables, in slices, in sockets."""

    table: str
    """nftables' word: `ip` or `ip6`; our table is `ip fairlead`."""
    address_type: str
    """`addressType` of the slices that belong to it."""
    number: int
    """AF_INET or AF_INET6; nfnetlink's `nfgen_family` has the same values."""
    size: int
    """Octets of an address."""

    @property
    def words(self) -> int:
        """Registers of the kernel, of four octets each, that an address takes."""
        return self.size // 4

    def pack(self, address: str) -> bytes | None:
        """The address in network order, or None where the text is none of this family."""
        try:
            return socket.inet_pton(self.number, address)
        except (OSError, ValueError):
            return None

    def only(self, cidrs: Iterable[str]) -> tuple[str, ...]:
        """The networks that belong to this family, in as few as possible: kernels take none that overlap."""
        networks = [ip_network(cidr, strict=False) for cidr in cidrs if (":" in cidr) == (self.size == 16)]
        return tuple(map(str, collapse_addresses(networks)))  # type: ignore[type-var]

    def text(self, address: bytes) -> str:
        """The address as people write it."""
        return socket.inet_ntop(self.number, address)


IPV4 = Family("ip", "IPv4", socket.AF_INET, 4)
IPV6 = Family("ip6", "IPv6", socket.AF_INET6, 16)
