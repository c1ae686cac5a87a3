"""Workloads over HTTP: their scale, their generations, what is left when they go; both forms of Events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairlead.objects import protobuf
from tests.apiserver.serving import Client, with_server

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CONTROLLERS = "/api/v1/namespaces/default/replicationcontrollers"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
OLD_EVENTS = "/api/v1/namespaces/default/events"
NEW_EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"

CONTAINERS = [{"name": "c", "image": "fairlead/echo"}]
SCALE = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": "default"}}


def workload(kind: str, api_version: str = "apps/v1", name: str = "web", **spec: Any) -> dict[str, Any]:
    """A workload of one container."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": CONTAINERS}}
    selector: dict[str, Any] = {"matchLabels": {"app": "web"}} if "/" in api_version else {"app": "web"}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": selector, "template": template, **spec},
    }


def job(name: str = "once") -> dict[str, Any]:
    """A Job of one container."""
    spec = {"template": {"spec": {"containers": CONTAINERS, "restartPolicy": "Never"}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def event(**fields: Any) -> dict[str, Any]:
    """An Event under its newer names."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "seen"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/watcher",
        "reportingInstance": "watcher-1",
        "action": "Looking",
        "reason": "Seen",
        "type": "Normal",
        "regarding": {"kind": "Pod", "name": "web", "namespace": "default"},
        "note": "it was seen",
        **fields,
    }


@pytest.mark.parametrize(
    ("path", "kind", "api_version"),
    [
        (DEPLOYMENTS, "Deployment", "apps/v1"),
        (DEPLOYMENTS.replace("deployments", "replicasets"), "ReplicaSet", "apps/v1"),
        (DEPLOYMENTS.replace("deployments", "statefulsets"), "StatefulSet", "apps/v1"),
        (CONTROLLERS, "ReplicationController", "v1"),
    ],
)
def test_a_scale_is_read_and_written(tmp_path: Path, path: str, kind: str, api_version: str) -> None:
    async def test(client: Client) -> None:
        made = await client.create(path, workload(kind, api_version, replicas=2))
        scale = await client.get(f"{path}/web/scale")
        assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
        assert scale["spec"] == {"replicas": 2}
        assert scale["status"] == {"replicas": 0, "selector": "app=web"}
        assert scale["metadata"]["uid"] == made["metadata"]["uid"]
        assert scale["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        status, scale = await client.ask("PUT", f"{path}/web/scale", {**scale, "spec": {"replicas": 5}})
        assert (status, scale["spec"]) == (200, {"replicas": 5})
        for form, change, replicas in (
            ("merge-patch", {"spec": {"replicas": 6}}, 6),
            ("strategic-merge-patch", {"spec": {"replicas": 7}}, 7),
            ("json-patch", [{"op": "replace", "path": "/spec/replicas", "value": 8}], 8),
        ):
            status, scale = await client.patch(f"{path}/web/scale", change, form)
            assert (status, scale["spec"]) == (200, {"replicas": replicas}), form
        seen = await client.get(f"{path}/web")
        assert (seen["spec"]["replicas"], seen["metadata"]["generation"]) == (8, 5)
        status, shown = await client.patch(f"{path}/web/scale?dryRun=All", {"spec": {"replicas": 9}})
        assert (status, shown["spec"]["replicas"]) == (200, 9)
        assert (await client.get(f"{path}/web/scale"))["spec"]["replicas"] == 8

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("change", "code", "reason", "message"),
    [
        (
            {"spec": {"replicas": -1}},
            422,
            "Invalid",
            "spec.replicas: Invalid value: -1: must be greater than",
        ),
        ({"metadata": {"resourceVersion": "1"}}, 409, "Conflict", "the object has been modified"),
        ({"metadata": {"uid": "other"}}, 409, "Conflict", "Precondition failed: UID in precondition: other"),
        ({"metadata": {"name": "other"}}, 400, "BadRequest", "does not match the name on the URL"),
        ({"spec": {"replicas": "many"}}, 422, "Invalid", "patch: Invalid value"),
        ({"kind": "Deployment"}, 400, "BadRequest", "cannot be handled as a Scale"),
    ],
)
def test_a_scale_that_is_refused(
    tmp_path: Path, change: dict[str, Any], code: int, reason: str, message: str
) -> None:
    async def test(client: Client) -> None:
        await client.create(DEPLOYMENTS, workload("Deployment"))
        status, said = await client.patch(f"{DEPLOYMENTS}/web/scale", change)
        assert (status, said["reason"]) == (code, reason), said
        assert message in said["message"]

    with_server(tmp_path, test)


def test_a_scale_in_other_forms(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(DEPLOYMENTS, workload("Deployment"))
        headers = {"Accept": protobuf.CONTENT_TYPE, "Content-Type": protobuf.CONTENT_TYPE}
        path = f"{DEPLOYMENTS}/web/scale"
        body = protobuf.encode({**SCALE, "spec": {"replicas": 4}})
        async with client.session.put(path, data=body, headers=headers) as response:
            assert response.status == 200
            assert protobuf.decode(await response.read())["spec"] == {"replicas": 4}
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        status, shown = await client.ask("GET", path, headers=table)
        assert status == 200
        assert shown["rows"][0]["cells"][:3] == ["web", 4, 0]
        status, said = await client.ask("GET", f"{DEPLOYMENTS}/none/scale")
        assert (status, said["message"]) == (404, 'deployments.apps "none" not found')
        status, said = await client.ask("DELETE", path)
        assert (status, said["reason"]) == (405, "MethodNotAllowed")

    with_server(tmp_path, test)


def test_generations_count_what_the_controller_has_to_do(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = f"{DEPLOYMENTS}/web"
        made = await client.create(DEPLOYMENTS, {**workload("Deployment"), "status": {"replicas": 3}})
        assert made["metadata"]["generation"] == 1
        assert made["status"] == {}
        for change, generation in (
            ({"metadata": {"labels": {"a": "b"}}}, 1),
            ({"metadata": {"annotations": {"a": "b"}}}, 2),
            ({"spec": {"paused": True}}, 3),
            ({"status": {"replicas": 9}}, 3),
        ):
            status, seen = await client.patch(path, change)
            assert (status, seen["metadata"]["generation"]) == (200, generation)
        status, seen = await client.patch(
            f"{path}/status",
            {"metadata": {"labels": {"c": "d"}}, "spec": {"paused": False}, "status": {"replicas": 2}},
        )
        assert status == 200
        assert (seen["status"], seen["spec"]["paused"]) == ({"replicas": 2}, True)
        assert seen["metadata"]["labels"] == {"a": "b"}

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("path", "body", "query", "left"),
    [
        (DEPLOYMENTS, workload("Deployment"), "", False),
        (DEPLOYMENTS, workload("Deployment"), "?propagationPolicy=Orphan", True),
        (CONTROLLERS, workload("ReplicationController", "v1"), "", True),
        (JOBS, job("web"), "", True),
        (JOBS, job("web"), "?propagationPolicy=Background", False),
        (JOBS, job("web"), "?propagationPolicy=Foreground", False),
    ],
)
def test_what_a_deletion_does_to_dependents(
    tmp_path: Path, path: str, body: dict[str, Any], query: str, left: bool
) -> None:
    async def test(client: Client) -> None:
        owner = await client.create(path, body)
        reference = {name: owner[name] for name in ("apiVersion", "kind")}
        reference |= {"name": "web", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": True}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "ownerReferences": [reference]},
            "spec": {"containers": CONTAINERS},
        }
        pods = "/api/v1/namespaces/default/pods/web"
        await client.create("/api/v1/namespaces/default/pods", pod)
        assert (await client.ask("DELETE", f"{path}/web{query}"))[0] == 200
        await client.until(f"{path}/web", lambda status, _: status == 404)
        if left:
            kept = await client.until(
                pods, lambda status, seen: status != 200 or "ownerReferences" not in seen["metadata"]
            )
            assert kept["kind"] == "Pod"
        else:
            await client.until(pods, lambda status, _: status == 404)

    with_server(tmp_path, test)


def test_a_job_selects_its_own_pods(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(JOBS, job())
        uid = made["metadata"]["uid"]
        assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        labels = made["spec"]["template"]["metadata"]["labels"]
        assert labels["job-name"] == labels["batch.kubernetes.io/job-name"] == "once"
        assert made["spec"]["manualSelector"] is False

    with_server(tmp_path, test)


def test_an_event_is_one_object_in_two_forms(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        watch_old = await client.watch(OLD_EVENTS)
        watch_new = await client.watch(NEW_EVENTS)
        made = await client.create(NEW_EVENTS, event())
        assert made["note"] == "it was seen"
        old = await client.get(f"{OLD_EVENTS}/seen")
        assert (old["apiVersion"], old["message"], old["involvedObject"]["name"]) == (
            "v1",
            "it was seen",
            "web",
        )
        assert old["metadata"] == made["metadata"]
        for watch, version, field in ((watch_old, "v1", "message"), (watch_new, "events.k8s.io/v1", "note")):
            change, seen = await watch.next()
            assert (change, seen["apiVersion"], seen[field]) == ("ADDED", version, "it was seen")
        old["message"] = "it was seen again"
        assert (await client.ask("PUT", f"{OLD_EVENTS}/seen", old))[0] == 200
        listed = await client.get(f"{NEW_EVENTS}?fieldSelector=regarding.name%3Dweb")
        assert listed["kind"] == "EventList"
        assert [item["note"] for item in listed["items"]] == ["it was seen again"]
        assert (await client.get(f"{OLD_EVENTS}?fieldSelector=involvedObject.name%3Dother"))["items"] == []
        series = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}
        status, seen = await client.patch(f"{NEW_EVENTS}/seen", series)
        assert (status, seen["series"]["count"]) == (200, 2)
        status, said = await client.patch(f"{NEW_EVENTS}/seen", {"note": "no"})
        assert (status, said["details"]["causes"][0]["field"]) == (422, "message")
        headers = {"Accept": protobuf.CONTENT_TYPE}
        async with client.session.get(f"{NEW_EVENTS}/seen", headers=headers) as response:
            assert protobuf.decode(await response.read())["note"] == "it was seen again"
        assert (await client.ask("DELETE", f"{NEW_EVENTS}/seen"))[0] == 200
        assert (await client.ask("GET", f"{OLD_EVENTS}/seen"))[0] == 404

    with_server(tmp_path, test)


def test_a_namespace_with_events_ends(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "shop"}})
        of = {"kind": "Pod", "name": "web", "namespace": "shop"}
        await client.create(NEW_EVENTS.replace("default", "shop"), event(regarding=of))
        assert (await client.ask("DELETE", "/api/v1/namespaces/shop"))[0] == 200
        await client.until("/api/v1/namespaces/shop", lambda status, _: status == 404)

    with_server(tmp_path, test)
