"""What the DNS server is to do, as a value, made by hand or from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.dns.forward import Upstream, nameservers, upstream
from fairlead.dns.records import is_name


@dataclass(frozen=True)
class DnsConfig:
    """What the server is to do. Raises ValueError, with the value in it, for what cannot be.

    `ttl` is in seconds; `upstreams` are asked for names outside the cluster, none means REFUSED; `pods` answers
    `1-2-3-4.NAMESPACE.pod` names; `nameserver` is the Service (`namespace/name`) by which clients reach this server;
    `cookie_secret` is shared by servers behind one address; `workers` is the number of processes that share the port.
    """

    listen: tuple[tuple[str, int], ...] = (("0.0.0.0", 53),)  # noqa: S104
    domain: str = "cluster.local"
    workers: int = 1
    ttl: int = 30
    upstreams: tuple[Upstream, ...] = ()
    pods: bool = True
    nameserver: str = "kube-system/kube-dns"
    cookie_secret: bytes = b""
    answers: int = 32_768

    def __post_init__(self) -> None:
        if not is_name(self.domain):
            raise ValueError(f"domain {self.domain!r} is not a name in lower case without a dot at its end")
        if not 0 <= self.ttl <= 3600:
            raise ValueError(f"ttl {self.ttl} is not from 0 to 3600 seconds")
        if self.workers < 1:
            raise ValueError(f"workers {self.workers} is not 1 or more")


def from_environment(environment: Mapping[str, str]) -> DnsConfig:
    """The configuration that `FAIRLEAD_DNS_*` variables give. Raises ValueError with the variable's name in it.

    `LISTEN` (addresses, by default 0.0.0.0), `PORT` (53), `DOMAIN`, `TTL`, `WORKERS`, `PODS` (`insecure` or
    `disabled`), and `UPSTREAMS`: addresses, `none`, or by default those of /etc/resolv.conf.
    """

    def value(name: str, default: str) -> str:
        return environment.get(f"FAIRLEAD_DNS_{name}", "") or default

    def number(name: str, default: int) -> int:
        text = value(name, str(default))
        if not text.isdecimal():
            raise ValueError(f"FAIRLEAD_DNS_{name}: {text!r} is not a number")
        return int(text)

    servers = value("UPSTREAMS", "")
    if servers == "none":
        upstreams: tuple[Upstream, ...] = ()
    elif servers:
        upstreams = tuple(upstream(text) for text in _words(servers))
    else:
        upstreams = nameservers()
    pods = value("PODS", "insecure")
    if pods not in ("insecure", "disabled"):
        raise ValueError(f"FAIRLEAD_DNS_PODS: {pods!r} is neither insecure nor disabled")
    port = number("PORT", 53)
    return DnsConfig(
        listen=tuple((address, port) for address in _words(value("LISTEN", "0.0.0.0"))),  # noqa: S104
        domain=value("DOMAIN", "cluster.local").rstrip(".").lower(),
        ttl=number("TTL", 30),
        workers=number("WORKERS", 1),
        upstreams=upstreams,
        pods=pods == "insecure",
    )


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
