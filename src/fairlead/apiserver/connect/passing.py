"""Requests for parts of pods, services and nodes that others answer: found, checked, and passed on.

Upstream: ConnectResource in apiserver/pkg/endpoints/handlers, apimachinery/pkg/util/proxy (UpgradeAwareHandler).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from msgspec.structs import replace

from fairlead.apiserver.access.authorization import Authorizer, attributes, authorize
from fairlead.apiserver.access.users import User
from fairlead.apiserver.connect import headers, locations, rewriting
from fairlead.apiserver.connect.backends import Answer, Answering, Backend, Backends, Location
from fairlead.apiserver.connect.tunnels import join
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import ENDPOINTS, NODES, PODS, SERVICES
from fairlead.apiserver.messages import Request, Response
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.replies import NotAllowed, no_such_path, whole_body
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.objects.codec import decoder
from fairlead.objects.core_v1 import EndpointAddress, Endpoints, Node, Pod, Service
from fairlead.objects.status import StatusError, bad_request, failure

STREAMS = ("exec", "attach", "portforward")
"""Parts of pods that are connections of another protocol."""

LONG = (*STREAMS, "log", "proxy")
"""Parts whose answers may take for ever."""

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

WORDS_BYTES = 10_000
"""Bytes of a node's words about a refusal (upstream: maxReadLength)."""

