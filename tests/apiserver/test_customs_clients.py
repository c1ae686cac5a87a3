"""Custom resources as kubectl and the official Python client see them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from tests.apiserver.customs import DEFINITIONS, definition, establish, widget
from tests.apiserver.kubectl import Kubectl, kubectls
from tests.apiserver.serving import Client, with_server

pytestmark = pytest.mark.timeout(600)
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH")
every_kubectl = pytest.mark.parametrize("program", kubectls().values(), ids=kubectls().keys())

POOLS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: ipaddresspools.metallb.io
  annotations: {controller-gen.kubebuilder.io/version: v0.14.0}
spec:
  group: metallb.io
  names: {kind: IPAddressPool, listKind: IPAddressPoolList, plural: ipaddresspools, singular: ipaddresspool}
  scope: Namespaced
  versions:
  - name: v1beta1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {jsonPath: .spec.autoAssign, name: Auto Assign, type: boolean}
    - {jsonPath: .spec.avoidBuggyIPs, name: Avoid Buggy IPs, type: boolean}
    - {jsonPath: .spec.addresses, name: Addresses, type: string}
    schema:
      openAPIV3Schema:
        description: IPAddressPool represents a pool of IP addresses that can be allocated to LoadBalancer services.
        type: object
        required: [spec]
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec:
            description: IPAddressPoolSpec defines the desired state of IPAddressPool.
            type: object
            required: [addresses]
            properties:
              addresses:
                description: A list of IP address ranges over which MetalLB has authority.
                type: array
                items: {type: string}
              autoAssign: {type: boolean, default: true, description: Whether it is used without being asked for.}
              avoidBuggyIPs: {type: boolean, default: false}
              serviceAllocation:
                type: object
                properties:
                  priority: {type: integer}
                  namespaces: {type: array, items: {type: string}}
                  serviceSelectors:
                    type: array
                    items:
                      type: object
                      x-kubernetes-map-type: atomic
                      properties:
                        matchLabels: {type: object, additionalProperties: {type: string}}
                        matchExpressions:
                          type: array
                          items:
                            type: object
                            required: [key, operator]
                            properties:
                              key: {type: string}
                              operator: {type: string}
                              values: {type: array, items: {type: string}, x-kubernetes-list-type: atomic}
          status:
            type: object
            properties:
              assignedIPv4: {type: integer, format: int64}
              availableIPv4: {type: integer, format: int64}
"""
POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: first, namespace: default}
spec: {addresses: [192.0.2.0/24, 2001:db8::-2001:db8::ff]}
"""
NAME = "ipaddresspools.metallb.io"


@every_kubectl
def test_a_pool_as_its_users_handle_it(tmp_path: Path, program: str) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client, program)
        assert (
            await kubectl("apply", "-f", "-", stdin=POOLS)
            == f"customresourcedefinition.apiextensions.k8s.io/{NAME} created\n"
        )
        assert "condition met" in await kubectl(
            "wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=120s"
        )
        assert (await kubectl("apply", "-f", "-", stdin=POOLS)).endswith("unchanged\n")
        assert "created" in await kubectl("apply", "-f", "-", stdin=POOL)
        assert "unchanged" in await kubectl("apply", "-f", "-", stdin=POOL)
        assert "configured" in await kubectl("apply", "-f", "-", stdin=POOL.replace("192.0.2", "198.51.100"))
        shown = (await kubectl("get", "ipaddresspools")).splitlines()
        assert shown[0].split() == ["NAME", "AUTO", "ASSIGN", "AVOID", "BUGGY", "IPS", "ADDRESSES"]
        assert shown[1].split() == ["first", "true", "false", '["198.51.100.0/24","2001:db8::-2001:db8::ff"]']
        explained = await kubectl("explain", "ipaddresspool.spec.addresses")
        assert "IP address ranges over which MetalLB has authority" in explained
        assert "autoAssign" in await kubectl("explain", "ipaddresspool.spec")
        patch = '{"spec":{"autoAssign":false}}'
        assert "patched" in await kubectl("patch", "ipaddresspool", "first", "--type=merge", "-p", patch)
        assert await kubectl("get", "ipaddresspool", "first", "-o", "jsonpath={.spec.autoAssign}") == "false"
        assert "labeled" in await kubectl("label", "ipaddresspool", "first", "zone=a")
        wrong = await kubectl("apply", "-f", "-", stdin=POOL.replace("addresses", "adresses"), fails=True)
        assert "adresses" in wrong
        assert "deleted" in await kubectl("delete", "crd", NAME, "--timeout=120s")
        gone = await kubectl("get", "ipaddresspools", fails=True)
        assert "could not find the requested resource" in gone or "doesn't have a resource type" in gone

    with_server(tmp_path, test)


@needs_kubectl
def test_kubectl_scales_and_applies_on_the_servers_side(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client)
        spec = {"type": "object", "properties": {"replicas": {"type": "integer", "default": 1}}}
        obj = definition(schema=spec, categories=["all"], shortNames=["wd"])
        paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
        obj["spec"]["versions"][0]["subresources"] = {"status": {}, "scale": paths}
        path = await establish(client, obj)
        await client.create(path, widget(spec={}))
        assert "scaled" in await kubectl("scale", "--replicas=4", "wd/a")
        assert (await client.get(f"{path}/a"))["spec"]["replicas"] == 4
        assert "widget.example.com/a" in await kubectl("get", "all")
        manifest = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: b}\nspec: {replicas: 2}\n"
        applied = await kubectl("apply", "--server-side", "--field-manager=tour", "-f", "-", stdin=manifest)
        assert applied == "widget.example.com/b serverside-applied\n"
        assert (await client.get(f"{path}/b"))["metadata"]["managedFields"][0]["operation"] == "Apply"

    with_server(tmp_path, test)


@needs_kubectl
def test_a_namespace_takes_its_custom_resources_along(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client)
        await establish(client, definition())
        await client.create(
            "/api/v1/namespaces", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}}
        )
        path = "/apis/example.com/v1/namespaces/shop/widgets"
        await client.create(path, widget())
        assert "deleted" in await kubectl("delete", "namespace", "shop", "--timeout=120s")
        assert (await client.get("/apis/example.com/v1/widgets"))["items"] == []

    with_server(tmp_path, test)


def test_the_python_client(tmp_path: Path) -> None:
    def tour(url: str, token: str, authority: str) -> list[Any]:
        config = kubernetes.client.Configuration(host=url, api_key={"authorization": f"Bearer {token}"})
        config.ssl_ca_cert = authority
        with kubernetes.client.ApiClient(config) as api:
            definitions = kubernetes.client.ApiextensionsV1Api(api)
            found = definitions.list_custom_resource_definition().items
            customs = kubernetes.client.CustomObjectsApi(api)
            place = ("example.com", "v1", "default", "widgets")
            customs.create_namespaced_custom_object(*place, widget(spec={"size": 1}))
            customs.patch_namespaced_custom_object(*place, "a", {"spec": {"size": 2}})
            made: Any = customs.get_namespaced_custom_object(*place, "a")
            customs.replace_namespaced_custom_object(*place, "a", {**made, "spec": {"size": 3}})
            watch: Any = kubernetes.watch
            events = watch.Watch().stream(customs.list_namespaced_custom_object, *place, timeout_seconds=1)
            seen = [(event["type"], event["object"]["spec"]["size"]) for event in events]
            customs.delete_namespaced_custom_object(*place, "a")
            left: Any = customs.list_namespaced_custom_object(*place)
            names = [one.metadata.name for one in found if one.metadata is not None]
            return [names, seen, left["items"]]

    async def test(client: Client) -> None:
        await establish(client, definition())
        url = str(client.session._base_url).rstrip("/")
        result = await asyncio.to_thread(tour, url, "secret", str(tmp_path / "ca.crt"))
        assert result == [["widgets.example.com"], [("ADDED", 3)], []]
        assert (await client.ask("GET", f"{DEFINITIONS}/widgets.example.com"))[0] == 200

    with_server(tmp_path, test)
