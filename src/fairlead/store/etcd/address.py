"""Where an etcd cluster is and how to speak to it, as `--store` says it.

`etcd:URL[,URL...][?OPTION=VALUE&...]`, options cafile, certfile, keyfile, prefix and compaction (seconds): those are
kube-apiserver's --etcd-cafile, --etcd-certfile, --etcd-keyfile, --etcd-prefix and --etcd-compaction-interval.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from fairlead.store.ageing import SECONDS

PREFIX = "/fairlead"
"""Not kube-apiserver's /registry: what is below is not in its form."""

OPTIONS = ("cafile", "certfile", "keyfile", "prefix", "compaction")


class Address(msgspec.Struct, frozen=True):
    """The members' `host:port`, the files of TLS (none: plain HTTP/2), the prefix of all keys."""

    endpoints: tuple[str, ...]
    secure: bool = False
    cafile: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    prefix: str = PREFIX
    compaction: float = SECONDS
    """Seconds of history that are kept at least; 0 leaves compaction to others."""


def parse(place: str) -> Address:
    """Reads what follows `etcd:`. Raises ValueError with a sentence."""
    urls, _, text = place.partition("?")
    options = dict(parse_qsl(text, keep_blank_values=True))
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no option of an etcd store: there are {', '.join(OPTIONS)}")
    schemes: set[str] = set()
    endpoints: list[str] = []
    for url in urls.split(","):
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{url!r} is no URL of an etcd member, such as https://10.0.0.1:2379")
        schemes.add(parts.scheme)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        endpoints.append(f"{host}:{parts.port or 2379}")
    if len(schemes) > 1:
        raise ValueError("the URLs of etcd's members have to be all http or all https")
    prefix = "/" + options.get("prefix", PREFIX).strip("/")
    if prefix == "/":
        raise ValueError("the prefix of an etcd store may not be empty: other programs may use the same etcd")
    files = {name: Path(options[name]).absolute() for name in OPTIONS[:3] if options.get(name)}
    if ("certfile" in files) != ("keyfile" in files):
        raise ValueError("an etcd client certificate needs both certfile and keyfile")
    if files and schemes == {"http"}:
        raise ValueError(f"{next(iter(files))} is of no use with http:// URLs: write https://")
    try:
        compaction = float(options.get("compaction", SECONDS))
    except ValueError:
        raise ValueError(f"compaction={options['compaction']}: that is no number of seconds") from None
    return Address(
        endpoints=tuple(endpoints),
        secure=schemes == {"https"},
        cafile=files.get("cafile"),
        certfile=files.get("certfile"),
        keyfile=files.get("keyfile"),
        prefix=prefix,
        compaction=compaction,
    )


def with_options(store: str, options: dict[str, str]) -> str:
    """The address with options added, of which the empty ones do not count. Raises ValueError for another store's."""
    given = {name: value for name, value in options.items() if value}
    if not given:
        return store
    if not store.startswith("etcd:"):
        raise ValueError(f"{next(iter(given))} is an option of etcd, and the store is {store or 'not etcd'}")
    pairs = "&".join(f"{name}={quote(value, safe='/')}" for name, value in given.items())
    return f"{store}{'&' if '?' in store else '?'}{pairs}"
