"""A cluster whose endpoints are kept by the controllers: what is in it, and what is made in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import uvloop
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.endpoints.config import EndpointsConfig
from fairlead.endpoints.controller import run
from fairlead.endpoints.slices import CONTROLLER, MANAGED_BY, SERVICE_NAME
from fairlead.objects.core_v1 import ContainerPort, Pod, Service
from fairlead.objects.discovery_v1 import Endpoint, EndpointSlice
from fairlead.objects.resources import ENDPOINTS, ENDPOINTSLICES, NODES, PODS, SERVICES
from fairlead.objects.status import StatusError
from fairlead.process import Health
from tests.client.cluster import api_server, running, with_server
from tests.endpoints.objects import node, pod, service

A = TypeVar("A", bound=Api)
Unmade = TypeVar("Unmade", Pod, Service)


def scenario(told: Callable[[Api], Awaitable[None]], limit: int = 100) -> None:
    """Runs the story in an empty cluster whose endpoints are kept by the controllers."""
    config = EndpointsConfig(max_endpoints_per_slice=limit)
    with_server(told, lambda api, health: run(api, config, health))


async def make_node(api: Api, name: str = "node1", zone: str = "a", cpu: str = "") -> None:
    """A node; of one without CPU nothing is known as far as topology goes."""
    await api.create(NODES, node(name, zone, cpu))


async def make_service(
    api: Api,
    name: str = "web",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **spec: object,
) -> Service:
    """A Service whose address and the like the server chooses."""
    chosen = {"clusterIP": "", "ipFamilies": (), **spec}
    return await api.create(SERVICES, unmade(service(name, labels=labels, annotations=annotations, **chosen)))


async def make_pod(
    api: Api,
    name: str,
    ip: str,
    *,
    ready: bool = True,
    app: str = "web",
    node: str = "node1",
    port: int = 8080,
) -> Pod:
    """A pod that runs on the node and has its address."""
    ports = (ContainerPort(name="http", containerPort=port),)
    made = await api.create(PODS, unmade(pod(name, node=node, ports=ports, labels={"app": app})))
    return await set_ready(api, made, ip, ready)


def unmade(obj: Unmade) -> Unmade:
    """The object as it is before a server has given it a uid."""
    return replace(obj, metadata=replace(obj.metadata, uid=""))


async def set_ready(api: Api, made: Pod, ip: str, ready: bool) -> Pod:
    """What the node says of the pod."""
    now = await api.get(PODS, made.metadata.name, "default")
    return await api.replace(PODS, replace(now, status=pod("", ip, ready=ready).status), "status")


async def slices(api: Api, name: str = "web", manager: str = CONTROLLER) -> tuple[EndpointSlice, ...]:
    selector = f"{SERVICE_NAME}={name},{MANAGED_BY}={manager}"
    return (await api.list(ENDPOINTSLICES, "default", labels=selector)).items


async def held(api: Api, name: str = "web", manager: str = CONTROLLER) -> list[Endpoint]:
    found = [e for piece in await slices(api, name, manager) for e in piece.endpoints]
    return sorted(found, key=lambda e: e.addresses)


def ready(endpoint: Endpoint) -> bool | None:
    return endpoint.conditions.ready if endpoint.conditions else None


async def addresses(api: Api, name: str = "web") -> tuple[list[str], list[str]]:
    """The ready and the not-ready addresses of the Endpoints."""
    try:
        found = (await api.get(ENDPOINTS, name, "default")).subsets
    except StatusError:
        return [], []
    return [a.ip for s in found for a in s.addresses], [a.ip for s in found for a in s.notReadyAddresses]


@asynccontextmanager
async def controllers(
    api: Api, limit: int = 100, check: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    health = Health()
    config = EndpointsConfig(max_endpoints_per_slice=limit)
    async with running(run(api, config, health, check), health):
        yield


def story(
    told: Callable[[Api], Awaitable[None]], client: Callable[[Config], Api] = Api, limit: int = 100
) -> None:
    """Runs it in an empty cluster whose endpoints are kept by controllers with this client."""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config = await stack.enter_async_context(api_server(Path(directory)))
            theirs = await stack.enter_async_context(client(config))
            await stack.enter_async_context(controllers(theirs, limit))
            await told(await stack.enter_async_context(Api(config)))

    uvloop.run(play())


async def right(api: Api, *ips: str, name: str = "web") -> bool:
    """Whether slices and Endpoints hold exactly these addresses, each once."""
    endpoints = [e.addresses[0] for e in await held(api, name)]
    return endpoints == sorted(ips) and sorted((await addresses(api, name))[0]) == sorted(ips)


def ip(number: int) -> str:
    return f"10.244.1.{number + 1}"


def with_client(kind: type[A]) -> tuple[list[A], Callable[[Config], A]]:
    """A factory for `story`, and the list in which the client that it has made will stand."""
    made: list[A] = []

    def client(config: Config) -> A:
        made.append(kind(config))
        return made[-1]

    return made, client
