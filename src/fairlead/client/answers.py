"""What is wrong with an answer of the API server, or with there being none, as errors that say what to do."""

from __future__ import annotations

import os
from http import HTTPStatus

import aiohttp
import msgspec

from fairlead.client.outage import Unreachable
from fairlead.objects import codec
from fairlead.objects.meta_v1 import Status
from fairlead.objects.status import StatusError, failure

LONGEST_PAUSE = 30.0
"""Seconds that a server can make us wait by saying so."""


def pause_asked(response: aiohttp.ClientResponse) -> float | None:
    """Seconds after which a busy server wants to be asked again (RFC 9110 §10.2.3); None if it does not say so."""
    status = response.status
    busy = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    said = response.headers.get("Retry-After", "")
    return min(float(said), LONGEST_PAUSE) if busy and said.isdecimal() else None


def refusal(server: str, method: str, path: str, status: int, body: bytes) -> StatusError:
    """The API's own refusal, or one of something before it."""
    refused = failure(status, _reason(status), body[:500].decode(errors="replace").strip())
    try:
        said = codec.decode(Status, body)
        if said.kind == "Status" and said.status == "Failure":
            refused = StatusError(msgspec.structs.replace(said, code=said.code or status))
    except msgspec.DecodeError:
        pass  # not from the API itself: a proxy before it, say
    refused.add_note(f"the answer of {server} to {method} {path}")
    return refused


def unreachable(server: str, method: str, path: str, why: BaseException | str) -> Unreachable:
    """No answer, or one that makes no sense."""
    if isinstance(why, aiohttp.ClientConnectorCertificateError):
        said = getattr(why.certificate_error, "verify_message", "") or why.certificate_error
        hint = (
            f"its certificate is not one that the kubeconfig's authority vouches for ({said}); check that this is the"
            " server's address, and certificate-authority its cluster's"
        )
    elif isinstance(why, aiohttp.ClientHttpProxyError):
        hint = f"the proxy on the way to it answers {why.status} {why.message}"
    elif isinstance(why, aiohttp.ClientProxyConnectionError):
        hint = f"the proxy on the way to it does not answer: {_of_system(why.os_error)}"
    elif isinstance(why, aiohttp.ServerDisconnectedError) and server.startswith("http://"):
        hint = "it closed the connection; if it speaks TLS, its address begins with https://"
    elif isinstance(why, TimeoutError):
        hint = "it did not answer in time"
    elif isinstance(why, aiohttp.ClientConnectorError):
        hint = f"{_of_system(why.os_error)}; check that it runs and that this is its address"
    else:
        hint = str(why) or type(why).__name__
    return Unreachable(f"the API server {server} is out of reach ({method} {path}): {hint}")


def _of_system(error: OSError) -> str:
    """What the system says of an error; event loops put their own words before it."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.title().replace(" ", "")
    except ValueError:
        return "Unknown"
