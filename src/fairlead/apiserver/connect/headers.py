"""The headers of requests that are passed on: what goes along, what stays here, what is said besides. Pure.

Upstream: apimachinery/pkg/util/proxy, net/http/httputil for those of one connection.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.apiserver.connect.backends import Header
from fairlead.apiserver.messages import Request

HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection (RFC 9110, 7.6.1)."""

OWN = frozenset(
    {
        "authorization",
        "expect",
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-uri",
    }
)
"""Headers that are for this server alone, or that it sets itself."""


def of_request(request: Request) -> list[Header]:
    """What is sent along with a request that is answered once."""
    return [*filtered(request.raw_headers, HOP_BY_HOP | OWN), ("Connection", "close"), *forwarded(request)]


def of_upgrade(request: Request) -> list[Header]:
    """What is sent along with one for another protocol: all that the client says of that, but for his token."""
    found = [
        (name, without_token(name, value))
        for name, value in filtered(request.raw_headers, OWN | {"content-length"})
    ]
    kept = [(name, value) for name, value in found if value or name.lower() != "sec-websocket-protocol"]
    return [*kept, *forwarded(request)]


def filtered(headers: Sequence[tuple[bytes, bytes]], drop: frozenset[str]) -> list[tuple[str, str]]:
    """Headers without some, whose names are in small letters, and without those of impersonation."""
    found = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return [
        (name, value)
        for name, value in found
        if name.lower() not in drop and not name.lower().startswith("impersonate-")
    ]


def is_upgrade(request: Request) -> bool:
    """Whether the client wants to speak another protocol."""
    headers = request.headers
    tokens = headers.text("connection").lower().split(",")
    return bool(headers.text("upgrade")) and "upgrade" in (token.strip() for token in tokens)


def forwarded(request: Request) -> list[Header]:
    """Who asked, and for what (upstream: proxyutil.Transport, AppendForwardedForHeader)."""
    peer = request.transport.get_extra_info("peername")
    found = [("X-Forwarded-Uri", request.target.partition("?")[0])]
    before = request.headers.text("x-forwarded-for")
    if isinstance(peer, tuple):
        found.append(("X-Forwarded-For", f"{before}, {peer[0]}" if before else str(peer[0])))
    if host := request.headers.text("host"):
        found.append(("X-Forwarded-Host", host))
    return found


BEARER = "base64url.bearer.authorization.k8s.io."
"""What a WebSocket protocol begins with that is a token."""


def without_token(name: str, value: str) -> str:
    """The value of a header, without the token that may be among the protocols of a WebSocket."""
    if name.lower() != "sec-websocket-protocol":
        return value
    names = (one.strip() for one in value.split(","))
    return ", ".join(one for one in names if not one.startswith(BEARER))
