"""The controllers through what can go wrong, against the real API server."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from asyncio import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import uvloop
from msgspec.structs import replace

from fairlead.client import kubeconfig
from fairlead.client.api import Api, WatchEvent
from fairlead.client.election import NotLeading
from fairlead.client.informer import Informer
from fairlead.client.kubeconfig import Config
from fairlead.endpoints import pods as pod_endpoints
from fairlead.endpoints.config import EndpointsConfig
from fairlead.endpoints.controller import run
from fairlead.objects import codec
from fairlead.objects.core_v1 import Pod, ServicePort
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.meta_v1 import StatusCause, StatusDetails
from fairlead.objects.resources import ENDPOINTSLICES, EVENTS, LEASES, NODES, PODS, SERVICES, Resource
from fairlead.objects.status import StatusError, failure
from fairlead.process import Health
from fairlead.store import open_store
from tests.client.cluster import TOKEN, api_server, eventually, running
from tests.endpoints.cluster import (
    addresses,
    controllers,
    held,
    ip,
    make_node,
    make_pod,
    make_service,
    right,
    set_ready,
    slices,
    story,
    with_client,
)

FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))


class Patient(Api):
    """Counts how often it waits for a server that is out of reach."""

    pauses = 0

    async def pause(self, seconds: float) -> None:
        self.pauses += 1
        await super().pause(seconds)


def test_the_api_server_goes_away_and_comes_back() -> None:
    """Nothing ends, nothing is doubled; what changed meanwhile is caught up with."""

    async def play() -> None:
        with TemporaryDirectory(prefix="fairlead-test-") as directory:
            async with api_server(Path(directory)) as config, Api(config) as api:
                await make_node(api)
                await make_service(api)
                await make_pod(api, "a", ip(1))
            port = int(config.server.rpartition(":")[2])
            async with Patient(config) as theirs:
                health = Health()
                async with AsyncExitStack() as stack:
                    async with api_server(Path(directory), port), Api(config) as api:
                        await stack.enter_async_context(
                            running(run(theirs, EndpointsConfig(), health), health)
                        )
                        await eventually(lambda: right(api, ip(1)), "the controllers work")
                    theirs.pauses = 0
                    await eventually(lambda: asyncio.sleep(0, theirs.pauses >= 10), "they try in vain")
                    async with api_server(Path(directory), port), Api(config) as api:
                        await make_pod(api, "b", ip(2))
                        await api.delete(PODS, "a", "default", grace_period_seconds=0)
                        await eventually(lambda: right(api, ip(2)), "they have caught up")
                        assert len(await slices(api)) == 1
                        await stack.aclose()  # before the server goes

    uvloop.run(play())


class Conflicts(Api):
    """Every second write is refused, as if somebody else had been faster."""

    writes = 0

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        if method != "GET" and "/events" not in path:
            self.writes += 1
            if self.writes % 2:
                return 409, codec.encode(failure(409, "Conflict", "another one was faster").status)
        return await super().raw(method, path, body, headers, params)


def test_every_second_write_is_a_conflict() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        pods = [await make_pod(api, f"p{n}", ip(n)) for n in range(12)]
        await eventually(lambda: right(api, *map(ip, range(12))), "all pods are endpoints")
        assert all(len(s.endpoints) <= 5 for s in await slices(api))
        await set_ready(api, pods[3], ip(3), False)
        await api.delete(PODS, "p7", "default", grace_period_seconds=0)

        async def followed() -> bool:
            states = {e.addresses[0]: e.conditions and e.conditions.ready for e in await held(api)}
            return states.get(ip(3)) is False and ip(7) not in states

        await eventually(followed, "changes are followed")
        events = [e.reason for e in (await api.list(EVENTS, "default")).items]
        assert events == [], "conflicts are daily business, not worth an Event"

    story(told, Conflicts, limit=5)


class Broken(Api):
    """Its watches can be cut; while it is away they cannot resume, and then find their version gone, once each."""

    away = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.gone: set[str] = set()
        self.expired: list[str] = []
        self._pumps: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        self.away = True
        self.gone = {"pods", "services", "nodes", "endpointslices", "endpoints"}
        for pump in self._pumps:
            pump.cancel()

    async def watch(
        self, resource: Resource[Any], *args: Any, **options: Any
    ) -> AsyncGenerator[WatchEvent[Any], None]:
        if self.away:
            raise OSError("cut off")
        if resource.plural in self.gone:
            self.gone.remove(resource.plural)
            self.expired.append(resource.plural)
            raise failure(410, "Expired", "too old resource version: 1 (2)")
        told: asyncio.Queue[WatchEvent[Any]] = asyncio.Queue()
        stream = super().watch(resource, *args, **options)

        async def pumping() -> None:
            async with aclosing(stream) as events:
                async for event in events:
                    told.put_nowait(event)

        pump = asyncio.create_task(pumping())
        self._pumps.add(pump)
        try:
            while True:
                event = asyncio.ensure_future(told.get())
                await asyncio.wait([event, pump], return_when=asyncio.FIRST_COMPLETED)
                if not event.done():
                    event.cancel()
                    raise OSError("the connection broke")
                yield event.result()
        finally:
            self._pumps.discard(pump)
            pump.cancel()


def test_the_history_is_gone_when_the_watches_resume() -> None:
    """410 Gone: everything is listed again, and only what differs leads to work."""
    clients, client = with_client(Broken)

    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        for number in range(3):
            await make_pod(api, f"p{number}", ip(number))
        await eventually(lambda: right(api, *map(ip, range(3))), "all pods are endpoints")
        clients[0].cut()
        await make_pod(api, "late", ip(9))
        await api.delete(PODS, "p0", "default", grace_period_seconds=0)
        before = await slices(api)
        clients[0].away = False
        await eventually(lambda: right(api, ip(1), ip(2), ip(9)), "the changes are caught up with")
        assert [s.metadata.name for s in await slices(api)] == [s.metadata.name for s in before]
        everything = ["endpoints", "endpointslices", "nodes", "pods", "services"]
        await eventually(lambda: asyncio.sleep(0, sorted(clients[0].expired) == everything), "each was told")

    story(told, client)


def test_two_controllers_at_once_agree() -> None:
    """It should not happen, for there is an election; if it does, nothing is doubled for long."""

    async def told(api: Api) -> None:
        async with Api(api.config) as other, controllers(other, 5):
            await make_node(api)
            await make_service(api)
            await asyncio.gather(*(make_pod(api, f"p{n}", ip(n)) for n in range(12)))
            await eventually(lambda: right(api, *map(ip, range(12))), "all pods are endpoints once")

            async def calm() -> bool:
                before = await slices(api)
                await asyncio.sleep(0.3)
                return await slices(api) == before

            await eventually(calm, "they leave it at that")

    story(told, limit=5)


def test_who_does_not_lead_does_not_write() -> None:
    leads = [True]
    held_back: list[str] = []

    def check() -> None:
        if not leads[0]:
            held_back.append("a write")
            raise NotLeading("another one leads")

    async def play() -> None:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config = await stack.enter_async_context(api_server(Path(directory)))
            theirs = await stack.enter_async_context(Api(config))
            await stack.enter_async_context(controllers(theirs, check=check))
            api = await stack.enter_async_context(Api(config))
            await make_node(api)
            await make_service(api)
            await eventually(lambda: has_slices(api), "the Service has a slice")
            leads[0] = False
            await make_pod(api, "a", ip(1))
            await eventually(lambda: asyncio.sleep(0, len(held_back) >= 3), "writes are held back")
            assert await held(api) == []
            leads[0] = True
            await eventually(lambda: right(api, ip(1)), "it leads again and writes")

    async def has_slices(api: Api) -> bool:
        return len(await slices(api)) == 1

    uvloop.run(play())


class Replica:
    """`fairlead endpoints` as a process of its own."""

    def __init__(self, process: subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    @asynccontextmanager
    async def running(
        cls, folder: Path, name: str, config: Path, lease: str, renew: str
    ) -> AsyncIterator[Replica]:
        log = folder / f"{name}.log"
        periods = ("--leader-elect-lease-duration", lease, "--leader-elect-renew-deadline", renew)
        with log.open("w") as file:
            process = await asyncio.create_subprocess_exec(
                FAIRLEAD,
                *("endpoints", "--kubeconfig", str(config), "--health", "none"),
                *periods,
                *("--leader-elect-retry-period", "100ms"),
                stderr=file,
            )
        try:
            yield cls(process, log)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            assert await process.wait() == 0, log.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def said(self, text: str) -> int:
        return self._log.read_text().count(text)


def test_a_leader_that_was_paused_finds_out_that_it_does_not_lead_any_more() -> None:
    async def holder(api: Api) -> str:
        try:
            return (await api.get(LEASES, "fairlead-endpoints", "kube-system")).spec.holderIdentity or ""
        except StatusError:
            return ""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="fairlead-test-")))
            config = await stack.enter_async_context(api_server(folder))
            api = await stack.enter_async_context(Api(config))
            file = folder / "kubeconfig"
            kubeconfig.write(file, config.server, config.authority, TOKEN)
            await make_node(api)
            await make_service(api)
            first = await stack.enter_async_context(Replica.running(folder, "first", file, "5s", "4s"))
            await make_pod(api, "a", ip(1))
            await eventually(lambda: right(api, ip(1)), "the first works")
            leader = await holder(api)
            first.send(signal.SIGSTOP)
            led = first.said("leading:")
            # Nothing that holds this machine up for a while can take the lead from the second.
            second = await stack.enter_async_context(Replica.running(folder, "second", file, "1h", "50m"))
            await make_pod(api, "b", ip(2))  # the first has this change in its buffers when it wakes up
            await eventually(lambda: right(api, ip(1), ip(2)), "the second has taken over")
            assert second.said("leading:") == 1
            assert await holder(api) != leader
            await api.delete(PODS, "a", "default", grace_period_seconds=0)
            await eventually(lambda: right(api, ip(2)), "the second works")
            before = await slices(api)
            first.send(signal.SIGCONT)
            await eventually(lambda: asyncio.sleep(0, first.said("is lost") == led), "the first stops")
            assert await slices(api) == before, "it wrote nothing"
            assert (first.said("leading:"), second.said("is lost")) == (led, 0)
            await make_pod(api, "c", ip(3))
            await eventually(lambda: right(api, ip(2), ip(3)), "the second goes on")

    uvloop.run(play())


def test_the_clock_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day goes back and forth by up to a day whenever it is read; nobody relies on it."""
    true, jumps = time.time, random.Random(4)
    monkeypatch.setattr(time, "time", lambda: true() + jumps.uniform(-86400, 86400))

    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        pods = {n: await make_pod(api, f"p{n}", ip(n)) for n in range(4)}
        await eventually(lambda: right(api, *map(ip, range(4))), "all pods are endpoints")
        for since in ("2030-01-01T00:00:00Z", "2020-01-01T00:00:00Z"):
            await become(api, pods[1], since, "False")
            await eventually(lambda: state(api, ip(1), False), "a pod is not ready")
            await become(api, pods[1], since, "True")
            await eventually(lambda: state(api, ip(1), True), "it is again")

    async def become(api: Api, pod: Pod, since: str, status: str) -> None:
        pod = await api.get(PODS, pod.metadata.name, "default")
        (condition,) = [c for c in pod.status.conditions if c.type == "Ready"]
        newer = replace(condition, status=status, lastTransitionTime=since)
        await api.replace(PODS, replace(pod, status=replace(pod.status, conditions=(newer,))), "status")

    async def state(api: Api, address: str, ready: bool) -> bool:
        return any(
            e.addresses == (address,) and e.conditions and e.conditions.ready is ready
            for e in await held(api)
        )

    story(told)


