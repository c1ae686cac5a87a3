"""The DNS records of one Service, from the Service with its EndpointSlices and nothing else.

The rules are those of the Kubernetes DNS-Based Service Discovery specification 1.1.0, with what CoreDNS adds to it:
names for the endpoints of ClusterIP Services, reverse records for every ready endpoint, and the SRV records of all
named ports at the Service's and the endpoint's own names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from fairlead.dns.source import Endpoint, EndpointPort, EndpointSlice, Service

PRIORITY = 0
WEIGHTS = 100
"""The weights of the SRV records at one name add up to this (as in CoreDNS)."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")


class Type(IntEnum):
    """Record types that have a meaning here (RFC 1035, 2782, 3596)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


OTHERS = {15: "MX", 64: "SVCB", 65: "HTTPS", 257: "CAA"}
"""Types that clients ask for, of which there are no records here."""

_COUNTED = frozenset((*Type, *OTHERS))


def counted(kind: int) -> int:
    """A type as it is counted: those that nobody has a use for are one, 0, so that there are not 65,536 counts."""
    return kind if kind in _COUNTED else 0


class Address(NamedTuple):
    """The data of A (4 bytes) and AAAA (16 bytes)."""

    packed: bytes

    def __str__(self) -> str:
        return inet_ntop(AF_INET if len(self.packed) == 4 else AF_INET6, self.packed)


class Name(NamedTuple):
    """The data of CNAME, PTR and NS: a name in lower case without the last dot."""

    target: str

    def __str__(self) -> str:
        return f"{self.target}."


class Location(NamedTuple):
    """The data of SRV."""

    priority: int
    weight: int
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.priority} {self.weight} {self.port} {self.target}."


class Text(NamedTuple):
    """The data of TXT: one string of at most 255 bytes."""

    text: str

    def __str__(self) -> str:
        return f'"{self.text}"'


class Authority(NamedTuple):
    """The data of SOA; times in seconds."""

    nameserver: str
    mailbox: str
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int

    def __str__(self) -> str:
        return f"{self.nameserver}. {self.mailbox}. " + " ".join(str(number) for number in self[2:])


Data = Address | Name | Location | Text | Authority


class Record(NamedTuple):
    """One resource record of class IN. `name` is in lower case without the last dot; `ttl` in seconds."""

    name: str
    type: Type
    ttl: int
    data: Data

    def __str__(self) -> str:
        return f"{self.name}. {self.ttl} IN {self.type.name} {self.data}"


def packed(address: str) -> bytes | None:
    """The 4 or 16 bytes of an IP address, or None where the text is not one."""
    try:
        return inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    except (OSError, ValueError):
        return None


def address_type(address: bytes) -> Type:
    """The type of the record that holds a packed address."""
    return Type.A if len(address) == 4 else Type.AAAA


def reverse_name(address: bytes) -> str:
    """The name under in-addr.arpa (RFC 1035) or ip6.arpa (RFC 3596) that belongs to a packed address."""
    if len(address) == 4:
        return ".".join(str(octet) for octet in reversed(address)) + ".in-addr.arpa"
    return ".".join(reversed(address.hex())) + ".ip6.arpa"


def service_name(service: Service, domain: str) -> str:
    """`my-service.default.svc.cluster.local`."""
    return f"{service.metadata.name}.{service.metadata.namespace}.svc.{domain}"


def headless(service: Service) -> bool:
    """Whether the Service's name leads to its endpoints instead of a cluster address."""
    return service.spec.type != "ExternalName" and service.spec.clusterIP == "None"


def published(service: Service, endpoint: Endpoint) -> bool:
    """Whether an endpoint has records: it is ready, or its readiness is unknown, or the Service does not mind."""
    conditions = endpoint.conditions
    return (
        conditions is None
        or conditions.ready is None
        or conditions.ready
        or service.spec.publishNotReadyAddresses
    )


def endpoint_label(endpoint: Endpoint, address: str) -> str:
    """The first label of an endpoint's name: its hostname, else its address with dashes."""
    return (endpoint.hostname or address.replace(".", "-").replace(":", "-")).lower()


