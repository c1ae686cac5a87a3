"""What the DNS server is to do, as a value, made by hand, from the environment or by `configfile`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from fairlead.dns.cache import CacheLimits
from fairlead.dns.records import is_name, packed
from fairlead.dns.upstreams import Upstream, nameservers, upstream

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PODS = ("disabled", "insecure", "verified")
"""Which names `1-2-3-4.NAMESPACE.pod` exist: none, all, those of pods that there are. As CoreDNS's `pods`."""

PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Where clients are by default whose questions are put to other servers: nobody from the Internet (RFC 5358)."""


MOST_WORKERS = 64

_SERVICE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class DnsConfig:
    """What the server is to do. Raises ValueError, with the value in it, for what cannot be.

    `ttl` is in seconds; `upstreams` are asked for names outside the cluster, none means REFUSED, or NXDOMAIN where the
    cluster is `alone`, `stubs` for those below a domain, on behalf of clients in `recursion`, and `trusted` has
    certificates for TLS; `hosts` gives addresses to names; `pods` is one of PODS; `autopath` answers a pod's search at
    its first question; `transfer` is who may have the whole zone; `nameserver` is the Service (`namespace/name`) by
    which clients reach this server; `cookie_secret` is shared by servers behind one address; `workers` is the number
    of processes that share the port; `answers` bounds the answers kept ready; `sample` is the share of queries that is
    looked at and, with `log`, written to the log.
    """

    listen: tuple[tuple[str, int], ...] = (("0.0.0.0", 53),)  # noqa: S104
    domain: str = "cluster.local"
    workers: int = 1
    ttl: int = 30
    upstreams: tuple[Upstream, ...] = ()
    alone: bool = False
    stubs: Mapping[str, tuple[Upstream, ...]] = field(default_factory=dict)
    recursion: tuple[Network, ...] = PRIVATE
    trusted: Path | None = None
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pods: str = "insecure"
    autopath: bool = False
    transfer: tuple[Network, ...] = ()
    nameserver: str = "kube-system/kube-dns"
    cookie_secret: bytes = b""
    answers: int = 16_384
    cache: CacheLimits = field(default_factory=CacheLimits)
    sample: float = 1 / 256
    log: bool = False

    def __post_init__(self) -> None:
        if not self.listen:
            raise ValueError("listen has no address to answer on")
        twice = next((place for place in self.listen if place[1] and self.listen.count(place) > 1), None)
        if twice is not None:
            raise ValueError(f"listen has {twice[0]} port {twice[1]} twice")
        if not is_name(self.domain):
            raise ValueError(f"domain {self.domain!r} is not a name in lower case without a dot at its end")
        if self.domain == "arpa" or f".{self.domain}".endswith((".in-addr.arpa", ".ip6.arpa")):
            raise ValueError(f"domain {self.domain!r} is where addresses have their names")
        if not 0 <= self.ttl <= 3600:
            raise ValueError(f"ttl {self.ttl} is not from 0 to 3600 seconds")
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"workers {self.workers} is not from 1 to {MOST_WORKERS}")
        if not _SERVICE.fullmatch(self.nameserver):
            raise ValueError(f"nameserver {self.nameserver!r} is not a Service as NAMESPACE/NAME")
        if not 1 <= self.answers <= 1 << 24:
            raise ValueError(f"answers {self.answers} is not from 1 to {1 << 24}")
        if self.pods not in PODS:
            raise ValueError(f"pods {self.pods!r} is none of {', '.join(PODS)}")
        if self.autopath and self.pods != "verified":
            raise ValueError(
                f"autopath needs pods verified, not {self.pods}: it has to know a client's namespace"
            )
        if not 0 <= self.sample <= 1:
            raise ValueError(f"sample {self.sample} is not from 0 to 1")
        for name, servers in self.stubs.items():
            if not is_name(name):
                raise ValueError(f"stub domain {name!r} is not a name in lower case without a dot at its end")
            if not servers:
                raise ValueError(f"stub domain {name!r} has no server to ask")
            if f".{name}".endswith(f".{self.domain}"):
                raise ValueError(
                    f"stub domain {name!r} is answered from the cluster, whose domain is {self.domain}"
                )
        for address, names in self.hosts.items():
            if packed(address) is None:
                raise ValueError(f"hosts: {address!r} is not an address")
            for name in names:
                if not is_name(name.lower().removesuffix(".")):
                    raise ValueError(f"hosts: {name!r} is not a name")


def from_environment(environment: Mapping[str, str]) -> DnsConfig:
    """The configuration that `FAIRLEAD_DNS_*` variables give. Raises ValueError with the variable's name in it.

    `LISTEN` (addresses, by default 0.0.0.0), `PORT` (53), `DOMAIN`, `TTL`, `WORKERS`, `PODS` (one of PODS), and
    `UPSTREAMS`: addresses, `none`, `nowhere` (there are no other names: NXDOMAIN), or by default those of
    /etc/resolv.conf.
    """

    def value(name: str, default: str) -> str:
        return environment.get(f"FAIRLEAD_DNS_{name}", "") or default

    def number(name: str, default: int) -> int:
        text = value(name, str(default))
        if not text.isdecimal():
            raise ValueError(f"FAIRLEAD_DNS_{name}: {text!r} is not a number")
        return int(text)

    servers = value("UPSTREAMS", "")
    if servers in ("none", "nowhere"):
        upstreams: tuple[Upstream, ...] = ()
    elif servers:
        upstreams = tuple(upstream(text) for text in _words(servers))
    else:
        upstreams = nameservers()
    pods = value("PODS", "insecure")
    if pods not in PODS:
        raise ValueError(f"FAIRLEAD_DNS_PODS: {pods!r} is none of {', '.join(PODS)}")
    port = number("PORT", 53)
    return DnsConfig(
        listen=tuple((address, port) for address in _words(value("LISTEN", "0.0.0.0"))),  # noqa: S104
        domain=value("DOMAIN", "cluster.local").rstrip(".").lower(),
        ttl=number("TTL", 30),
        workers=number("WORKERS", 1),
        upstreams=upstreams,
        alone=servers == "nowhere",
        pods=pods,
    )


def within(networks: Sequence[Network]) -> Callable[[str], bool]:
    """What says whether an address, as a text, is in one of the networks; it remembers the last few thousand."""

    @lru_cache(maxsize=4_096)
    def inside(text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped.version == network.version and mapped in network for network in networks)

    return inside


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