def test_a_pod_that_takes_over_a_dead_pods_address() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await make_pod(api, "a", ip(1))
        await eventually(lambda: right(api, ip(1)), "the first pod is an endpoint")
        for turn in range(5):  # a name again, as of a StatefulSet, and others
            await api.delete(PODS, "a" if turn == 0 else f"a{turn - 1}", "default", grace_period_seconds=0)
            made = await make_pod(api, "a" if turn == 4 else f"a{turn}", ip(1))

            async def is_it(uid: str = made.metadata.uid) -> bool:
                return [e.targetRef and e.targetRef.uid for e in await held(api)] == [uid]

            await eventually(is_it, "the endpoint is the new pod's")
            await eventually(lambda: right(api, ip(1)), "and Endpoints have it once")

    story(told)


def test_a_service_deleted_and_made_again_at_once() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await make_pod(api, "a", ip(1))
        await eventually(lambda: right(api, ip(1)), "the Service has an endpoint")
        for _ in range(5):
            await api.delete(SERVICES, "web", "default")
            made = await make_service(api)

            async def owned(uid: str = made.metadata.uid) -> bool:
                found = (
                    await api.list(ENDPOINTSLICES, "default", labels="kubernetes.io/service-name=web")
                ).items
                owners = {o.uid for s in found for o in s.metadata.ownerReferences}
                return len(found) == 1 and owners == {uid} and await right(api, ip(1))

            await eventually(owned, "its slices are its own, and there are no others")

    story(told)