PAGE_BYTES = 4 << 20
"""Bytes of a page whose links are rewritten; larger ones are given on as they are."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "pods": LONG,
    "services": ("proxy",),
    "nodes": ("proxy",),
}


def is_passed_on(kind: Kind | None, info: RequestInfo) -> bool:
    """Whether others answer a request."""
    return kind in (PODS, SERVICES, NODES) and info.subresource in PARTS[info.resource]


class Passing:
    """Answers such requests."""

    def __init__(self, registry: Registry, authorizer: Authorizer, backends: Backends) -> None:
        self._registry = registry
        self._authorizer = authorizer
        self._backends = backends

    async def answer(self, request: Request, info: RequestInfo, query: Query, user: User) -> Response:
        """Passes a request on, and its answer back. Raises StatusError."""
        part = info.subresource
        if info.rest and part != "proxy":
            raise no_such_path()
        if part == "log":
            if info.verb != "get":
                raise NotAllowed(["GET"])
            return await self._log(request, info, query)
        if part in STREAMS:
            if info.method not in ("GET", "POST"):
                raise NotAllowed(["GET", "POST"])
            # Since 1.35 to read pods is not enough for who asks by GET, as WebSockets do.
            wanted = attributes(info, query)
            if wanted.verb != "create":
                authorize(self._authorizer, user, replace(wanted, verb="create"))
            location = await self._stream(info, query)
            if not headers.is_upgrade(request):
                raise bad_request("Upgrade request required")
            return await self._tunnel(request, location)
        if info.method not in METHODS:
            raise NotAllowed(list(METHODS))
        return await self._proxy(request, info)

    # Where to.

    async def _pod(self, info: RequestInfo, name: str) -> Pod:
        entry = await self._registry.get(PODS, info.namespace, name)
        found: Pod = decoder(Pod).decode(entry.value)
        return found

    async def _node(self, name: str) -> Node:
        entry = await self._registry.get(NODES, "", name)
        found: Node = decoder(Node).decode(entry.value)
        return found

    async def _stream(self, info: RequestInfo, query: Query) -> Location:
        pod = await self._pod(info, info.name)
        if info.subresource == "portforward":
            return locations.ports(pod, await self._node(locations.host_of(pod)), query)
        locations.container_of(pod, query.text("container"))
        return locations.stream(pod, await self._node(locations.host_of(pod)), info.subresource, query)

    async def _proxied(self, info: RequestInfo, path: str, query: str) -> Location:
        if info.resource == "nodes":
            _, name, _ = locations.split(info.name, "node")
            return locations.of_node(await self._node(name), info.name, path, query)
        if info.resource == "pods":
            _, name, _ = locations.split(info.name, "pod")
            return locations.of_pod(await self._pod(info, name), info.name, path, query)
        _, name, port = locations.split(info.name, "service")
        if port.isdecimal():
            entry = await self._registry.get(SERVICES, info.namespace, name)
            port = locations.service_port(decoder(Service).decode(entry.value), port)
        try:
            entry = await self._registry.get(ENDPOINTS, info.namespace, name)
            endpoints: Endpoints | None = decoder(Endpoints).decode(entry.value)
        except StatusError as error:
            if error.code != 404:
                raise
            await self._registry.get(SERVICES, info.namespace, name)
            endpoints = None
        for address, number in locations.endpoints_of(endpoints, info.name, port):
            if locations.is_of_pod(address, info.namespace, await self._target(info, address)):
                return locations.of_endpoint(address, number, info.name, path, query)
        raise locations.no_endpoints(info.name)

    async def _target(self, info: RequestInfo, address: EndpointAddress) -> Pod | None:
        try:
            return await self._pod(info, address.targetRef.name) if address.targetRef is not None else None
        except StatusError:
            return None

    # Passing on.

    async def _log(self, request: Request, info: RequestInfo, query: Query) -> Response:
        pod = await self._pod(info, info.name)
        locations.container_of(pod, query.text("container"))
        locations.check_log_options(info.name, query)
        if not pod.spec.nodeName:
            return Response(200, [("Content-Type", "text/plain")])
        location = locations.logs(pod, await self._node(pod.spec.nodeName), query)
        async with self._backends.ask(location, "GET", [("Connection", "close")]) as backend:
            answering = Answering(bodiless=False)
            try:
                answer = answering.head(await backend.head)
                if answer.status != 200:
                    said, _ = await _some(answering.body(backend), WORDS_BYTES)
                    text = said.decode("utf-8", "replace")
                    raise locations.not_found_there(answer.status, text, "pods", info.name)
                response = Response(
                    200, [("Content-Type", "text/plain"), ("Cache-Control", "no-cache, private")]
                )
                return await self._give(request, response, answering.body(backend), None)
            except ConnectionError as error:
                if not isinstance(error, ConnectionResetError) and backend.head.done():
                    raise
                raise _unreachable(location, error) from error

    async def _tunnel(self, request: Request, location: Location) -> Response:
        """Joins the client with the backend, once that agrees to speak what the client wants."""
        sent = headers.of_upgrade(request)
        async with self._backends.ask(location, request.method, sent) as backend:
            try:
                head = await backend.head
            except ConnectionError as error:
                raise _unreachable(location, error) from error
            response = Response(_status(head), closes=True)
            response.prepared = True
            await join(request.channel, backend)
            return response

    async def _proxy(self, request: Request, info: RequestInfo) -> Response:
        parts = 5 if info.resource == "nodes" else 7
        path, query = locations.raw_path(request.target, parts)
        upgrade = headers.is_upgrade(request)
        if not path and not upgrade and info.method in ("GET", "HEAD"):
            # Upstream: proxyRedirectsforRootPath; links of the page would lead astray otherwise.
            where = request.target.partition("?")[0] + "/" + (f"?{query}" if query else "")
            return Response(301, [("Location", where)])
        location = await self._proxied(info, path or "/", query)
        if upgrade:
            return await self._tunnel(request, location)
        body = await whole_body(request)
        sent = headers.of_request(request)
        if body or info.method in ("POST", "PUT", "PATCH"):
            sent.append(("Content-Length", str(len(body))))
        prefix = request.target.partition("?")[0].removesuffix(path)
        async with self._backends.ask(location, info.method, sent, body) as backend:
            answering = Answering(bodiless=info.method == "HEAD")
            try:
                answer = answering.head(await backend.head)
            except ConnectionError as error:
                raise _unreachable(location, error) from error
            return await self._answered(request, answer, answering, backend, prefix, location)

    async def _answered(
        self,
        request: Request,
        answer: Answer,
        answering: Answering,
        backend: Backend,
        prefix: str,
        location: Location,
    ) -> Response:
        host = request.headers.text("host")
        response = Response(answer.status)
        for name, value in answer.headers:
            if name.lower() == "location":
                value = rewriting.url(value, prefix, (location.authority, host))
            if name.lower() not in headers.HOP_BY_HOP and name.lower() != "date":
                response.add(name, value)
        rewritten = rewriting.is_page(answer.headers) and not any(
            n.lower() == "location" for n, _ in answer.headers
        )
        if not rewritten or request.method == "HEAD":
            return await self._give(request, response, answering.body(backend), answer.length)
        body = answering.body(backend)
        page, complete = await _some(body, PAGE_BYTES)
        if complete:
            response.body = rewriting.page(page, prefix, (location.authority, host))
            return response
        return await self._give(request, response, body, answer.length, page)

    @staticmethod
    async def _give(
        request: Request,
        response: Response,
        body: AsyncIterator[bytes],
        length: int | None,
        begun: bytes = b"",
    ) -> Response:
        """Gives an answer on as it comes; `begun` has come already."""
        channel = request.channel
        if response.status in (204, 304):
            return response
        channel.begin(request, response, length)
        if request.method == "HEAD":
            return response
        chunked = length is None and request.version != "1.0"
        sent, piece = 0, begun
        while True:
            if piece:
                sent += len(piece)
                channel.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await channel.drained()
            if (piece := await anext(body, b"")) == b"":
                break
        if length is not None and sent < length:
            raise ConnectionError("the backend's answer was cut off")
        if chunked:
            channel.write(b"0\r\n\r\n")
        return response


async def _some(body: AsyncIterator[bytes], limit: int) -> tuple[bytes, bool]:
    """What there is of a body, until it has so many bytes; and whether that is all."""
    found = bytearray()
    async for piece in body:
        found += piece
        if len(found) >= limit:
            return bytes(found), False
    return bytes(found), True


def _status(head: bytes) -> int:
    word = head[:64].split(b" ", 2)[1:2]
    return int(word[0]) if word and word[0].isdigit() else 502


def _unreachable(location: Location, error: BaseException) -> StatusError:
    said = f"error trying to reach service: {location.authority}: {error}"
    return failure(503, "ServiceUnavailable", said)
