"""The controllers against a strict double of a real cluster's API server (strict.py), as it was and as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import uvloop
import yaml
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.election import ElectionConfig
from fairlead.endpoints.config import EndpointsConfig
from fairlead.endpoints.controller import run_elected
from fairlead.endpoints.mirroring import CONTROLLER as MIRRORING
from fairlead.objects.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import ENDPOINTS, EVENTS, LEASES, NODES, PODS, SERVICES
from fairlead.process import Health
from tests.client.cluster import eventually, running
from tests.endpoints.cluster import (
    addresses,
    held,
    make_node,
    make_pod,
    make_service,
    set_ready,
    slices,
)
from tests.endpoints.strict import RULES, Gate, strict


def story(told: Callable[[Api, Gate], Awaitable[None]], *, modern: bool = True) -> None:
    """Runs it in an empty cluster; the controllers, which elect a leader, know the strict double only."""

    async def play() -> None:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config, admin, gate = await stack.enter_async_context(strict(Path(folder), modern=modern))
            theirs = await stack.enter_async_context(Api(config))
            health = Health()
            election = ElectionConfig("fairlead-endpoints")
            work = run_elected(theirs, EndpointsConfig(max_endpoints_per_slice=4), election, health)
            async with running(work, health):
                await told(admin, gate)
            assert gate.wrongs == []

    uvloop.run(play())


@pytest.mark.parametrize("modern", [False, True], ids=["as 1.21", "as 1.36"])
def test_all_that_the_controllers_do_is_allowed(modern: bool) -> None:
    """Each controller makes, changes and deletes; Events, a Lease; and nothing that a server may refuse."""

    async def told(api: Api, gate: Gate) -> None:
        for number, zone in enumerate("aba"):
            await make_node(api, f"node{number + 1}", zone, cpu="4")
        await make_service(api, annotations={"service.kubernetes.io/topology-mode": "Auto"})
        ips = [f"10.244.1.{n + 1}" for n in range(9)]
        pods = [await make_pod(api, f"p{n}", ip, node=f"node{n % 3 + 1}") for n, ip in enumerate(ips)]

        async def right(*expected: str) -> bool:
            there = sorted(e.addresses[0] for e in await held(api))
            return there == sorted(expected) == sorted((await addresses(api))[0])

        await eventually(lambda: right(*ips), "all pods are endpoints")
        await set_ready(api, pods[0], ips[0], False)
        for pod in pods[3:]:
            await api.delete(PODS, pod.metadata.name, "default", grace_period_seconds=0)

        async def fewer() -> bool:
            return await addresses(api) == (ips[1:3], ips[:1]) and len(await held(api)) == 3

        await eventually(fewer, "changes are followed")
        await api.delete(NODES, "node1")
        await make_service(api, "db", selector={})
        subset = EndpointSubset(addresses=(EndpointAddress(ip="192.0.2.7"),), ports=(EndpointPort(port=80),))
        meta = ObjectMeta(name="db", namespace="default")
        made = await api.create(ENDPOINTS, Endpoints(metadata=meta, subsets=(subset,)))

        async def mirrored(*expected: str) -> bool:
            return [e.addresses[0] for e in await held(api, "db", MIRRORING)] == list(expected)

        await eventually(lambda: mirrored("192.0.2.7"), "hand-made Endpoints are mirrored")
        other = replace(subset, addresses=(EndpointAddress(ip="192.0.2.8"),))
        await api.replace(ENDPOINTS, replace(made, subsets=(other,)))
        await eventually(lambda: mirrored("192.0.2.8"), "a change is followed")
        await api.delete(ENDPOINTS, "db", "default")
        await eventually(mirrored, "a deletion is followed")

        async def told_why() -> bool:
            reasons = {e.reason for e in (await api.list(EVENTS, "default")).items}
            return {"TopologyAwareHintsEnabled", "FailedToUpdateEndpointSlices"} <= reasons

        await eventually(told_why, "Events tell of hints, and of pods whose node is gone")
        await api.delete(SERVICES, "web", "default")

        async def gone() -> bool:
            return not await slices(api) and await addresses(api) == ([], [])

        await eventually(gone, "a Service that goes takes all along")
        assert (await api.get(LEASES, "fairlead-endpoints", "kube-system")).spec.holderIdentity
        # every way to ask was used, each where it can be
        assert bool([s for s in gate.sent("GET", "/pods") if "limit" in s.query]) is not modern
        assert all(s.query["allowWatchBookmarks"] == "true" for s in gate.record if "watch" in s.query)
        for method in ("POST", "PUT", "DELETE"):
            assert gate.sent(method, "/endpointslices"), method
        assert not [s for s in gate.record if s.path in ("/api", "/apis", "/version")], (
            "it asks for no discovery"
        )

    story(told, modern=modern)


def test_lists_are_read_page_by_page() -> None:
    async def told(api: Api, gate: Gate) -> None:
        lists = [s for s in gate.sent("GET", "/api/v1/services") if "watch" not in s.query]
        assert any("continue" in s.query for s in lists), "ten Services in pages of three"
        await make_node(api)
        await make_pod(api, "a", "10.244.1.2", app="s7")

        async def there() -> bool:
            return [e.addresses for e in await held(api, "s7")] == [("10.244.1.2",)]

        await eventually(there, "the Service of the last page is known")

    async def play() -> None:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config, admin, gate = await stack.enter_async_context(strict(Path(folder), modern=False))
            for number in range(10):
                await make_service(admin, f"s{number}")
            theirs = await stack.enter_async_context(Api(config))
            health = Health()
            async with running(run_elected(theirs, EndpointsConfig(), None, health), health):
                await told(admin, gate)
            assert gate.wrongs == []

    uvloop.run(play())


UID = "a uid"


def without_uids(value: Any) -> Any:
    """The same with every uid as one word: the server chose them."""
    if isinstance(value, dict):
        return {name: UID if name == "uid" else without_uids(each) for name, each in value.items()}
    return [without_uids(each) for each in value] if isinstance(value, list) else value


def test_what_is_sent_is_what_upstreams_controllers_send() -> None:
    """Written down from upstream's source (newEndpointSlice, podToEndpoint, syncService, and the mirroring
    controller's newEndpointSlice), and compared whole: nothing is missing, and nothing more is said.
    """
    target = {"kind": "Pod", "namespace": "default", "name": "a", "uid": UID}
    expected_slice = {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "generateName": "web-",
            "namespace": "default",
            "labels": {
                "team": "shop",
                "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": "web",
                    "uid": UID,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.244.1.2"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": target,
                "nodeName": "node1",
                "zone": "a",
            }
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    expected_endpoints = {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "labels": {"team": "shop", "endpoints.kubernetes.io/managed-by": "endpoint-controller"},
        },
        "subsets": [
            {
                "addresses": [{"ip": "10.244.1.2", "nodeName": "node1", "targetRef": target}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            }
        ],
    }
    expected_mirror = {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "generateName": "db-",
            "namespace": "default",
            "labels": {
                "by": "hand",
                "kubernetes.io/service-name": "db",
                "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
            },
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Endpoints",
                    "name": "db",
                    "uid": UID,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.7"], "conditions": {"ready": False}}],
        "ports": [{"name": "", "port": 5432, "protocol": "TCP"}],
    }

    async def play() -> None:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="fairlead-test-"))
            config, api, gate = await stack.enter_async_context(strict(Path(folder), modern=True))
            await make_node(api)
            await make_pod(api, "a", "10.244.1.2")
            web = await make_service(api, labels={"team": "shop"})
            await make_service(api, "db", selector={})
            subset = EndpointSubset(
                notReadyAddresses=(EndpointAddress(ip="192.0.2.7"),), ports=(EndpointPort(port=5432),)
            )
            meta = ObjectMeta(name="db", namespace="default", labels={"by": "hand"})
            await api.create(ENDPOINTS, Endpoints(metadata=meta, subsets=(subset,)))
            theirs = await stack.enter_async_context(Api(config))
            health = Health()
            async with running(run_elected(theirs, EndpointsConfig(), None, health), health):
                await eventually(
                    lambda: asyncio.sleep(0, len([s for s in gate.record if s.method == "POST"]) >= 3),
                    "three objects are made",
                )
            bodies = [without_uids(s.body) for s in gate.record if s.method == "POST"]
            for body in bodies:
                annotations = body["metadata"].pop("annotations", {})
                trigger = {"endpoints.kubernetes.io/last-change-trigger-time": web.metadata.creationTimestamp}
                assert annotations == ({} if body["metadata"].get("generateName") == "db-" else trigger)
            for expected in (expected_slice, expected_endpoints, expected_mirror):
                assert expected in bodies
            assert len(bodies) == 3

    uvloop.run(play())


def test_the_rights_in_the_document_are_those() -> None:
    """What docs/endpoints.md tells a user to grant is what the double grants."""
    text = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text()
    start = text.index("    kind: ClusterRole")
    role = yaml.safe_load(text[start : text.index("\n\n", start)])
    written = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert written == {
        (group, resource, verb)
        for group, verbs, resources in RULES
        for resource in resources.split()
        for verb in verbs.split()
    }