def test_duplicates_that_a_crash_left_are_removed_at_the_start() -> None:
    async def play() -> None:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config = await stack.enter_async_context(api_server(Path(directory)))
            api = await stack.enter_async_context(Api(config))
            await make_node(api)
            await make_service(api)
            await make_pod(api, "a", ip(1))
            async with Api(config) as theirs, controllers(theirs):
                await eventually(lambda: right(api, ip(1)), "the pod is an endpoint")
            (piece,) = await slices(api)
            meta = replace(piece.metadata, name="web-copy", uid="", resourceVersion="")
            await api.create(ENDPOINTSLICES, replace(piece, metadata=meta))
            assert len(await held(api)) == 2

            async def once() -> bool:
                return await right(api, ip(1)) and len(await slices(api)) == 1

            async with Api(config) as theirs, controllers(theirs):
                await eventually(once, "it is an endpoint once")

    uvloop.run(play())


def test_changes_within_the_batch_period_are_one_write() -> None:
    async def play() -> None:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            server = await stack.enter_async_context(api_server(Path(directory)))
            theirs = await stack.enter_async_context(Api(server))
            config = EndpointsConfig(endpointslice_updates_batch_period=1, endpoint_updates_batch_period=1)
            health = Health()
            await stack.enter_async_context(running(run(theirs, config, health), health))
            api = await stack.enter_async_context(Api(server))
            await make_node(api)
            await make_service(api)
            seen: list[EndpointSlice | None] = []
            watching = Informer(api, ENDPOINTSLICES, labels="kubernetes.io/service-name=web")
            watching.subscribe(lambda change: seen.append(change.new))
            task = asyncio.create_task(watching.run())
            stack.callback(task.cancel)
            await eventually(lambda: asyncio.sleep(0, bool(seen)), "the Service has its empty slice, at once")
            began = asyncio.get_running_loop().time()
            for number in range(20):
                await make_pod(api, f"p{number}", ip(number))
            await eventually(lambda: right(api, *map(ip, range(20))), "all pods are endpoints")
            took = asyncio.get_running_loop().time() - began
            assert len(seen) <= 2 + took, "the empty slice, then one write a period"

    uvloop.run(play())


