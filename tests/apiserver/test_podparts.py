"""The parts of a pod: eviction with its budgets, ephemeral containers, resize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.objects import protobuf
from tests.apiserver.serving import Client, pod, with_server

PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
EVICTION = {
    "apiVersion": "policy/v1",
    "kind": "Eviction",
    "metadata": {"name": "web", "namespace": "default"},
}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
UNREADY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}


def budget(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A budget for the pods of one app."""
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}, **spec}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": spec,
    }


async def prepare(
    client: Client, status: dict[str, Any], allowance: dict[str, Any] | None, **spec: Any
) -> None:
    """A pod, and a budget as its controller has left it."""
    await client.create(PODS, pod(labels={"app": "web"}))
    assert (await client.patch(f"{PODS}/web/status", {"status": status}))[0] == 200
    if allowance is not None:
        await client.create(BUDGETS, budget(**spec))
        assert (await client.patch(f"{BUDGETS}/web/status", {"status": allowance}))[0] == 200


SEEN = {"observedGeneration": 1}
EVICTIONS: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any], int, str]] = [
    ("without a budget", READY, None, {}, 201, ""),
    ("that the budget allows", READY, {**SEEN, "disruptionsAllowed": 1}, {}, 201, ""),
    (
        "that it does not",
        READY,
        {**SEEN, "desiredHealthy": 1, "currentHealthy": 1},
        {},
        429,
        "The disruption budget web needs 1 healthy pods and has 1 currently",
    ),
    (
        "before its controller has seen the budget",
        READY,
        {"disruptionsAllowed": 1},
        {},
        429,
        "The disruption budget web is still being processed by the server.",
    ),
    ("of a pod that does not run", {"phase": "Pending"}, {**SEEN}, {}, 201, ""),
    ("of a pod that has ended", {"phase": "Failed"}, {**SEEN}, {}, 201, ""),
    (
        "of an unready pod beside enough",
        UNREADY,
        {**SEEN, "desiredHealthy": 1, "currentHealthy": 1},
        {},
        201,
        "",
    ),
    ("of an unready pod", UNREADY, {**SEEN, "desiredHealthy": 1}, {}, 429, "needs 1 healthy pods and has 0"),
    (
        "of an unready pod that may always go",
        UNREADY,
        {**SEEN, "desiredHealthy": 1},
        {"unhealthyPodEvictionPolicy": "AlwaysAllow"},
        201,
        "",
    ),
    ("of another's pod", READY, {**SEEN}, {"selector": {"matchLabels": {"app": "db"}}}, 201, ""),
]


