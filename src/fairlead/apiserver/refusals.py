"""Requests that are refused before anybody answers them, in words that a Kubernetes client can read.

Upstream: net/http for what is refused.
"""

from __future__ import annotations

import re

from httptools import HttpParserError

from fairlead.apiserver.answers import status
from fairlead.apiserver.messages import RawHeaders, Response
from fairlead.apiserver.negotiation import Form
from fairlead.objects.status import failure

ABSOLUTE = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*")


class Refused(Exception):
    """What came in is no request that is answered by the handler."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.response = last_words(code, reason, message)


def check(head: RawHeaders, version: str, *, upgrade: bool) -> None:
    """Raises Refused for what two readers could take for different requests (RFC 9112, 3.2, 6.1 and 6.3).

    Also for what is asked of nobody here: other versions, other expectations.
    """
    if version not in ("1.1", "1.0"):
        raise Refused(505, "HTTPVersionNotSupported", f"HTTP/{version} is not supported")
    hosts = body = 0
    for name, value in head:
        match len(name):
            case 4:
                hosts += name.lower() == b"host"
            case 6 if name.lower() == b"expect":
                if value and value.lower() != b"100-continue":
                    raise Refused(417, "ExpectationFailed", "nothing but 100-continue may be expected")
            case 14:
                body += name.lower() == b"content-length" and value.strip() != b"0"
            case 17 if name.lower() == b"transfer-encoding":
                body += 1
                if value.lower() != b"chunked":
                    raise Refused(501, "NotImplemented", "the request has an unsupported transfer encoding")
                if version == "1.0":
                    raise Refused(400, "BadRequest", "HTTP/1.0 has no transfer encodings")
    if hosts > 1 or (not hosts and version != "1.0"):
        raise Refused(400, "BadRequest", "the request has to have one Host header")
    if upgrade and body:
        raise Refused(400, "BadRequest", "a request for another protocol cannot have a body")


def origin_form(target: bytes) -> bytes:
    """Path and query of a target that names scheme and host too, as for a proxy (RFC 9112, 3.2.2); others stay."""
    found = ABSOLUTE.match(target)
    if found is None:
        return target
    rest = target[found.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def unreadable(error: HttpParserError) -> Response:
    """The refusal of what is no HTTP."""
    return last_words(400, "BadRequest", f"the request could not be read: {error}")


def head_too_large() -> Refused:
    """431: the head has more bytes than are read of one."""
    return Refused(431, "RequestHeaderFieldsTooLarge", "the head of the request is too large")


def body_too_large() -> Response:
    """413: more bytes come than a body may take on the wire."""
    return last_words(413, "RequestEntityTooLarge", "the body is too large")


def last_words(code: int, reason: str, message: str) -> Response:
    """A refusal after which the connection is closed."""
    refusal = failure(code, reason, message).status
    return Response(code, [("Content-Type", "application/json")], status(refusal, Form()), closes=True)
