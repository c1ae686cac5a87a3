"""kubectl's ways to change objects: applies from either side, the move from one to the other, edit, managedFields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.kubectl import Kubectl, kubectls, version
from tests.apiserver.serving import Client, with_server

pytestmark = pytest.mark.timeout(600)
every_kubectl = pytest.mark.parametrize("program", kubectls().values(), ids=kubectls())

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: fairlead/echo
        ports: [{containerPort: 8080}]
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
"""
PATH = "/apis/apps/v1/namespaces/default/deployments/web"


def managers(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in obj["metadata"].get("managedFields", ())]


@every_kubectl
def test_an_apply_from_the_servers_side(tmp_path: Path, program: str) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client, program)
        applied = "deployment.apps/web serverside-applied"
        assert applied in await kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
        first = await client.get(PATH)
        assert managers(first) == [("kubectl", "Apply")]
        assert applied in await kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
        assert await client.get(PATH) == first

        # Another tool scales; kubectl is told of it, and may insist.
        await client.patch(f"{PATH}?fieldManager=scaler", {"spec": {"replicas": 5}})
        said = await kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT, fails=True)
        assert 'conflict with "scaler" using apps/v1: .spec.replicas' in said
        assert "--force-conflicts" in said
        less = DEPLOYMENT.replace("  replicas: 2\n", "").replace(', {name: B, value: "2"}', "")
        assert applied in await kubectl("apply", "--server-side", "-f", "-", stdin=less)
        left = await client.get(PATH)
        assert left["spec"]["replicas"] == 5
        assert left["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
        forced = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
        assert applied in await kubectl(*forced, stdin=DEPLOYMENT)
        assert (await client.get(PATH))["spec"]["replicas"] == 2

        wrong = DEPLOYMENT.replace("image:", "imag:")
        said = await kubectl("apply", "--server-side", "--validate=false", "-f", "-", stdin=wrong, fails=True)
        assert '.spec.template.spec.containers[name="c"].imag: field not declared in schema' in said

    with_server(tmp_path, test)


@every_kubectl
def test_from_the_clients_side_to_the_servers_and_back(tmp_path: Path, program: str) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client, program)
        assert "created" in await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
        assert managers(await client.get(PATH)) == [("kubectl-client-side-apply", "Update")]
        changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
        assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", "-", stdin=changed)
        now = await client.get(PATH)
        assert now["spec"]["replicas"] == 3
        assert ("kubectl", "Apply") in managers(now)
        annotation = now["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        assert json.loads(annotation)["spec"]["replicas"] == 3
        # Whoever moved can drop fields: nobody else holds them any more (with kubectl 1.26 and later).
        less = changed.replace(', {name: B, value: "2"}', "")
        assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", "-", stdin=less)
        env = (await client.get(PATH))["spec"]["template"]["spec"]["containers"][0]["env"]
        moved = ("kubectl-client-side-apply", "Update") not in managers(now)
        assert len(env) == (1 if moved else 2)
        assert "configured" in await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
        assert (await client.get(PATH))["spec"]["replicas"] == 2

    with_server(tmp_path, test)


@every_kubectl
def test_the_three_way_merge_of_a_client_side_apply(tmp_path: Path, program: str) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client, program)
        await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
        # Others add a container, a variable and an annotation, and change what is not in the file any more.
        await kubectl("set", "env", "deployment/web", "C=3")
        sidecar = [{"name": "side", "image": "fairlead/echo"}]
        await client.patch(
            PATH, {"spec": {"template": {"spec": {"containers": sidecar}}}}, "strategic-merge-patch"
        )
        changed = DEPLOYMENT.replace('{name: A, value: "1"}, {name: B, value: "2"}', '{name: B, value: "9"}')
        assert "configured" in await kubectl("apply", "-f", "-", stdin=changed.replace("8080", "8081"))
        spec = (await client.get(PATH))["spec"]["template"]["spec"]
        assert {c["name"] for c in spec["containers"]} == {"c", "side"}
        (own,) = [c for c in spec["containers"] if c["name"] == "c"]
        assert own["env"] == [{"name": "B", "value": "9"}, {"name": "C", "value": "3"}]
        assert [port["containerPort"] for port in own["ports"]] == [8081]

    with_server(tmp_path, test)


@every_kubectl
def test_edit_and_managed_fields(tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/replicas: 2/replicas: 4/' \"$1\"\n")
    editor.chmod(0o700)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))

    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client, program)
        await kubectl("create", "-f", "-", stdin=DEPLOYMENT)
        assert managers(await client.get(PATH)) == [("kubectl-create", "Update")]
        assert "edited" in await kubectl("edit", "deployment/web")
        now = await client.get(PATH)
        assert now["spec"]["replicas"] == 4
        assert managers(now) == [("kubectl-create", "Update"), ("kubectl-edit", "Update")]
        # kubectl 1.21 was the first that hides them.
        old = version(program) == "1.20"
        shown = await kubectl(
            "get", "deployment/web", "-o", "json", *(() if old else ("--show-managed-fields",))
        )
        assert managers(json.loads(shown)) == managers(now)
        shown = await kubectl("get", "deployment/web", "-o", "json")
        assert managers(json.loads(shown)) == (managers(now) if old else [])
        await kubectl("label", "deployment/web", "x=y")
        await kubectl("annotate", "deployment/web", "x/y=z")
        await kubectl(
            "patch", "deployment/web", "--type=json", "-p", '[{"op":"remove","path":"/metadata/labels/x"}]'
        )
        assert {"kubectl-label", "kubectl-annotate"} & {
            manager for manager, _ in managers(await client.get(PATH))
        }
        assert "replaced" in await kubectl("replace", "-f", "-", stdin=DEPLOYMENT)
        assert ("kubectl-replace", "Update") in managers(await client.get(PATH))

    with_server(tmp_path, test)