@pytest.mark.parametrize(
    ("status", "allowance", "spec", "code", "cause"),
    [case[1:] for case in EVICTIONS],
    ids=[case[0] for case in EVICTIONS],
)
def test_an_eviction(
    tmp_path: Path,
    status: dict[str, Any],
    allowance: dict[str, Any] | None,
    spec: dict[str, Any],
    code: int,
    cause: str,
) -> None:
    async def test(client: Client) -> None:
        await prepare(client, status, allowance, **spec)
        found, said = await client.ask("POST", f"{PODS}/web/eviction", EVICTION)
        assert found == code, said
        if code == 201:
            assert said["status"] == "Success"
            assert (await client.ask("GET", f"{PODS}/web"))[0] == 404
        else:
            assert said["reason"] == "TooManyRequests"
            assert said["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
            assert said["details"]["causes"][0]["reason"] == "DisruptionBudget"
            assert cause in said["details"]["causes"][0]["message"]
            assert (await client.ask("GET", f"{PODS}/web"))[0] == 200

    with_server(tmp_path, test)


def test_an_eviction_is_taken_from_the_budget(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await prepare(client, READY, {**SEEN, "disruptionsAllowed": 1})
        tried = {**EVICTION, "deleteOptions": {"dryRun": ["All"]}}
        assert (await client.ask("POST", f"{PODS}/web/eviction", tried))[0] == 201
        assert (await client.get(f"{BUDGETS}/web"))["status"]["disruptionsAllowed"] == 1
        other = {**EVICTION, "deleteOptions": {"preconditions": {"uid": "other"}}}
        assert (await client.ask("POST", f"{PODS}/web/eviction", other))[0] == 409
        older = {**EVICTION, "apiVersion": "policy/v1beta1"}
        assert (await client.ask("POST", f"{PODS}/web/eviction", older))[0] == 201
        status = (await client.get(f"{BUDGETS}/web"))["status"]
        assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["web"])

    with_server(tmp_path, test)


def test_what_is_no_eviction(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await prepare(client, READY, {**SEEN, "disruptionsAllowed": 1})
        await client.create(BUDGETS, budget("second"))
        path = f"{PODS}/web/eviction"
        code, said = await client.ask("POST", path, EVICTION)
        assert (code, said["reason"]) == (500, "InternalError")
        assert "more than one PodDisruptionBudget" in said["message"]
        code, said = await client.ask("POST", path, {**EVICTION, "metadata": {"name": "other"}})
        assert (code, said["message"]) == (400, "name in URL does not match name in Eviction object")
        assert (await client.ask("POST", f"{PODS}/none/eviction", {**EVICTION, "metadata": {}}))[0] == 404
        assert (await client.ask("POST", path, {**EVICTION, "kind": "Pod"}))[0] == 400
        assert (await client.ask("GET", path))[0] == 405

    with_server(tmp_path, test)


def test_an_eviction_in_protobuf(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await prepare(client, READY, None)
        headers = {"Content-Type": protobuf.CONTENT_TYPE, "Accept": protobuf.CONTENT_TYPE}
        body = protobuf.encode({**EVICTION, "deleteOptions": {"gracePeriodSeconds": 0}})
        async with client.session.post(f"{PODS}/web/eviction", data=body, headers=headers) as response:
            assert (response.status, protobuf.decode(await response.read())["status"]) == (201, "Success")

    with_server(tmp_path, test)


DEBUGGER = {"name": "debugger", "image": "fairlead/echo", "targetContainerName": "c"}


def test_containers_to_look_around_with_are_added(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(PODS, pod())
        path = f"{PODS}/web/ephemeralcontainers"
        change = {"spec": {"ephemeralContainers": [DEBUGGER], "nodeName": "ignored"}}
        status, seen = await client.patch(path, change, "strategic-merge-patch")
        assert status == 200, seen
        assert seen["spec"]["ephemeralContainers"][0]["imagePullPolicy"] == "Always"
        assert "nodeName" not in seen["spec"]
        assert seen["metadata"]["generation"] == made["metadata"]["generation"] + 1
        assert await client.get(path) == await client.get(f"{PODS}/web")
        for containers, message in (
            ([], 'existing ephemeral containers "debugger" may not be removed'),
            ([{**DEBUGGER, "image": "other"}], 'existing ephemeral containers "debugger" may not be changed'),
            ([DEBUGGER, {**DEBUGGER, "name": "c"}], 'spec.ephemeralContainers[1].name: Duplicate value: "c"'),
            (
                [DEBUGGER, {**DEBUGGER, "name": "d", "ports": [{"containerPort": 1}]}],
                "spec.ephemeralContainers[1].ports: Forbidden: cannot be set for an Ephemeral Container",
            ),
            (
                [DEBUGGER, {**DEBUGGER, "name": "d", "targetContainerName": "none"}],
                'spec.ephemeralContainers[1].targetContainerName: Not found: "none"',
            ),
        ):
            status, said = await client.patch(path, {"spec": {"ephemeralContainers": containers}})
            assert (status, said["reason"]) == (422, "Invalid"), said
            assert message in said["message"]
        status, said = await client.ask("POST", PODS, debugged("born"))
        assert "spec.ephemeralContainers: Forbidden: cannot be set on create" in said["message"]

    with_server(tmp_path, test)


def debugged(name: str) -> dict[str, Any]:
    """A pod that would be born with a debugger."""
    made = pod(name)
    return {**made, "spec": {**made["spec"], "ephemeralContainers": [DEBUGGER]}}


def resources(limits: dict[str, str], requests: dict[str, str]) -> dict[str, Any]:
    """What a pod's container gets."""
    return {"spec": {"containers": [{"name": "c", "resources": {"limits": limits, "requests": requests}}]}}


def test_a_pod_is_resized(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = pod()
        made["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}
        await client.create(PODS, made)
        path, form = f"{PODS}/web/resize", "strategic-merge-patch"
        status, seen = await client.patch(path, resources({"cpu": "3"}, {"cpu": "2"}), form)
        assert status == 200, seen
        assert seen["spec"]["containers"][0]["resources"] == {
            "limits": {"cpu": "3"},
            "requests": {"cpu": "2"},
        }
        assert seen["metadata"]["generation"] == 2
        for change, message in (
            (
                [{"op": "remove", "path": "/spec/containers/0/resources/limits"}],
                "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            ),
            (
                [{"op": "add", "path": "/spec/containers/0/resources/limits/a.b~1c", "value": "1"}],
                "spec: Forbidden: only cpu and memory resources are mutable",
            ),
            (
                [{"op": "replace", "path": "/spec/containers/0/name", "value": "d"}],
                "containers may not be renamed or reordered on resize",
            ),
        ):
            status, said = await client.patch(path, change, "json-patch")
            assert (status, said["reason"]) == (422, "Invalid"), said
            assert message in said["message"]
        running = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
        assert (await client.patch(f"{PODS}/web/status", {"status": running}))[0] == 200
        status, said = await client.patch(path, resources({"cpu": "4"}, {"cpu": "2"}), form)
        assert "spec: Forbidden: Pod running on node without support for resize" in said["message"]

    with_server(tmp_path, test)


def test_a_resize_keeps_the_pods_class(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(PODS, pod())
        change = resources({}, {"cpu": "1"})
        status, said = await client.patch(f"{PODS}/web/resize", change, "strategic-merge-patch")
        expected = 'spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing'
        assert (status, expected in said["message"]) == (422, True)

    with_server(tmp_path, test)


def test_a_pod_has_an_account_and_its_secrets(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        body = pod("web")
        body["spec"]["serviceAccountName"] = "robot"
        status, said = await client.ask("POST", "/api/v1/namespaces/default/pods", body)
        why = 'error looking up service account default/robot: serviceaccount "robot" not found'
        assert (status, said["message"]) == (403, f'pods "web" is forbidden: {why}')
        robot = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "robot"},
            "imagePullSecrets": [{"name": "registry"}],
        }
        await client.create("/api/v1/namespaces/default/serviceaccounts", robot)
        made = await client.create("/api/v1/namespaces/default/pods", body)
        assert made["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        [entry] = made["metadata"]["managedFields"]
        assert "f:imagePullSecrets" not in entry["fieldsV1"]["f:spec"]
        own = pod("own")
        own["spec"] |= {"serviceAccountName": "robot", "imagePullSecrets": [{"name": "mine"}]}
        made = await client.create("/api/v1/namespaces/default/pods", own)
        assert made["spec"]["imagePullSecrets"] == [{"name": "mine"}]

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("account", "own", "found"),
    [
        (None, None, None),
        (True, None, None),
        (False, None, False),
        (False, True, True),
        (False, False, False),
        (None, False, False),
    ],
)
def test_whether_a_pod_has_a_token(
    tmp_path: Path, account: bool | None, own: bool | None, found: bool | None
) -> None:
    """The pod decides, then its account."""

    async def test(client: Client) -> None:
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        assert (await client.patch(path, {"automountServiceAccountToken": account}))[0] == 200
        body = pod("web")
        body["spec"]["automountServiceAccountToken"] = own
        made = await client.create("/api/v1/namespaces/default/pods", body)
        assert made["spec"].get("automountServiceAccountToken") is found

    with_server(tmp_path, test)
