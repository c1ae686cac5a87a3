"""A GET as probes and hooks send it: a new connection each time, no certificate checked, redirects within one host.

Upstream: pkg/probe/http. The messages are those of Go's net/http, which users know from `kubectl describe`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import urljoin, urlsplit

from fairlead.objects.core_v1 import HTTPGetAction

LONGEST_BODY = 10 * 1024
"""Bytes of an answer that are read, as the kubelet does."""

LONGEST_HEAD = 64 * 1024
"""Bytes of an answer's status line and headers together: more is an error."""

MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)


class HTTPError(OSError):
    """No answer, or none that is HTTP."""


@dataclass(frozen=True)
class Request:
    """What is asked for: a URL and the headers, in order."""

    scheme: str
    host: str
    port: int
    target: str
    """The path with the query."""
    headers: tuple[tuple[str, str], ...]

    @property
    def url(self) -> str:
        """For messages."""
        return f"{self.scheme}://{join(self.host, self.port)}{self.target}"


def request(action: HTTPGetAction, ip: str, port: int, agent: str = "kube-probe/1.36") -> Request:
    """The request of a probe or hook against a pod's address. Pure.

    `User-Agent` and `Accept` may be replaced, and left out by an empty value; `Host` goes where it belongs.
    """
    host = action.host or ip
    target = action.path or "/"
    if not target.startswith("/"):
        target = "/" + target
    given = [(header.name, header.value) for header in action.httpHeaders]
    names = {name.lower() for name, _ in given}
    defaults = (("Host", join(host, port)), ("User-Agent", agent), ("Accept", "*/*"))
    headers = [(name, value) for name, value in defaults if name.lower() not in names]
    headers += [
        (name, value) for name, value in given if value or name.lower() not in ("user-agent", "accept")
    ]
    scheme = (action.scheme or "HTTP").lower()
    # What could end a line would begin another header.
    clean = tuple((name, value.replace("\r", " ").replace("\n", " ")) for name, value in headers)
    return Request(scheme, host, port, target.split("#", 1)[0].replace(" ", "%20"), clean)


async def follow(asked: Request) -> tuple[int, str]:
    """The status and body of the answer, after redirects that stay on the host. Raises `HTTPError`."""
    current = asked
    for _ in range(MOST_REDIRECTS):
        status, headers, body = await get(current)
        place = headers.get("location", "")
        if status not in REDIRECTS or not place:
            return status, body
        following = _redirected(current, place)
        if following is None or following.host != asked.host:
            return status, body
        current = following
    raise HTTPError(f'Get "{current.target}": stopped after {MOST_REDIRECTS} redirects')


def _redirected(asked: Request, place: str) -> Request | None:
    """The request after a redirect; None where the place is not HTTP."""
    try:
        parts = urlsplit(urljoin(asked.url, place))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    moved = replace(asked, scheme=parts.scheme, host=parts.hostname, port=port, target=target)
    if (moved.host, moved.port) == (asked.host, asked.port):
        return moved
    headers = tuple((n, join(moved.host, port) if n.lower() == "host" else v) for n, v in moved.headers)
    return replace(moved, headers=headers)


async def get(asked: Request) -> tuple[int, dict[str, str], str]:
    """One request: the status, the headers by lower-case name, the first bytes of the body. Raises `HTTPError`."""

    def wrong(what: str) -> HTTPError:
        return HTTPError(f'Get "{asked.url}": {what}')

    try:
        reader, writer = await dial(asked.host, asked.port, secure=asked.scheme == "https")
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
            raise wrong("http: server gave HTTP response to HTTPS client") from error
        raise wrong(f"remote error: tls: {(error.reason or 'failed').lower().replace('_', ' ')}") from error
    except OSError as error:
        raise wrong(str(error)) from error
    try:
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.headers)
        writer.write(f"GET {asked.target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        status, headers = await _head(reader)
        return status, headers, await _body(reader, headers) if status >= 300 else ""
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise wrong(f"net/http: HTTP/1.x transport connection broken: {error}") from error
    except asyncio.IncompleteReadError as error:
        raise wrong("EOF") from error
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise wrong(f"read tcp {join(asked.host, asked.port)}: read: {what}") from error
    finally:
        # A probe says nothing after its answer, and waits for nobody's goodbye.
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    while True:
        head = await reader.readuntil(b"\n")
        words = head.split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise ValueError(f'malformed HTTP response "{head.decode("latin-1").strip()[:64]}"')
        headers: dict[str, str] = {}
        size = len(head)
        while line := (await reader.readuntil(b"\n")).strip():
            size += len(line)
            if size > LONGEST_HEAD:
                raise ValueError("server's headers are too long")
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if int(words[1]) >= 200:  # what comes before is provisional (RFC 9110 §15.2)
            return int(words[1]), headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> str:
    length = headers.get("content-length", "")
    wanted = min(int(length), LONGEST_BODY) if length.isdigit() else LONGEST_BODY
    data = b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
            data += await reader.readexactly(min(size, LONGEST_BODY - len(data)))
            if len(data) >= LONGEST_BODY:
                break
            await reader.readuntil(b"\n")
    else:
        while len(data) < wanted and (more := await reader.read(wanted - len(data))):
            data += more
    return data.decode(errors="replace")


async def dial(
    host: str, port: int, *, secure: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects, with TLS if it is asked for. Raises OSError with Go's words, SSLError for what TLS does not like."""
    try:
        return await asyncio.open_connection(
            host, port, ssl=_unverified() if secure else None, limit=LONGEST_HEAD
        )
    except (TimeoutError, ssl.SSLError):
        raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
        if isinstance(error, ConnectionResetError):
            raise OSError("EOF") from error
        raise OSError(f"dial tcp {join(host, port)}: {reason}") from error


_REASONS = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
}


@cache
def _unverified() -> ssl.SSLContext:
    """Upstream: a probe does not check the certificate. Made once: it costs milliseconds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLError):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # short keys of a test's certificate are no failure
    return context


def join(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
