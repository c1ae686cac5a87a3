"""Requests read and answers written, as HTTP has them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping, Sequence

from fairlead.apiserver import answers
from fairlead.apiserver.bodies import APPLIED, LARGE, LIMIT, YAML, as_value, media_type, too_large
from fairlead.apiserver.etags import NO_HEADERS
from fairlead.apiserver.messages import Request, Response
from fairlead.apiserver.negotiation import Form, form
from fairlead.apiserver.writes import Body
from fairlead.objects import protobuf
from fairlead.objects.codec import encode
from fairlead.objects.meta_v1 import StatusDetails
from fairlead.objects.status import StatusError, bad_request, failure

JSON = "application/json"
UNCACHED = ("Cache-Control", "no-cache, private")

BODY_SECONDS = 60.0
"""How long a body may take to come in (upstream: --request-timeout)."""

COMPRESSED = 128 << 10
"""Answers larger than this are compressed for those who take it."""

PART = 256 << 10
"""Bytes of an answer that are encrypted and sent before other requests have their turn: some 0.3 ms."""


async def whole_body(request: Request) -> bytes:
    """The body of a request, whatever is in it, asked for where the client waits for that. Raises 413, 504, 400."""
    headers = request.headers
    if not request.complete:
        if int(headers.text("content-length") or 0) > LIMIT:
            raise too_large()
        if headers.text("expect").lower() == "100-continue" and request.version != "1.0":
            request.channel.go_on()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await request.arrived()
        except TimeoutError:
            raise timed_out() from None
    if request.oversized:
        raise too_large()
    if request.fault:
        raise bad_request(request.fault)
    return request.body


async def read_body(request: Request) -> Body:
    """The body of a request for a resource: text, unless it is protobuf. Raises what `whole_body` does."""
    headers = request.headers
    data, kind = await whole_body(request), headers.get("Content-Type")
    if not data.isascii() and media_type(kind) != protobuf.CONTENT_TYPE:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise bad_request(f"the body is not UTF-8: {error}") from None
    if len(data) > LARGE and media_type(kind) in (*YAML, APPLIED):
        data = await asyncio.to_thread(lambda: encode(as_value(data)))
    return Body(data, kind, headers.get("User-Agent", ""))


def timed_out() -> StatusError:
    """504: the request took longer than it may. Upstream: errors.NewTimeoutError of the timeout filter."""
    why = "request did not complete within the allotted timeout"
    return failure(504, "Timeout", f"Timeout: {why}", details=StatusDetails())


WARNINGS_LENGTH = 4096
"""Letters that all warnings of an answer may have before each is cut, so that no client refuses the headers."""
WARNING_LENGTH, MOST_WARNINGS = 256, 16


def reply(body: bytes, status: int = 200, content_type: str = JSON, warnings: Sequence[str] = ()) -> Response:
    """An answer with its headers."""
    response = Response(status, (("Content-Type", content_type), UNCACHED), body)
    long = sum(map(len, warnings)) > WARNINGS_LENGTH
    for warning in dict.fromkeys(warnings[:MOST_WARNINGS] if long else warnings):
        warn(response, warning[:WARNING_LENGTH] if long else warning)
    return response


def warn(response: Response, warning: str) -> None:
    """Adds a warning for whoever asked (RFC 7234, 5.5; KEP-1693)."""
    printable = warning if warning.isprintable() else "".join(c if c.isprintable() else " " for c in warning)
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"')
    response.add("Warning", f'299 - "{escaped}"')


async def send(
    request: Request,
    body: bytes,
    status: int = 200,
    content_type: str = JSON,
    more: Mapping[str, str] = NO_HEADERS,
) -> Response:
    """An answer that may be large: compressed for those who take it, in parts as the client reads them.

    It is on its way when this returns. `more` are headers of its own. Upstream: responsewriters.SerializeObject.
    """
    headers = {"Content-Type": content_type, **dict((UNCACHED,)), **more}
    if len(body) > COMPRESSED and accepts_gzip(request.headers.get("Accept-Encoding", "")):
        body = await asyncio.to_thread(gzip.compress, body, 1)
        headers["Content-Encoding"] = "gzip"
        headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Accept-Encoding")))
    if len(body) <= PART or request.method == "HEAD":
        return Response(status, headers.items(), body)
    response, channel = Response(status, headers.items()), request.channel
    channel.begin(request, response, len(body))
    view = memoryview(body)
    for start in range(0, len(body), PART):
        channel.write(view[start : start + PART])
        await asyncio.sleep(0)
        await channel.drained()
    return response


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header has it, by upstream's simple reading."""
    return any(part.strip() == "gzip" for part in header.split(","))


def refusal(error: StatusError, accept: str = "", *, pretty: bool = False) -> Response:
    """A failure as its Status, in the form that its reader prefers, JSON where he prefers none that there is."""
    try:
        preferred = form(accept, pretty=pretty)
        how = Form(yaml=preferred.yaml, protobuf=preferred.protobuf, pretty=preferred.pretty)
    except StatusError:
        how = Form()
    response = reply(answers.status(error.status, how), error.code, how.content_type)
    details = error.status.details
    if details is not None and details.retryAfterSeconds:
        response.add("Retry-After", str(details.retryAfterSeconds))
    if isinstance(error, NotAllowed):
        response.add("Allow", ", ".join(error.methods))
    return response


class NotAllowed(StatusError):
    """405: the path takes other methods. Upstream: errors.NewGenericServerResponse, from go-restful's answer."""

    def __init__(self, methods: Sequence[str]) -> None:
        said = "the server does not allow this method on the requested resource"
        super().__init__(failure(405, "MethodNotAllowed", said, details=StatusDetails()).status)
        self.methods = methods


def no_such_path() -> StatusError:
    """404: there is nothing at that path."""
    return failure(
        404, "NotFound", "the server could not find the requested resource", details=StatusDetails()
    )