def test_hints_come_and_go_with_the_nodes() -> None:
    """The seed's example: two pods in zone a, one in zone b."""

    async def told(api: Api) -> None:
        for name, zone in (("node1", "a"), ("node2", "b"), ("node3", "a")):
            await make_node(api, name, zone, cpu="4")
        annotations = {"service.kubernetes.io/topology-mode": "Auto"}
        await make_service(api, annotations=annotations)
        for name, node, number in (("a1", "node1", 1), ("a2", "node1", 2), ("b1", "node2", 3)):
            await make_pod(api, name, ip(number), node=node)

        async def hints() -> list[str]:
            return [",".join(z.name for z in e.hints.forZones) if e.hints else "" for e in await held(api)]

        async def are(*zones: str) -> bool:
            return await hints() == list(zones)

        async def events() -> list[tuple[str, str]]:
            found = (await api.list(EVENTS, "default", fields="involvedObject.name=web")).items
            return [(e.reason, e.message) for e in found]

        async def told_last(message: str) -> bool:
            return any(message in text for _, text in await events())

        await eventually(lambda: are("a", "a", "b"), "each pod serves its own zone")
        await eventually(
            lambda: told_last("Topology Aware Hints has been enabled, addressType: IPv4"), "it is told"
        )
        await api.delete(NODES, "node3")
        await eventually(lambda: are("", "", ""), "two equal zones cannot share three endpoints")
        await eventually(
            lambda: told_last("exceeding overload threshold (3 endpoints, 2 zones)"), "it is told why"
        )
        await make_node(api, "node3", "a", cpu="4")
        await eventually(lambda: are("a", "a", "b"), "the hints are back")
        patch = {"metadata": {"annotations": {"service.kubernetes.io/topology-mode": None}}}
        await api.patch(SERVICES, "web", "default", patch)
        await eventually(lambda: are("", "", ""), "without the annotation there are none")
        await eventually(lambda: told_last("Topology Aware Hints has been disabled"), "it is told")
        await api.patch(SERVICES, "web", "default", {"spec": {"trafficDistribution": "PreferSameZone"}})
        await eventually(lambda: are("a", "a", "b"), "the field asks for them, too")

    story(told)


