"""The server as kubectl sees it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.apiserver.kubectl import Kubectl
from tests.apiserver.serving import Client, with_server

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH"),
    pytest.mark.timeout(600),
]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: c, image: fairlead/echo, ports: [{containerPort: 8080}]}]
"""


def test_the_examples_are_applied_twice(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client)
        assert "created" in await kubectl("apply", "-f", str(EXAMPLES))
        again = (await kubectl("apply", "-f", str(EXAMPLES))).splitlines()
        warnings = {line for line in again if line.startswith("Warning: ")}
        assert warnings == {
            "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
        }
        assert not [line for line in again if not line.endswith(("unchanged", "configured", *warnings))]
        shown = await kubectl("get", "svc,pods,endpoints,endpointslices", "-o", "wide")
        assert "service/nodeport-service" in shown
        assert "80:30080/TCP" in shown
        assert "10.244.1.2:8080,10.244.2.3:8080" in shown

    with_server(tmp_path, test)


def test_a_pods_life(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client)
        assert await kubectl("apply", "-f", "-", stdin=POD) == "pod/web created\n"
        assert await kubectl("apply", "-f", "-", stdin=POD) == "pod/web unchanged\n"
        changed = POD.replace("app: web", "app: shop")
        assert await kubectl("apply", "-f", "-", stdin=changed) == "pod/web configured\n"
        waiting = asyncio.ensure_future(kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=120s"))
        running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await client.patch("/api/v1/namespaces/default/pods/web/status", {"status": running})
        assert await waiting == "pod/web condition met\n"
        described = " ".join((await kubectl("describe", "pod", "web")).split())
        assert "Labels: app=shop" in described
        assert "Status: Running" in described
        assert "pod/web labeled" in await kubectl("label", "pod", "web", "x=y")
        assert 'pod "web" deleted' in await kubectl("delete", "pod", "web")
        assert '"web" not found' in await kubectl("get", "pod", "web", fails=True)

    with_server(tmp_path, test)


def test_mistakes_are_named(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client)
        said = await kubectl("apply", "-f", "-", stdin=POD.replace("image:", "imag:"), fails=True)
        by_server = 'unknown field "spec.containers[0].imag"' in said
        by_old_kubectl = 'unknown field "imag" in io.k8s.api.core.v1.Container' in said  # from /openapi/v2
        assert by_server or by_old_kubectl
        said = await kubectl("apply", "-f", "-", stdin=POD.replace("8080", "80800"), fails=True)
        assert "spec.containers[0].ports[0].containerPort: Invalid value: 80800" in said

    with_server(tmp_path, test)


def test_a_namespace_comes_and_goes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client)
        namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
        assert "created" in await kubectl("apply", "-f", "-", stdin=namespace)
        assert "pod/web created" in await kubectl("apply", "-n", "shop", "-f", "-", stdin=POD)
        assert "deleted" in await kubectl("delete", "namespace", "shop", "--timeout=120s")
        assert "shop" not in await kubectl("get", "namespaces")

    with_server(tmp_path, test)
