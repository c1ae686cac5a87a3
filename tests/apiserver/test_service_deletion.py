"""What goes with a Service: its Endpoints at once, its slices as dependents, its reservations when it is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.apiserver import reserved
from tests.apiserver.serving import Client, service, with_server

SERVICES = "/api/v1/namespaces/default/services"
ENDPOINTS = "/api/v1/namespaces/default/endpoints"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"


def gone(status: int, _: Any) -> bool:
    return status == 404


async def furnished(client: Client, **metadata: Any) -> dict[str, Any]:
    """A Service with what the endpoint controllers make for it."""
    wanted = service(type="NodePort", ports=[{"port": 80, "nodePort": 30123}])
    wanted["metadata"] |= metadata
    made: dict[str, Any] = await client.create(SERVICES, wanted)
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": "web",
        "uid": made["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    await client.create(ENDPOINTS, {"metadata": {"name": "web"}})
    await client.create(ENDPOINTS, {"metadata": {"name": "other"}})
    await client.create(
        SLICES,
        {
            "metadata": {
                "name": "web-abcde",
                "labels": {"kubernetes.io/service-name": "web"},
                "ownerReferences": [owner],
            },
            "addressType": "IPv4",
            "endpoints": [],
        },
    )
    return made


async def nothing_reserved(client: Client) -> None:
    names = [item["metadata"]["name"] for item in (await client.get(ADDRESSES))["items"]]
    assert names == ["10.96.0.1"]
    await client.create(SERVICES, service("next", type="NodePort", ports=[{"port": 80, "nodePort": 30123}]))


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan", None])
def test_the_endpoints_go_with_it_whatever_becomes_of_the_slices(tmp_path: Path, policy: str | None) -> None:
    async def test(client: Client) -> None:
        made = await furnished(client)
        body = {} if policy is None else {"propagationPolicy": policy}
        status, last = await client.ask("DELETE", f"{SERVICES}/web", body)
        assert (status, last["kind"], last["metadata"]["uid"]) == (200, "Service", made["metadata"]["uid"])
        await client.until(f"{SERVICES}/web", gone)
        assert (await client.ask("GET", f"{ENDPOINTS}/web"))[0] == 404
        await client.get(f"{ENDPOINTS}/other")
        if policy == "Orphan":
            left = await client.get(f"{SLICES}/web-abcde")
            assert "ownerReferences" not in left["metadata"]
        else:
            await client.until(f"{SLICES}/web-abcde", gone)
        await nothing_reserved(client)

    with_server(tmp_path, test)
    reserved.check_file(tmp_path)


def test_a_finalizer_holds_it_with_all_that_it_has(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await furnished(client, finalizers=["service.kubernetes.io/load-balancer-cleanup"])
        address = made["spec"]["clusterIP"]
        status, marked = await client.ask("DELETE", f"{SERVICES}/web")
        assert (status, bool(marked["metadata"]["deletionTimestamp"])) == (200, True)
        await client.get(f"{SERVICES}/web")
        await client.get(f"{ENDPOINTS}/web")
        await client.get(f"{SLICES}/web-abcde")
        await client.get(f"{ADDRESSES}/{address}")
        status, said = await client.ask("POST", SERVICES, service("twin", clusterIP=address))
        assert (status, "already allocated" in said["message"]) == (422, True)
        await client.patch(f"{SERVICES}/web", {"metadata": {"finalizers": None}})
        await client.until(f"{SERVICES}/web", gone)
        assert (await client.ask("GET", f"{ENDPOINTS}/web"))[0] == 404
        await client.until(f"{SLICES}/web-abcde", gone)
        await nothing_reserved(client)

    with_server(tmp_path, test)
    reserved.check_file(tmp_path)


def test_a_collection_and_a_namespace_give_everything_back(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for i in range(5):
            body = service(f"s{i}", type="LoadBalancer", externalTrafficPolicy="Local")
            await client.create(SERVICES, body)
        status, _ = await client.ask("DELETE", f"{SERVICES}?fieldSelector=metadata.name!=kubernetes")
        assert status == 200
        await nothing_reserved(client)
        await client.ask("DELETE", f"{SERVICES}/next")
        await client.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        await client.create("/api/v1/namespaces/shop/services", service(type="NodePort"))
        await client.ask("DELETE", "/api/v1/namespaces/shop")
        await client.until("/api/v1/namespaces/shop", gone)
        await nothing_reserved(client)

    with_server(tmp_path, test)
    reserved.check_file(tmp_path)


def test_status_is_kept_and_cleared_as_upstream_does(tmp_path: Path) -> None:
    ingress: list[dict[str, Any]] = [
        {"ip": "192.0.2.1"},
        {"hostname": "lb.example.com", "ports": [{"port": 80, "protocol": "TCP"}]},
    ]
    condition = {
        "type": "LoadBalancerPortsError",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "Example",
        "message": "",
    }

    async def test(client: Client) -> None:
        at = f"{SERVICES}/web"
        first = service(type="LoadBalancer")
        first["status"] = {"loadBalancer": {"ingress": ingress}}
        made = await client.create(SERVICES, first)
        assert made["status"] == {"loadBalancer": {}}, "a creator has no say in status"
        body = {
            "spec": {"type": "ClusterIP"},
            "status": {"loadBalancer": {"ingress": ingress}, "conditions": [condition]},
        }
        status, changed = await client.patch(f"{at}/status", body)
        assert (status, changed["spec"]) == (200, made["spec"]), "a status update has no say in spec"
        shown = [ingress[0] | {"ipMode": "VIP"}, ingress[1]]
        assert changed["status"] == {"loadBalancer": {"ingress": shown}, "conditions": [condition]}
        _, changed = await client.patch(
            at, {"status": {"loadBalancer": None}, "metadata": {"labels": {"a": "b"}}}
        )
        assert changed["status"]["loadBalancer"] == {"ingress": shown}
        status, said = await client.patch(
            f"{at}/status", {"status": {"loadBalancer": {"ingress": [{"ip": "x"}]}}}
        )
        assert (status, said["details"]["causes"][0]["field"]) == (422, "status.loadBalancer.ingress[0].ip")
        _, changed = await client.patch(at, {"spec": {"type": "NodePort"}})
        assert changed["status"] == {"loadBalancer": {}, "conditions": [condition]}

    with_server(tmp_path, test)
