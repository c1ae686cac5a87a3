"""The controllers against the real API server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.client.queue import WorkQueue
from fairlead.endpoints import slicecontroller
from fairlead.endpoints.config import MIRRORING as MIRRORS
from fairlead.endpoints.config import SLICES, EndpointsConfig
from fairlead.endpoints.controller import run
from fairlead.endpoints.endpoints import MANAGED_BY as ENDPOINTS_MANAGED_BY
from fairlead.endpoints.mirroring import CONTROLLER as MIRRORING
from fairlead.endpoints.plan import Plan, plan_slices
from fairlead.endpoints.slices import SERVICE_NAME, TRIGGER_TIME
from fairlead.objects.core_v1 import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Service,
    ServicePort,
)
from fairlead.objects.discovery_v1 import Endpoint, EndpointSlice
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import ENDPOINTS, ENDPOINTSLICES, EVENTS, PODS, SERVICES
from tests.client.cluster import eventually, with_server
from tests.client.server import until
from tests.endpoints.cluster import (
    addresses,
    held,
    make_node,
    make_pod,
    make_service,
    ready,
    scenario,
    set_ready,
    slices,
)


def test_slices_and_endpoints_follow_readiness() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        one = await make_pod(api, "a", "10.244.1.2")
        await make_pod(api, "b", "10.244.1.3")

        async def both_ready() -> bool:
            return [ready(e) for e in await held(api)] == [True, True]

        async def one_ready() -> bool:
            return [ready(e) for e in await held(api)] == [False, True]

        await eventually(both_ready, "both pods are ready endpoints")
        (piece,) = await slices(api)
        assert piece.metadata.name.startswith("web-")
        assert TRIGGER_TIME in piece.metadata.annotations
        assert {e.zone for e in piece.endpoints} == {"a"}
        await set_ready(api, one, "10.244.1.2", False)
        await eventually(one_ready, "the first pod is a not-ready endpoint")

        async def not_ready_address() -> bool:
            return await addresses(api) == (["10.244.1.3"], ["10.244.1.2"])

        await eventually(not_ready_address, "it stands under notReadyAddresses")
        assert ENDPOINTS_MANAGED_BY in (await api.get(ENDPOINTS, "web", "default")).metadata.labels
        await set_ready(api, one, "10.244.1.2", True)
        await eventually(both_ready, "it is back")
        await api.delete(PODS, "a", "default", grace_period_seconds=0)

        async def gone() -> bool:
            return len(await held(api)) == 1 and await addresses(api) == (["10.244.1.3"], [])

        await eventually(gone, "a deleted pod is no endpoint")
        assert [s.metadata.name for s in await slices(api)] == [piece.metadata.name]

    scenario(told)


def test_pods_made_together_are_in_no_slice_twice() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await asyncio.gather(*(make_pod(api, f"p{n}", f"10.244.1.{n + 1}") for n in range(60)))

        async def complete() -> bool:
            # One that moves may be in two slices for a moment, as upstream.
            found = [e.addresses for e in await held(api)]
            return len(found) == len(set(found)) == 60

        await eventually(complete, "all pods are endpoints, once each")
        assert all(len(s.endpoints) <= 25 for s in await slices(api))

    scenario(told, limit=25)


def test_a_pod_whose_node_comes_later() -> None:
    async def told(api: Api) -> None:
        await make_service(api)
        await make_pod(api, "a", "10.244.1.2")

        async def empty() -> bool:
            return len(await slices(api)) == 1 and not await held(api)

        async def there() -> bool:
            return [e.zone for e in await held(api)] == ["b"]

        await eventually(empty, "the Service has an empty slice")
        await make_node(api, zone="b")
        await eventually(there, "the pod is an endpoint")

    scenario(told)


def test_a_change_of_the_selector() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await make_pod(api, "a", "10.244.1.2")
        await make_pod(api, "b", "10.244.1.3", app="other")

        async def holds(ip: str) -> bool:
            return [e.addresses for e in await held(api)] == [(ip,)]

        await eventually(lambda: holds("10.244.1.2"), "the first selector counts")
        await api.patch(SERVICES, "web", "default", {"spec": {"selector": {"app": "other"}}})
        await eventually(lambda: holds("10.244.1.3"), "the second selector counts")

    scenario(told)


def test_what_others_do_to_our_slices_is_mended_and_theirs_is_left_alone() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await make_pod(api, "a", "10.244.1.2")
        foreign = EndpointSlice(
            metadata=ObjectMeta(name="my-service-abc", namespace="default", labels={SERVICE_NAME: "web"}),
            addressType="IPv4",
            endpoints=(Endpoint(addresses=("192.0.2.7",)),),
        )
        foreign = await api.create(ENDPOINTSLICES, foreign)

        async def right() -> bool:
            return [e.addresses for e in await held(api)] == [("10.244.1.2",)]

        await eventually(right, "the slice is there")
        (piece,) = await slices(api)
        await api.delete(ENDPOINTSLICES, piece.metadata.name, "default")
        await eventually(right, "a deleted slice is made again")
        (piece,) = await slices(api)
        await api.replace(ENDPOINTSLICES, replace(piece, endpoints=()))
        await eventually(right, "an emptied slice is filled again")
        await api.delete(ENDPOINTS, "web", "default")

        async def endpoints_right() -> bool:
            return await addresses(api) == (["10.244.1.2"], [])

        await eventually(endpoints_right, "deleted Endpoints are made again")
        assert await api.get(ENDPOINTSLICES, "my-service-abc", "default") == foreign

    scenario(told)


def test_a_service_that_goes_takes_all_along() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await make_pod(api, "a", "10.244.1.2")

        async def there() -> bool:
            return bool(await held(api)) and (await addresses(api))[0] != []

        async def gone() -> bool:
            return not await slices(api) and await addresses(api) == ([], [])

        await eventually(there, "the Service has endpoints")
        await api.delete(SERVICES, "web", "default")
        await eventually(gone, "slices and Endpoints are gone")
        await make_service(api)
        await eventually(there, "a Service made again has endpoints")

    scenario(told)


def test_the_seeds_external_database_is_mirrored() -> None:
    async def told(api: Api) -> None:
        await make_service(api, "external-database", selector={}, ports=(ServicePort(port=5432),))
        ips = ("192.168.1.100", "192.168.1.101")
        made = await api.create(
            ENDPOINTS,
            Endpoints(
                metadata=ObjectMeta(name="external-database", namespace="default"),
                subsets=(
                    EndpointSubset(
                        addresses=tuple(EndpointAddress(ip=ip) for ip in ips),
                        ports=(EndpointPort(port=5432),),
                    ),
                ),
            ),
        )

        async def mirrors(*expected: str) -> bool:
            found = await held(api, "external-database", MIRRORING)
            return [e.addresses[0] for e in found] == list(expected)

        await eventually(lambda: mirrors(*ips), "the Endpoints are mirrored")
        assert await slices(api, "external-database") == (), "and nothing else is made for them"
        subset = replace(made.subsets[0], addresses=(EndpointAddress(ip="192.168.1.102"),))
        await api.replace(ENDPOINTS, replace(made, subsets=(subset,)))
        await eventually(lambda: mirrors("192.168.1.102"), "an update is followed")
        await api.delete(ENDPOINTS, "external-database", "default")
        await eventually(mirrors, "a deletion is followed")

    scenario(told)


def test_a_pods_status_reaches_the_slice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for no period: the shortest, a second, never ends here. The benchmark says how fast it is."""
    add_after = WorkQueue.add_after

    def in_a_moment_or_never(queue: WorkQueue[Any], key: Any, delay: float) -> None:
        if delay < 0.5:
            add_after(queue, key, delay)

    monkeypatch.setattr(WorkQueue, "add_after", in_a_moment_or_never)

    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        pod = await make_pod(api, "a", "10.244.1.2")
        seen: list[bool | None] = []
        watching = Informer(api, ENDPOINTSLICES, labels=f"{SERVICE_NAME}=web")
        watching.subscribe(
            lambda c: seen.append(ready(c.new.endpoints[0]) if c.new and c.new.endpoints else None)
        )
        task = asyncio.create_task(watching.run())
        await until(lambda: seen[-1:] == [True], "the pod is a ready endpoint")
        for turn in range(20):
            wanted = turn % 2 == 1
            pod = await set_ready(api, pod, "10.244.1.2", wanted)
            await until(lambda wanted=wanted: seen[-1] is wanted, "the slice says so")  # type: ignore[misc]
        task.cancel()

    scenario(told)


