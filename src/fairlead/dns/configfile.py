"""The configuration as a file of YAML, read with the line of what is wrong in it."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fairlead.dns.cache import CacheLimits
from fairlead.dns.config import PRIVATE, DnsConfig, Network
from fairlead.dns.upstreams import Upstream, nameservers, upstream

RESOLV_CONF = "/etc/resolv.conf"
"""Need not be there, as any that is named."""

LONGEST = 1 << 18
"""Bytes of a configuration at most."""


class _Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What has no other fields than those it has."""


class _Forward(_Part, frozen=True):
    to: tuple[str, ...] = (RESOLV_CONF,)
    allow: tuple[str, ...] | None = None
    trust: str = ""
    stubs: dict[str, tuple[str, ...]] = {}


class _Cache(_Part, frozen=True):
    entries: int = 8_192
    longest: int = 3_600
    shortest: int = 0
    longestMissing: int = 30
    stale: int = 3_600
    prefetch: bool = True


class _Queries(_Part, frozen=True):
    sample: float = 1 / 256
    log: bool = False


class _File(_Part, frozen=True):
    """The file as it stands there; `docs/dns.md` says what each means."""

    listen: tuple[str, ...] = ("0.0.0.0",)  # noqa: S104
    domain: str = "cluster.local"
    workers: int = 1
    ttl: int = 30
    answers: int = 16_384
    pods: str = "insecure"
    autopath: bool = False
    nameserver: str = "kube-system/kube-dns"
    forward: _Forward = _Forward()
    cache: _Cache = _Cache()
    hosts: dict[str, tuple[str, ...]] = {}
    transfer: tuple[str, ...] = ()
    queries: _Queries = _Queries()


class _Wrong(ValueError):
    """What is wrong, and where: the way to it through the document, or its line."""

    def __init__(self, where: tuple[str | int, ...], why: str, line: int = 0) -> None:
        super().__init__(why)
        self.where = where
        self.line = line


def read(path: Path) -> DnsConfig:
    """The configuration in a file. Raises ValueError with its name, the line and what is wrong there."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
        if len(data) > LONGEST:
            raise ValueError(f"{path}: more than {LONGEST} bytes are no configuration")
        return parse(data.decode(), str(path))
    except OSError as error:
        raise ValueError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from error


def parse(text: str, name: str) -> DnsConfig:
    """The configuration that a text gives; `name` is what errors call it. Raises ValueError."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        document = yaml.load(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error)
        raise ValueError(f"{name}, line {mark.line + 1 if mark else 1}: {said}") from None
    try:
        _once(root)
        file = msgspec.convert(_without_empty({} if document is None else document), _File)
        return _config(file)
    except msgspec.ValidationError as error:
        why, _, at = str(error).partition(" - at `")
        raise ValueError(f"{name}, line {_line(root, _way(at))}: {why}") from None
    except _Wrong as error:
        raise ValueError(f"{name}, line {error.line or _line(root, error.where)}: {error}") from None


