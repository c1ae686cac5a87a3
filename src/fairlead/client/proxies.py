"""The HTTP proxy on the way to a server, as Go's programs find it: golang.org/x/net/http/httpproxy."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit


class ProxyError(ValueError):
    """A proxy that cannot be used; says which."""


def proxy_address(text: str) -> str:
    """The URL of a proxy; without a scheme it is http. "" stands for none. Raises `ProxyError`."""
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        found = parts.hostname and (parts.port or 1)
    except ValueError:
        found = None
    if not found:
        raise ProxyError(f"the proxy {text!r} is no URL: use http://ADDRESS:PORT")
    if parts.scheme not in ("http", "https"):
        raise ProxyError(f"the proxy {text!r} speaks {parts.scheme}: only http and https are understood")
    return url


def environment_proxy(server: str, environment: Mapping[str, str]) -> str:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY ask for, "" if none. Raises `ProxyError`."""
    parts = urlsplit(server)

    def value(name: str) -> str:
        return environment.get(name) or environment.get(name.lower()) or ""

    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = value("HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY")
    return proxy_address(proxy) if proxy and not _is_direct(host, port, value("NO_PROXY")) else ""


def _is_direct(host: str, port: int, exceptions: str) -> bool:
    """Whether the host is asked without a proxy: it is this machine, or NO_PROXY names it."""
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for word in exceptions.replace(",", " ").lower().split():
        name, _, only = word.rpartition(":") if word.count(":") == 1 else (word, "", "")
        if only and only != str(port):
            continue
        if word == "*" or (_names(name, host) if address is None else _holds(name, address)):
            return True
    return False


def _holds(network: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return address in ip_network(network.strip("[]"), strict=False)
    except (ValueError, TypeError):
        return False


def _names(domain: str, host: str) -> bool:
    """`example.com` means itself and all below it, `.example.com` and `*.example.com` all below it."""
    below = domain.removeprefix("*").lstrip(".")
    return host.endswith(f".{below}") or host == domain