def test_what_was_overlooked_is_found_by_the_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safety net: a defect that hides a change of a pod hides it until the next resync only."""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            server = await stack.enter_async_context(api_server(Path(directory)))
            theirs = await stack.enter_async_context(Api(server))
            health = Health()
            config = EndpointsConfig(resync=0.5)
            await stack.enter_async_context(running(run(theirs, config, health), health))
            api = await stack.enter_async_context(Api(server))
            await make_node(api)
            await make_service(api)
            pod = await make_pod(api, "a", ip(1))
            await eventually(lambda: right(api, ip(1)), "the pod is an endpoint")
            monkeypatch.setattr(pod_endpoints, "concerns_endpoints", lambda old, new: False)
            await set_ready(api, pod, ip(1), False)
            await eventually(lambda: right_but_not_ready(api), "it is not ready, after all")

    async def right_but_not_ready(api: Api) -> bool:
        return [e.conditions and e.conditions.ready for e in await held(api)] == [False] and (
            await addresses(api) == ([], [ip(1)])
        )

    uvloop.run(play())


class Refusing(Api):
    """Writes for which `refusal` has an answer get that."""

    tries = 0

    def refusal(self, method: str, path: str, body: bytes) -> StatusError | None:
        raise NotImplementedError

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        if method != "GET" and "/events" not in path and (no := self.refusal(method, path, body or b"")):
            self.tries += 1
            return no.code, codec.encode(no.status)
        return await super().raw(method, path, body, headers, params)


class Faster(Refusing):
    """The first deletion meets another's write."""

    def refusal(self, method: str, path: str, body: bytes) -> StatusError | None:
        return (
            failure(409, "Conflict", "another one was faster")
            if method == "DELETE" and not self.tries
            else None
        )


def test_a_deletion_that_is_a_conflict_is_tried_again() -> None:
    """A slice that is believed to be gone would stay, with endpoints of its own."""
    clients, client = with_client(Faster)

    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await make_pod(api, "a", ip(1))
        await eventually(lambda: right(api, ip(1)), "the pod is an endpoint")
        (piece,) = await slices(api)
        meta = replace(piece.metadata, name="web-zzz", uid="", resourceVersion="")
        await api.create(ENDPOINTSLICES, replace(piece, metadata=meta))

        async def once() -> bool:
            return clients[0].tries == 1 and await right(api, ip(1)) and len(await slices(api)) == 1

        await eventually(once, "it is an endpoint once")

    story(told, client)


class WithoutIPv6(Refusing):
    """An admission webhook wants no slices of IPv6, say."""

    def refusal(self, method: str, path: str, body: bytes) -> StatusError | None:
        wanted = "/endpointslices" in path and b'"IPv6"' in body
        return failure(403, "Forbidden", "no IPv6 here") if wanted else None


async def events_about(api: Api, name: str) -> list[tuple[str, str, str]]:
    found = (await api.list(EVENTS, "default", fields=f"involvedObject.name={name}")).items
    return sorted((e.involvedObject.kind, e.reason, e.message) for e in found)