def _once(root: yaml.Node | None) -> None:
    """Refuses a field that stands there twice, of which YAML's reader would take the last."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias, which may lead back to where it stands
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, value in node.value:
                if str(key.value) in names:
                    raise _Wrong((), f"`{key.value}` is there twice", key.start_mark.line + 1)
                names.add(str(key.value))
                waiting.append(value)


def _without_empty(document: Any) -> Any:
    """A field without a value, as one whose own fields are all commented out, is as one that is left out."""

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: value for name, value in part.items() if value is not None}
        return part

    return (
        {name: filled(part) for name, part in filled(document).items()}
        if isinstance(document, dict)
        else document
    )


def _config(file: _File) -> DnsConfig:
    forward, cache = file.forward, file.cache
    limits = _checked(
        ("cache",),
        lambda: CacheLimits(
            cache.entries, cache.longest, cache.shortest, cache.longestMissing, cache.stale, cache.prefetch
        ),
    )
    fields: dict[str, Any] = {
        "domain": _lower(file.domain),
        "workers": file.workers,
        "ttl": file.ttl,
        "answers": file.answers,
        "pods": file.pods,
        "nameserver": file.nameserver,
        "hosts": file.hosts,
    }
    for name, value in fields.items():
        _checked((name,), lambda name=name, value=value: DnsConfig(**{name: value}))
    if forward.trust and not Path(forward.trust).is_file():
        raise _Wrong(("forward", "trust"), f"there is no file {forward.trust!r}")
    fields |= {
        "listen": tuple(_place(text, ("listen", i)) for i, text in enumerate(file.listen)),
        "upstreams": _servers(forward.to, ("forward", "to")),
        "stubs": {
            _lower(domain): _servers(servers, ("forward", "stubs", domain))
            for domain, servers in forward.stubs.items()
        },
        "recursion": _networks(forward.allow, ("forward", "allow")) if forward.allow is not None else PRIVATE,
        "trusted": Path(forward.trust) if forward.trust else None,
        "transfer": _networks(file.transfer, ("transfer",)),
        "cache": limits,
    }
    _checked(("listen",), lambda: DnsConfig(listen=fields["listen"]))
    for name in forward.stubs:
        stub = {_lower(name): fields["stubs"][_lower(name)]}
        _checked(("forward", "stubs", name), lambda stub=stub: DnsConfig(domain=fields["domain"], stubs=stub))
        if sum(_lower(name) == _lower(other) for other in forward.stubs) > 1:
            raise _Wrong(("forward", "stubs", name), f"stub domain {_lower(name)!r} is there twice")
    _checked(("queries",), lambda: DnsConfig(sample=file.queries.sample))
    queries = file.queries
    config: DnsConfig = _checked(
        ("autopath",),
        lambda: DnsConfig(**fields, autopath=file.autopath, sample=queries.sample, log=queries.log),
    )
    return config


def _lower(name: str) -> str:
    return name.rstrip(".").lower()


def _checked(where: tuple[str | int, ...], make: Any) -> Any:
    try:
        return make()
    except ValueError as error:
        raise _Wrong(where, str(error)) from None


def _place(text: str, where: tuple[str | int, ...]) -> tuple[str, int]:
    """An address to answer on; without a port, 53."""
    server: Upstream = _checked(where, lambda: upstream(text))
    if server.tls:
        raise _Wrong(where, f"{text!r}: this server does not answer over TLS")
    return server.address, server.port


def _servers(texts: tuple[str, ...], where: tuple[str | int, ...]) -> tuple[Upstream, ...]:
    found: list[Upstream] = []
    for i, text in enumerate(texts):
        if text.startswith("/"):
            if text != RESOLV_CONF and not Path(text).is_file():
                raise _Wrong((*where, i), f"there is no file {text!r}")
            found += nameservers(Path(text))
        else:
            found.append(_checked((*where, i), lambda text=text: upstream(text)))
    return tuple(dict.fromkeys(found))


def _networks(texts: tuple[str, ...], where: tuple[str | int, ...]) -> tuple[Network, ...]:
    return tuple(
        _checked((*where, i), lambda text=text: ipaddress.ip_network(text, strict=False))
        for i, text in enumerate(texts)
    )


def _way(at: str) -> tuple[str | int, ...]:
    """The way that msgspec names as `$.forward.to[0]`; `[...]` is any entry of a map."""
    steps: list[str | int] = []
    for name, number in re.findall(r"\.(\w+)|\[(\d+)\]", at):
        steps.append(name or int(number))
    return tuple(steps)


def _line(node: yaml.Node | None, way: tuple[str | int, ...]) -> int:
    """The line of the value at the end of a way, or of the nearest thing on it that there is."""
    line = 1 if node is None else node.start_mark.line + 1
    for step in way:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(step)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line