def test_a_selector_takes_the_mirrors_away() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api, selector={})
        subset = EndpointSubset(addresses=(EndpointAddress(ip="192.0.2.7"),), ports=(EndpointPort(port=80),))
        await api.create(
            ENDPOINTS, Endpoints(metadata=ObjectMeta(name="web", namespace="default"), subsets=(subset,))
        )

        async def mirrors(*ips: str) -> bool:
            return [e.addresses[0] for e in await held(api, manager=MIRRORING)] == list(ips)

        async def own(*ips: str) -> bool:
            return [e.addresses[0] for e in await held(api)] == list(ips) and await mirrors()

        await eventually(lambda: mirrors("192.0.2.7"), "the Endpoints are mirrored")
        await make_pod(api, "a", "10.244.1.2")
        await api.patch(SERVICES, "web", "default", {"spec": {"selector": {"app": "web"}}})
        await eventually(lambda: own("10.244.1.2"), "the mirror is gone, the pod is the endpoint")

    scenario(told)


def test_the_endpoints_controller_can_be_turned_off() -> None:
    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        await make_pod(api, "a", "10.244.1.2")

        async def there() -> bool:
            return [e.addresses for e in await held(api)] == [("10.244.1.2",)]

        await eventually(there, "the Service has its slice")
        names = [e.metadata.name for e in (await api.list(ENDPOINTS, "default")).items]
        assert "web" not in names

    config = EndpointsConfig(controllers=(SLICES, MIRRORS))
    with_server(told, lambda api, health: run(api, config, health))


