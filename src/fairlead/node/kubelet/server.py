"""The node's HTTPS server: the paths of the kubelet that the API server asks, for the pods of one node.

Upstream: pkg/kubelet/server/server.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fairlead.client.api import Api
from fairlead.client.retry import Backoff
from fairlead.node.containers import containers_of
from fairlead.node.kubelet import clients, containerlogs, execution, portforward, remotecommand, stats
from fairlead.node.kubelet.access import Access
from fairlead.node.kubelet.certificates import self_signed
from fairlead.node.kubelet.config import KubeletConfig
from fairlead.node.kubelet.http import HEAD_BYTES, Exchange, Refused, Request, receive
from fairlead.node.podstate import PodState
from fairlead.node.records import History
from fairlead.objects.codec import encode
from fairlead.objects.core_v1 import ContainerStateWaiting, Pod
from fairlead.process import listener

log = logging.getLogger("fairlead.node")

MOST_CONNECTIONS = 1000
"""Clients at a time; more are sent away."""

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

Pods = Callable[[], Iterable[PodState]]
"""All pods of the node."""


async def serve(
    api: Api, node: str, addresses: Sequence[str], config: KubeletConfig, directory: Path, pods: Pods
) -> None:
    """Serves on each of the node's addresses until cancelled; commands and attachments end then.

    An address that cannot be listened on, as while an earlier agent still does, is tried again. `directory` is where a
    certificate is made. Raises OSError, ValueError where the configured one cannot be used.
    """
    context = _context(api, addresses, config, directory)
    server = Server(api, node, pods)
    listening: list[asyncio.Server] = []
    try:
        for address in addresses:
            sock = await _listen(address, config.port)
            listening.append(
                await asyncio.start_server(server.connected, sock=sock, ssl=context, limit=HEAD_BYTES)
            )
        await asyncio.get_running_loop().create_future()
    finally:
        for one in listening:
            one.close()
        await server.stop()


async def _listen(address: str, port: int) -> socket.socket:
    """A listening socket, as soon as nobody else has the port; says once why there is none."""
    backoff, said = Backoff(limit=5.0), ""
    while True:
        try:
            return listener(address, port)
        except OSError as error:
            if str(error) != said:
                said = str(error)
                log.warning("logs, commands and ports of pods are not served yet: %s", error)
        await backoff.wait()


def _context(api: Api, addresses: Sequence[str], config: KubeletConfig, directory: Path) -> ssl.SSLContext:
    certificate, key = config.certificate, config.key
    if certificate is None or key is None:
        certificate, key = self_signed(directory, addresses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if config.client_ca is not None:
        context.load_verify_locations(config.client_ca)
    elif api.config.authority:
        context.load_verify_locations(cadata=api.config.authority.decode())
    else:
        return context
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class Server:
    """Answers the requests of connections, each in a task of its own."""

    def __init__(self, api: Api, node: str, pods: Pods) -> None:
        self._access = Access(api, node)
        self._node = node
        self._pods = pods
        self._usage = stats.Usage()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._paths: dict[str, Callable[[Exchange, list[str]], Awaitable[None]]] = {
            "attach": self._attach,
            "containerLogs": self._logs,
            "exec": self._execute,
            "healthz": self._healthz,
            "metrics": self._metrics,
            "pods": self._list,
            "portForward": self._forward,
            "stats": self._stats,
        }

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the request of a new connection, and closes that."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) <= MOST_CONNECTIONS:
                await self._answer(reader, writer)
        except (ConnectionError, ssl.SSLError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        except Exception:
            log.exception("a defect in an answer of the node's server")
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        """Ends all of them."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = None
        try:
            exchange = await receive(reader, writer)
            if exchange is None:
                return
            request = exchange.request
            await self._access.check(request, writer.get_extra_info("ssl_object"))
            first, *rest = request.path.strip("/").split("/")
            handler = self._paths.get(first)
            if handler is None:
                raise Refused(404, "404 page not found")
            await handler(exchange, rest)
        except Refused as refusal:
            if exchange is None:
                exchange = Exchange(Request("GET", "/", {}), reader, writer)
            if not exchange.begun:
                await exchange.answer(refusal.status, f"{refusal}\n".encode(), TEXT, refusal.headers)

    # Finding what is asked for.

    def _pod(self, namespace: str, name: str) -> tuple[PodState, Pod]:
        """The pod with that name. Raises Refused. Linear in the node's pods."""
        for state in self._pods():
            pod = state.pod
            if pod is not None and (pod.metadata.namespace, pod.metadata.name) == (namespace, name):
                if state.is_forgotten():
                    state.changed.set()
                    raise Refused(500, f"the folder of the pod {state.name} is gone, so it begins anew")
                return state, pod
        raise Refused(404, f'pod "{name}" does not exist')

    def _running(self, rest: list[str], otherwise: str) -> tuple[PodState, str]:
        """The pod and the run of a container that a path names: NAMESPACE/POD[/UID]/CONTAINER.

        Raises Refused; with `otherwise`, a form for the names of container, pod and namespace, where it does not run.
        """
        if len(rest) not in (3, 4):
            raise Refused(404, "404 page not found")
        state, _ = self._pod(rest[0], rest[1])
        history = state.histories().get(rest[-1])
        if state.sandbox is None or history is None or not history.current.running:
            raise Refused(500, otherwise.format(container=rest[-1], pod=rest[1], namespace=rest[0]))
        return state, history.current.id

    # What there is.

    async def _healthz(self, exchange: Exchange, _: list[str]) -> None:
        await exchange.answer(200, b"ok", TEXT)

    async def _metrics(self, exchange: Exchange, _: list[str]) -> None:
        await exchange.answer(200, generate_latest(), CONTENT_TYPE_LATEST)

    async def _list(self, exchange: Exchange, _: list[str]) -> None:
        pods = [state.pod for state in self._pods() if state.pod is not None]
        listed = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}
        await exchange.answer(200, encode(listed), JSON)

    async def _stats(self, exchange: Exchange, rest: list[str]) -> None:
        if rest != ["summary"]:
            raise Refused(404, "404 page not found")
        summary = await self._usage.summary(self._node, self._pods())
        await exchange.answer(200, encode(summary), JSON)

    async def _execute(self, exchange: Exchange, rest: list[str]) -> None:
        state, run = self._running(rest, 'container not found ("{container}")')  # GetExec in pkg/kubelet
        argv = tuple(exchange.request.query.get("command", ()))
        if not argv:
            raise Refused(400, "the command to execute is missing")
        wanted = remotecommand.wanted(exchange.request)
        client = await clients.accept(exchange, wanted)
        await execution.execute(client, state.directory, run, argv, wanted)

    async def _attach(self, exchange: Exchange, rest: list[str]) -> None:
        state, run = self._running(
            rest, "container {container} not found in pod {pod}_{namespace}"
        )  # GetAttach
        wanted = remotecommand.wanted(exchange.request)
        client = await clients.accept(exchange, wanted)
        await execution.attach(client, state.directory, run, wanted)

    async def _forward(self, exchange: Exchange, rest: list[str]) -> None:
        if len(rest) not in (2, 3):
            raise Refused(404, "404 page not found")
        state, pod = self._pod(rest[0], rest[1])
        if state.sandbox is None or state.sandbox.gone.is_set():
            raise Refused(500, "the pod's sandbox does not run")
        target = portforward.Target(pod.metadata.name, pod.metadata.uid, state.sandbox)
        await portforward.serve(exchange, target)

    async def _logs(self, exchange: Exchange, rest: list[str]) -> None:
        if len(rest) != 3:
            raise Refused(404, "404 page not found")
        namespace, name, container = rest
        state, pod = self._pod(namespace, name)
        if container not in {one.name for one in containers_of(pod)}:
            raise Refused(404, f'container "{container}" not found in pod "{name}"')
        wanted = containerlogs.options(exchange.request, time.time())
        history = state.histories().get(container)
        record = readable(pod, container, history, wanted)
        run = record.current.id if not wanted.previous else ""
        path = state.directory / "logs" / container

        def running() -> bool:
            now = state.histories().get(container)
            return now is not None and now.current.id == run and now.current.running

        attempt = record.previous.attempt if wanted.previous and record.previous else record.current.attempt
        await exchange.begin(TEXT)
        pieces = containerlogs.read(path / f"{attempt}.log", wanted, running)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                await exchange.piece(piece)
        await exchange.end()


def readable(pod: Pod, container: str, history: History | None, wanted: containerlogs.Options) -> History:
    """The history of a container whose log can be read. Raises Refused with the reason why not.

    Upstream: validateContainerLogStatus in pkg/kubelet/kubelet_pods.go.
    """
    name = pod.metadata.name
    if wanted.previous and (history is None or history.previous is None):
        raise Refused(400, f'previous terminated container "{container}" in pod "{name}" not found')
    if history is not None:
        return history
    waiting = waits(pod, container)
    if waiting is None:
        raise Refused(400, f'container "{container}" in pod "{name}" is not available')
    match waiting.reason:
        case "ErrImagePull":
            why = "image can't be pulled"
        case "ImagePullBackOff":
            why = "trying and failing to pull image"
        case other:
            why = other
    raise Refused(400, f'container "{container}" in pod "{name}" is waiting to start: {why}')


def waits(pod: Pod, container: str) -> ContainerStateWaiting | None:
    """What a container waits for, as the status has it."""
    status = pod.status
    for one in (*status.initContainerStatuses, *status.containerStatuses, *status.ephemeralContainerStatuses):
        if one.name == container and one.state is not None:
            return one.state.waiting
    return None
