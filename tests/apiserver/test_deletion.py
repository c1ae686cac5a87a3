"""Deletion: grace, finalizers, owners, namespaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.serving import Client, config_map, pod, service, with_server

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def gone(status: int, _: Any) -> bool:
    return status == 404


def says(kind: str, message: str) -> Callable[[int, Any], bool]:
    """Whether a condition is true, with this message."""

    def told(_: int, said: Any) -> bool:
        found = said.get("status", {}).get("conditions", ())
        return any((c["type"], c["status"], c["message"]) == (kind, "True", message) for c in found)

    return told


def owned(owner: dict[str, Any], name: str = "dependent") -> dict[str, Any]:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    return config_map(name, ownerReferences=[reference])


def test_a_bound_pod_stays_until_its_node_lets_it_go(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(PODS, pod())
        await client.ask("POST", f"{PODS}/web/binding", {"target": {"name": "node1"}})
        status, deleted = await client.ask("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 3600})
        assert (status, deleted["metadata"]["deletionGracePeriodSeconds"]) == (200, 3600)
        first = deleted["metadata"]["deletionTimestamp"]
        _, longer = await client.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=7200")
        assert longer["metadata"]["deletionTimestamp"] == first
        _, shorter = await client.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=1")
        assert shorter["metadata"]["deletionTimestamp"] < first
        status, said = await client.ask("POST", PODS, pod())
        assert said["message"].startswith("object is being deleted:")
        await client.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=0")
        assert (await client.ask("GET", f"{PODS}/web"))[0] == 404

    with_server(tmp_path, test)


def test_an_unbound_pod_goes_at_once(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(PODS, pod())
        status, last = await client.ask("DELETE", f"{PODS}/web")
        assert (status, last["kind"]) == (200, "Pod")
        assert (await client.ask("GET", f"{PODS}/web"))[0] == 404

    with_server(tmp_path, test)


def test_a_finalizer_holds_an_object(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(MAPS, config_map(finalizers=["example.com/hold"]))
        status, held = await client.ask("DELETE", f"{MAPS}/settings")
        assert held["metadata"]["deletionTimestamp"]
        assert (await client.get(f"{MAPS}/settings"))["metadata"]["finalizers"] == ["example.com/hold"]
        await client.patch(f"{MAPS}/settings", {"metadata": {"finalizers": None}})
        assert (await client.ask("GET", f"{MAPS}/settings"))[0] == 404
        status, said = await client.ask("DELETE", MAPS)
        assert (status, said["kind"]) == (200, "ConfigMapList")

    with_server(tmp_path, test)


def test_dependents_go_after_their_owner(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        owner = await client.create(MAPS, config_map("owner"))
        await client.create(MAPS, owned(owner))
        await client.create(MAPS, config_map("other"))
        await client.ask("DELETE", f"{MAPS}/owner")
        await client.until(f"{MAPS}/dependent", gone)
        await client.get(f"{MAPS}/other")
        await client.create(MAPS, owned(owner, "late"))
        await client.until(f"{MAPS}/late", gone)

    with_server(tmp_path, test)


def test_orphans_stay(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        owner = await client.create(MAPS, config_map("owner"))
        await client.create(MAPS, owned(owner))
        await client.ask("DELETE", f"{MAPS}/owner?propagationPolicy=Orphan")
        await client.until(f"{MAPS}/owner", gone)
        assert "ownerReferences" not in (await client.get(f"{MAPS}/dependent"))["metadata"]

    with_server(tmp_path, test)


def test_foreground_deletion_waits_for_dependents(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        owner = await client.create(MAPS, config_map("owner"))
        dependent = owned(owner)
        dependent["metadata"]["finalizers"] = ["example.com/hold"]
        await client.create(MAPS, dependent)
        await client.ask("DELETE", f"{MAPS}/owner", {"propagationPolicy": "Foreground"})
        await client.until(f"{MAPS}/dependent", lambda _, found: "deletionTimestamp" in found["metadata"])
        assert (await client.get(f"{MAPS}/owner"))["metadata"]["finalizers"] == ["foregroundDeletion"]
        await client.patch(f"{MAPS}/dependent", {"metadata": {"finalizers": None}})
        await client.until(f"{MAPS}/owner", gone)

    with_server(tmp_path, test)


def test_a_service_takes_its_endpoints_and_slices_along(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create("/api/v1/namespaces/default/services", service())
        endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"}}
        await client.create("/api/v1/namespaces/default/endpoints", endpoints)
        reference = owned(made)["metadata"]["ownerReferences"]
        await client.create(
            SLICES,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "web-1", "ownerReferences": reference},
                "addressType": "IPv4",
                "endpoints": [],
            },
        )
        await client.ask("DELETE", "/api/v1/namespaces/default/services/web")
        assert (await client.ask("GET", "/api/v1/namespaces/default/endpoints/web"))[0] == 404
        await client.until(f"{SLICES}/web-1", gone)

    with_server(tmp_path, test)


def test_a_namespace_is_emptied_before_it_goes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        maps = "/api/v1/namespaces/shop/configmaps"
        assert (await client.get("/api/v1/namespaces/shop/serviceaccounts/default"))[
            "kind"
        ] == "ServiceAccount"
        assert "BEGIN CERTIFICATE" in (await client.get(f"{maps}/kube-root-ca.crt"))["data"]["ca.crt"]
        await client.create(maps, config_map("held", finalizers=["example.com/hold"]))
        status, ending = await client.ask("DELETE", "/api/v1/namespaces/shop")
        assert (status, ending["status"]["phase"]) == (200, "Terminating")
        status, said = await client.ask("POST", maps, config_map())
        assert (status, said["reason"]) == (403, "Forbidden")
        assert "because it is being terminated" in said["message"]
        await client.until(f"{maps}/kube-root-ca.crt", gone)
        await client.get("/api/v1/namespaces/shop")
        await client.patch(f"{maps}/held", {"metadata": {"finalizers": None}})
        await client.until("/api/v1/namespaces/shop", gone)

    with_server(tmp_path, test)


def test_the_pods_of_a_namespace_end_before_the_rest_goes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        await client.create("/api/v1/namespaces/shop/configmaps", config_map("needed"))
        spec = {"nodeName": "n", "containers": [{"name": "main", "image": "pause"}]}
        await client.create("/api/v1/namespaces/shop/pods", {"metadata": {"name": "web"}, "spec": spec})
        await client.ask("DELETE", "/api/v1/namespaces/shop")
        pod = "/api/v1/namespaces/shop/pods/web"
        await client.until(pod, lambda _, said: "deletionTimestamp" in said.get("metadata", {}))
        await client.get("/api/v1/namespaces/shop/configmaps/needed")
        await client.until(
            "/api/v1/namespaces/shop",
            says("NamespaceContentRemaining", "Some resources are remaining: pods. has 1 resource instances"),
        )
        # the node says that it has ended
        await client.ask("DELETE", f"{pod}?gracePeriodSeconds=0")
        await client.until("/api/v1/namespaces/shop", gone)

    with_server(tmp_path, test)


def test_a_namespace_says_which_finalizers_hold_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
        held = config_map("held", finalizers=["example.com/hold"])
        await client.create("/api/v1/namespaces/shop/configmaps", held)
        await client.ask("DELETE", "/api/v1/namespaces/shop")
        told = (
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        )
        await client.until("/api/v1/namespaces/shop", says("NamespaceFinalizersRemaining", told))
        path = "/api/v1/namespaces/shop/configmaps/held"
        patch = [{"op": "remove", "path": "/metadata/finalizers"}]
        await client.ask("PATCH", path, patch, headers={"Content-Type": "application/json-patch+json"})
        await client.until("/api/v1/namespaces/shop", gone)

    with_server(tmp_path, test)


def test_what_every_namespace_has_comes_back(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.ask("DELETE", f"{MAPS}/kube-root-ca.crt")
        await client.until(f"{MAPS}/kube-root-ca.crt", lambda status, _: status == 200)

    with_server(tmp_path, test)


@pytest.mark.parametrize("policy", ["Foreground", "Orphan", "Background"])
def test_a_namespace_goes_whatever_the_policy(tmp_path: Path, policy: str) -> None:
    async def test(client: Client) -> None:
        await client.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "shop"}})
        path = f"/api/v1/namespaces/shop?propagationPolicy={policy}"
        assert (await client.ask("DELETE", path))[0] == 200
        await client.until("/api/v1/namespaces/shop", gone)

    with_server(tmp_path, test)