def test_one_family_that_is_refused_does_not_hold_the_other_up() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(
            api, clusterIP="None", ipFamilyPolicy="RequireDualStack", ipFamilies=("IPv6", "IPv4")
        )
        await make_pod(api, "a", ip(1))

        async def there() -> bool:
            return [e.addresses for e in await held(api)] == [(ip(1),)]

        async def complained() -> bool:
            text = (
                "Error updating Endpoint Slices for Service default/web: failed to create EndpointSlice"
                " for Service default/web: no IPv6 here"
            )
            return await events_about(api, "web") == [("Service", "FailedToUpdateEndpointSlices", text)]

        await eventually(there, "IPv4 is right")
        await eventually(complained, "the refusal is told, in upstream's words")

    story(told, WithoutIPv6)


class Ending(Refusing):
    """The namespace is going away: nothing new can be made in it."""

    def refusal(self, method: str, path: str, body: bytes) -> StatusError | None:
        if method != "POST":
            return None
        cause = StatusCause(reason="NamespaceTerminating", message="namespace default is being terminated")
        no = failure(403, "Forbidden", "it is being terminated")
        return StatusError(replace(no.status, details=StatusDetails(causes=(cause,))))


def test_a_namespace_that_goes_away_is_left_alone() -> None:
    clients, client = with_client(Ending)

    async def told(api: Api) -> None:
        for number in range(1, 6):  # a retry would come after 5 ms, before the last of them
            await make_service(api, f"web{number}")
            await eventually(
                lambda tries=2 * number: asyncio.sleep(0, clients[0].tries >= tries),  # type: ignore[misc]
                "both controllers tried",
            )
        assert clients[0].tries == 2 * 5, "once is enough"
        assert (await api.list(EVENTS, "default")).items == ()

    story(told, client)


class WithoutEndpoints(Refusing):
    def refusal(self, method: str, path: str, body: bytes) -> StatusError | None:
        wanted = path.endswith("/endpoints") and method == "POST"
        return failure(403, "Forbidden", "not allowed") if wanted else None


def test_endpoints_that_are_refused_are_told_at_the_endpoints() -> None:
    async def told(api: Api) -> None:
        await make_service(api)

        async def complained() -> bool:
            text = "Failed to create endpoint for service default/web: not allowed"
            return ("Endpoints", "FailedToCreateEndpoint", text) in await events_about(api, "web")

        await eventually(complained, "the refusal is told")

    story(told, WithoutEndpoints)


def test_a_pod_on_a_node_that_is_not_known_is_told_once() -> None:
    async def told(api: Api) -> None:
        await make_service(api)
        await make_pod(api, "a", ip(1), node="gone")

        async def complained() -> bool:
            text = (
                "Error updating Endpoint Slices for Service default/web:"
                " skipping Pod a for Service default/web: Node gone Not Found"
            )
            return await events_about(api, "web") == [("Service", "FailedToUpdateEndpointSlices", text)]

        await eventually(complained, "a user can see why the pod is no endpoint")
        await make_node(api, "gone")
        await eventually(lambda: right(api, ip(1)), "it is one as soon as the node is there")

    story(told)


def test_a_service_that_waits_for_its_deletion_is_followed() -> None:
    """A finalizer, a load balancer's say, can hold it for long, and clients still use it."""

    async def told(api: Api) -> None:
        await make_node(api)
        made = await make_service(api)
        await api.patch(SERVICES, "web", "default", {"metadata": {"finalizers": ["example.com/hold"]}})
        await make_pod(api, "a", ip(1))
        await eventually(lambda: right(api, ip(1)), "the pod is an endpoint")
        await api.delete(SERVICES, "web", "default", uid=made.metadata.uid)
        await make_pod(api, "b", ip(2))
        await eventually(lambda: right(api, ip(1), ip(2)), "slices and Endpoints still follow")
        await api.patch(SERVICES, "web", "default", {"metadata": {"finalizers": []}})

    story(told)