def test_endpoints_too_many_to_mirror_are_told() -> None:
    async def told(api: Api) -> None:
        await make_service(api, "db", selector={})
        ips = [f"192.0.2.{n}" for n in range(1, 6)]
        subset = EndpointSubset(addresses=tuple(EndpointAddress(ip=ip) for ip in ips))
        await api.create(
            ENDPOINTS, Endpoints(metadata=ObjectMeta(name="db", namespace="default"), subsets=(subset,))
        )

        async def mirrored() -> bool:
            return len(await held(api, "db", MIRRORING)) == 3

        async def events() -> bool:
            found = (await api.list(EVENTS, "default")).items
            return [(e.reason, e.message, e.involvedObject.kind) for e in found] == [
                (
                    "TooManyAddressesToMirror",
                    "A max of 3 addresses can be mirrored to EndpointSlices per Endpoints subset."
                    " 2 addresses were skipped",
                    "Endpoints",
                )
            ]

        await eventually(mirrored, "as many as there may be are mirrored")
        await eventually(events, "it is told")

    config = EndpointsConfig(mirroring_max_endpoints_per_subset=3)
    with_server(told, lambda api, health: run(api, config, health))


def test_metrics_have_upstreams_names() -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    subsystem = "endpoint_slice_controller"

    async def told(api: Api) -> None:
        created = value(f"{subsystem}_changes", operation="create")
        await make_node(api)
        await make_service(api, trafficDistribution="PreferSameZone")
        await asyncio.gather(*(make_pod(api, f"p{n}", f"10.244.1.{n + 1}") for n in range(25)))

        async def complete() -> bool:
            return len(await held(api)) == 25

        await eventually(complete, "all pods are endpoints")
        await until(lambda: value(f"{subsystem}_endpoints_desired") == 25, "the endpoints are counted")
        assert value(f"{subsystem}_num_endpoint_slices") >= 3
        assert value(f"{subsystem}_desired_endpoint_slices") == 3
        assert value(f"{subsystem}_changes", operation="create") - created >= 3
        assert value(f"{subsystem}_syncs", result="success") >= 1
        distribution = {"traffic_distribution": "PreferSameZone"}
        assert value(f"{subsystem}_services_count_by_traffic_distribution", **distribution) == 1
        changed = {"topology": "Disabled", **distribution}
        assert value(f"{subsystem}_endpointslices_changed_per_sync_count", **changed) >= 1
        assert value(f"{subsystem}_endpoints_added_per_sync_sum") >= 25
        await api.delete(SERVICES, "web", "default")
        await until(
            lambda: value(f"{subsystem}_endpoints_desired") == 0, "a Service that goes is not counted"
        )
        assert value(f"{subsystem}_num_endpoint_slices") == 0
        assert value(f"{subsystem}_services_count_by_traffic_distribution", **distribution) == 0

    scenario(told, limit=10)


def test_a_change_of_one_pod_of_many_never_leads_to_a_plan_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not because a watch tells of our own write before its answer is here."""
    whole: list[str] = []

    def counted(service: Service, *arguments: Any) -> Plan:
        whole.append(service.metadata.name)
        return plan_slices(service, *arguments)

    async def told(api: Api) -> None:
        await make_node(api)
        await make_service(api)
        pods = [await make_pod(api, f"p{n}", f"10.244.1.{n + 1}") for n in range(20)]

        async def states() -> list[bool | None]:
            return [
                ready(e) for e in sorted(await held(api), key=lambda e: int(e.addresses[0].split(".")[3]))
            ]

        async def all_ready() -> bool:
            return await states() == [True] * 20

        async def one_is_not(number: int) -> bool:
            return await states() == [n != number for n in range(20)]

        await eventually(all_ready, "all pods are ready endpoints")
        monkeypatch.setattr(slicecontroller, "plan_slices", counted)
        for number in range(0, 20, 5):
            await set_ready(api, pods[number], f"10.244.1.{number + 1}", False)
            await eventually(lambda n=number: one_is_not(n), "one pod is not ready")  # type: ignore[misc]
            await set_ready(api, pods[number], f"10.244.1.{number + 1}", True)
            await eventually(all_ready, "it is ready again")
        assert whole == []

    scenario(told, limit=5)
