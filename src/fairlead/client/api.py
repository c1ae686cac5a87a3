"""Requests to a Kubernetes API server, with typed answers."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from fairlead import __version__
from fairlead.client import metrics
from fairlead.client.answers import pause_asked, refusal, unreachable
from fairlead.client.credentials import Credentials
from fairlead.client.kubeconfig import Config
from fairlead.objects import codec
from fairlead.objects.meta_v1 import DeleteOptions, ListMeta, Preconditions, Status
from fairlead.objects.resources import Resource, Stored
from fairlead.objects.status import StatusError

T = TypeVar("T")
S = TypeVar("S", bound=Stored)

REQUEST = aiohttp.ClientTimeout(total=60, sock_connect=10)
"""A list of many thousand objects takes seconds; nothing else should."""

LONGEST_EVENT = 16 << 20
"""Bytes; a server stores no object half as long, so a longer line is not a watch event."""

SPREAD = 0.25
"""Seconds in which those who waited for the end of an outage come back."""

RETRIES = 10
"""So often a request is sent again to a server that says when to come back; as client-go."""

_SYNCED = b'"k8s.io/initial-events-end"'

_PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A list of objects. Its items, unlike single objects, come without kind and apiVersion."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: tuple[T, ...] = ()

    @property
    def resourceVersion(self) -> str:
        """Where a watch goes on."""
        return self.metadata.resourceVersion

    @property
    def continue_(self) -> str:
        """What to give to `list` for the next page; empty on the last one."""
        return self.metadata.continue_


class WatchEvent(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One change. `type` is ADDED, MODIFIED, DELETED, or BOOKMARK (only its resourceVersion counts).

    SYNCED, our own word, is the bookmark after the last of the objects that a watch began with.
    """

    type: str
    object: T


class _ErrorEvent(msgspec.Struct, frozen=True):
    type: str
    object: Status | None = None


def _generic(outer: Any, inner: Any) -> Any:
    return outer[inner]