def records(
    service: Service, slices: Iterable[EndpointSlice], domain: str = "cluster.local", ttl: int = 30
) -> Iterator[Record]:
    """Every record that the Service owns, in a stable order, each once. `ttl` in seconds.

    `slices` are the Service's own. What is not here does not exist, but for names in between (`_tcp` over
    `_http._tcp`).
    """
    yield from service_records(service, domain, ttl)
    yield from endpoint_records(service, slices, domain, ttl)


def service_records(service: Service, domain: str, ttl: int) -> Iterator[Record]:
    """The records that do not depend on endpoints: addresses and ports of a ClusterIP, or the alias."""
    name = service_name(service, domain)
    if service.spec.type == "ExternalName":
        target = service.spec.externalName.removesuffix(".").lower()
        if is_name(target) and packed(target) is None:
            yield Record(name, Type.CNAME, ttl, Name(target))
        return
    if headless(service):
        return
    addresses = [a for text in service.spec.clusterIPs or (service.spec.clusterIP,) if (a := packed(text))]
    for address in addresses:
        yield Record(name, address_type(address), ttl, Address(address))
        yield Record(reverse_name(address), Type.PTR, ttl, Name(name))
    if addresses:
        named = [port for port in service.spec.ports if port.name]
        for port in named:
            owner = f"_{port.name}._{port.protocol}.{name}".lower()
            yield Record(owner, Type.SRV, ttl, Location(PRIORITY, WEIGHTS, port.port, name))
        numbers = dict.fromkeys(port.port for port in named)
        for number in numbers:
            yield Record(name, Type.SRV, ttl, Location(PRIORITY, WEIGHTS // len(numbers) or 1, number, name))


def endpoint_records(
    service: Service, slices: Iterable[EndpointSlice], domain: str, ttl: int
) -> Iterator[Record]:
    """The records that come and go with endpoints: their names, and all of a headless Service's own."""
    if service.spec.type == "ExternalName":
        return
    name = service_name(service, domain)
    at_service = headless(service)
    seen: set[tuple[str, bytes]] = set()
    locations: dict[str, dict[tuple[int, str], None]] = {}
    for piece in slices:
        if piece.addressType not in ("IPv4", "IPv6"):
            continue
        named = [port for port in piece.ports if port.name and port.port]
        for endpoint in piece.endpoints:
            if not published(service, endpoint):
                continue
            for text in endpoint.addresses:
                address = packed(text)
                if address is None:
                    continue
                owner = f"{endpoint_label(endpoint, text)}.{name}"
                if (owner, address) not in seen:
                    seen.add((owner, address))
                    kind = address_type(address)
                    yield Record(owner, kind, ttl, Address(address))
                    yield Record(reverse_name(address), Type.PTR, ttl, Name(owner))
                    if at_service and ("", address) not in seen:
                        seen.add(("", address))
                        yield Record(name, kind, ttl, Address(address))
                for port in named:
                    _locate(locations, port, owner, name, at_service)
    for owner, targets in locations.items():
        weight = max(1, WEIGHTS // len(targets))
        for number, target in targets:
            yield Record(owner, Type.SRV, ttl, Location(PRIORITY, weight, number, target))


def _locate(
    locations: dict[str, dict[tuple[int, str], None]],
    port: EndpointPort,
    endpoint: str,
    service: str,
    at_service: bool,
) -> None:
    """Notes one port of an endpoint under each name that has an SRV record for it."""
    where = (port.port or 0, endpoint)
    locations.setdefault(endpoint, {})[where] = None
    if at_service:
        owner = f"_{port.name}._{port.protocol or 'TCP'}.{service}".lower()
        locations.setdefault(owner, {})[where] = None
        locations.setdefault(service, {})[where] = None


def is_name(text: str) -> bool:
    """Whether `text` can stand in a record as a name: labels of 1 to 63 letters, digits, dashes; 253 in all."""
    return 0 < len(text) <= 253 and all(_LABEL.match(label) for label in text.split("."))