class Dying(Api):
    """Does so many writes, then no more: `dead` is set, and the last request never returns, sent or not."""

    def __init__(self, config: Config, writes: int, *, sends_the_last: bool) -> None:
        super().__init__(config)
        self.dead = asyncio.Event()
        self._writes = writes
        self._sends_the_last = sends_the_last

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        if method == "GET" or "/events" in path:
            return await super().raw(method, path, body, headers, params)
        self._writes -= 1
        if self._writes >= 0:
            return await super().raw(method, path, body, headers, params)
        if self._writes == -1 and self._sends_the_last:
            await super().raw(method, path, body, headers, params)
        self.dead.set()
        await asyncio.sleep(3600)
        raise AssertionError("it has been killed")


def test_killed_after_any_write_the_next_one_finishes_the_work() -> None:
    """Between the creation of a slice and the deletion of another, say; whether or not the last write arrived."""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config = await stack.enter_async_context(api_server(Path(directory)))
            api = await stack.enter_async_context(Api(config))
            await make_node(api)
            await make_service(api, ports=(ServicePort(name="http", port=80, targetPort="http"),))
            died = 0

            async def done(turn: int) -> bool:
                ports = {p.port for s in await slices(api) for p in s.ports}
                wanted = [ip(20 * turn + number) for number in range(10 if turn % 2 else 4)]
                return ports == {8000 + turn} and await right(api, *wanted)

            for turn in range(10):
                # all pods get another port and other names: slices are made, written over and deleted
                for number in range(10 if turn % 2 else 4):
                    await make_pod(api, f"t{turn}-{number}", ip(20 * turn + number), port=8000 + turn)
                for pod in (await api.list(PODS, "default", labels="app=web")).items:
                    if not pod.metadata.name.startswith(f"t{turn}-"):
                        await api.delete(PODS, pod.metadata.name, "default", grace_period_seconds=0)
                dying = Dying(config, turn // 2, sends_the_last=turn % 3 == 0)

                async def ended(turn: int = turn, dying: Dying = dying) -> bool:
                    """It is dead, or had less to do, for two controllers get on with it in an order of their own."""
                    return dying.dead.is_set() or await done(turn)

                async with dying, controllers(dying, 3):
                    await eventually(ended, "it is dead")
                died += dying.dead.is_set()
            assert died >= 5
            async with Api(config) as theirs, controllers(theirs, 3):
                await eventually(lambda: done(9), "all is right")
                assert len(await slices(api)) == 4

    uvloop.run(play())


class Expired(Api):
    """Notes how often a watch was told that its version is gone."""

    gone = 0

    async def watch(
        self, resource: Resource[Any], *args: Any, **options: Any
    ) -> AsyncGenerator[WatchEvent[Any], None]:
        try:
            async with aclosing(super().watch(resource, *args, **options)) as events:
                async for event in events:
                    yield event
        except StatusError as error:
            self.gone += error.code == 410
            raise


def test_the_api_server_is_restarted_with_its_history_compacted() -> None:
    async def play() -> None:
        with TemporaryDirectory(prefix="fairlead-test-") as text:
            directory = Path(text)
            async with AsyncExitStack() as stack:
                async with api_server(directory) as config, Api(config) as api:
                    theirs = await stack.enter_async_context(Expired(config))
                    await stack.enter_async_context(controllers(theirs))
                    await make_node(api)
                    await make_service(api)
                    await make_pod(api, "a", ip(1))
                    await make_pod(api, "b", ip(2))
                    await eventually(lambda: right(api, ip(1), ip(2)), "the controllers work")
                    names = [s.metadata.name for s in await slices(api)]
                async with api_server(directory) as elsewhere, Api(elsewhere) as api:
                    await make_pod(api, "c", ip(3))
                    await api.delete(PODS, "a", "default", grace_period_seconds=0)
                async with await open_store(f"sqlite:{directory / 'objects.db'}") as store:
                    await store.compact(store.revision)
                port = int(config.server.rpartition(":")[2])
                async with api_server(directory, port), Api(config) as api:
                    await eventually(lambda: right(api, ip(2), ip(3)), "they have caught up")
                    assert [s.metadata.name for s in await slices(api)] == names
                    assert theirs.gone >= 1, "their versions are gone"
                    await stack.aclose()

    uvloop.run(play())