class Api:
    """A client of one server. Made outside a running loop too; use it in one loop only, and `close` it.

    Every call raises `StatusError` when the server refuses and `Unreachable` when it does not answer.
    """

    def __init__(self, config: Config, user_agent: str = "fairlead") -> None:
        self.config = config
        self.server = config.server
        self._headers: CIMultiDict[str] = CIMultiDict(
            {"User-Agent": f"{user_agent}/{__version__}", "Accept": "application/json"}
        )
        if config.disable_compression:
            self._headers["Accept-Encoding"] = "identity"
        self._headers.extend(config.impersonate)
        self._credentials = Credentials(config)
        self._host = URL(config.server).authority
        self._session: aiohttp.ClientSession | None = None
        self._answered = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def pause(self, seconds: float) -> None:
        """Waits so long after a failure, or until another request is answered: then the outage is over for all.

        They do not all come at the same moment, and one that fails while others do not is no busy loop.
        """
        self._answered.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), seconds)
            await asyncio.sleep(random.uniform(0, min(seconds, SPREAD)))  # noqa: S311

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """One object."""
        return await self.request("GET", resource.path(namespace, name), resource.type)

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> Listing[T]:
        """The objects of a namespace, of all namespaces if it is empty; `limit` 0 means no limit.

        `resource_version` "" asks for the newest state, "0" for any that the server has at hand, a number for
        one that is not older.
        """
        params = _params(
            labelSelector=labels,
            fieldSelector=fields,
            limit=limit,
            resourceVersion=resource_version,
            **{"continue": continue_},
        )
        kind: type[Listing[T]] = _generic(Listing, resource.type)
        return await self.request("GET", resource.path(namespace), kind, params=params)

    async def create(self, resource: Resource[S], obj: S, namespace: str = "") -> S:
        """The object as the server made it."""
        path = resource.path(namespace or obj.metadata.namespace)
        return await self.request("POST", path, resource.type, obj)

    async def replace(self, resource: Resource[S], obj: S, subresource: str = "") -> S:
        """The object as the server has it now; 409 if `obj` has a resourceVersion that is not the newest."""
        path = resource.path(obj.metadata.namespace, obj.metadata.name, subresource)
        return await self.request("PUT", path, resource.type, obj)

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        namespace: str,
        patch: Any,
        *,
        kind: Literal["merge", "strategic", "json"] = "merge",
        subresource: str = "",
    ) -> T:
        """The object with the patch (anything that becomes JSON) in it."""
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, resource.type, patch, content_type=_PATCHES[kind])

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        uid: str = "",
        propagation_policy: str = "",
    ) -> None:
        """Deletes one object, or starts to; with `uid`, 409 if the name has been taken by another since."""
        options = DeleteOptions(
            gracePeriodSeconds=grace_period_seconds,
            preconditions=Preconditions(uid=uid) if uid else None,
            propagationPolicy=propagation_policy or None,
        )
        body = codec.encode(options) if options != DeleteOptions() else None
        await self._answer("DELETE", resource.path(namespace, name), body)

    async def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
        initial: bool = False,
        begun: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """The changes after `resource_version`, in order, until the server ends the stream (5 to 10 minutes).

        `begun` is called when the server has agreed: the first change may be long in coming.

        With `initial` first all objects there are, as ADDED, then SYNCED, in a state that is not older than
        `resource_version`, "" for the newest: a list without the memory of one (KEP-3157). A server that cannot do
        it refuses with 422, or 400.

        Raises `StatusError` 410 when that version is too old (list again), and `Unreachable` when the
        connection breaks; an event cut off in the middle is dropped, and comes again with the next watch.
        """
        seconds = random.randint(300, 600)  # noqa: S311  so that watches do not all end together
        params = _params(
            watch=1,
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=seconds,
            labelSelector=labels,
            fieldSelector=fields,
            sendInitialEvents="true" if initial else "",
            resourceVersionMatch="NotOlderThan" if initial else "",
        )
        path = resource.path(namespace)
        # A connection that died is found by TCP keepalive; the read timeout is for a mute server.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=seconds + 30)
        kind: type[WatchEvent[T]] = _generic(WatchEvent, resource.type)
        decoder = codec.decoder(kind)
        try:
            async with self._open("GET", path, params, timeout=timeout) as response:
                if response.status != HTTPStatus.OK:
                    raise refusal(self.server, "GET", path, response.status, await response.read())
                begun()
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk if rest else chunk).split(b"\n")
                    for line in lines:
                        if line:
                            yield self._event(path, decoder, kind, line)
                    if len(rest) > LONGEST_EVENT:
                        raise unreachable(
                            self.server, "GET", path, f"a watch event of over {LONGEST_EVENT} bytes"
                        )
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError) as error:
            raise unreachable(self.server, "GET", path, error) from error
        if rest:
            raise unreachable(self.server, "GET", path, "the connection closed in the middle of an event")

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Any request: status code and body of its answer, refusals included."""
        try:
            async with self._open(method, path, params, body, headers) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError) as error:
            raise unreachable(self.server, method, path, error) from error

    async def request(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: Any = None,
        *,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> T:
        """Any request with `body` as JSON, its answer read as `kind`. For what has no method of its own."""
        data = None if body is None else codec.encode(body)
        answer = await self._answer(method, path, data, content_type, params)
        try:
            return codec.decode(kind, answer)
        except msgspec.DecodeError as error:
            raise unreachable(self.server, method, path, f"an answer that is no {kind}: {error}") from error

    async def _answer(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> bytes:
        headers = None if body is None else {"Content-Type": content_type}
        status, answer = await self.raw(method, path, body, headers, params)
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(self.server, method, path, status, answer)
        return answer

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout = REQUEST,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body not read yet.

        A refusal of who we are is tried again if we are another one by now; one that says when to come back is tried
        again then, up to `RETRIES` times.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, socket_factory=_socket, keepalive_timeout=60),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        query = f"?{urlencode(params)}" if params else ""
        url = URL(f"{self.server}{path}{query}", encoded=True)
        code = "<error>"
        try:
            renewed, retries = False, 0
            while True:
                identity = await self._credentials.current()
                sent = dict(headers or ())
                if identity.token:
                    sent["Authorization"] = f"Bearer {identity.token}"
                async with self._session.request(
                    method,
                    url,
                    data=body,
                    headers=sent,
                    timeout=timeout,
                    ssl=identity.tls,
                    server_hostname=self.config.server_name or None,
                    proxy=self.config.proxy or None,
                    allow_redirects=False,
                ) as response:
                    code = str(response.status)
                    if response.status == HTTPStatus.UNAUTHORIZED and not renewed:
                        renewed = True
                        if await self._credentials.renew(identity):
                            continue
                    wait = pause_asked(response) if retries < RETRIES else None
                    if wait is None:
                        self._answered.set()
                        yield response
                        return
                retries += 1
                metrics.requested(code, method, self._host)
                await asyncio.sleep(wait)
        finally:
            metrics.requested(code, method, self._host)

    def _event(
        self, path: str, decoder: msgspec.json.Decoder[WatchEvent[T]], kind: type[WatchEvent[T]], line: bytes
    ) -> WatchEvent[T]:
        try:
            try:
                event = decoder.decode(line)
                if event.type == "BOOKMARK" and _SYNCED in line:
                    return WatchEvent("SYNCED", event.object)
                if event.type != "ERROR":
                    return event
            except msgspec.ValidationError:
                # An error's object is a Status, which may or may not fit the type watched.
                if codec.decode(_ErrorName, line).type != "ERROR":
                    return codec.decode(kind, line)
            status = codec.decode(_ErrorEvent, line).object or Status(code=500, message="watch failed")
        except msgspec.DecodeError as error:
            raise unreachable(
                self.server, "GET", path, f"a watch event that cannot be read: {error}"
            ) from error
        raise StatusError(status)


class _ErrorName(msgspec.Struct, frozen=True):
    type: str


def _socket(address: Any) -> socket.socket:
    """A TCP socket that notices within half a minute that the other side is gone."""
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return sock


def _params(**params: str | int) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if value}
