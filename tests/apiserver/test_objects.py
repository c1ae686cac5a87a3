"""Objects over HTTP: made, read, changed, removed, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.serving import Client, config_map, pod, with_server

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def test_an_object_gets_its_identity_when_it_is_made(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(PODS, pod())
        metadata = made["metadata"]
        assert metadata["namespace"] == "default"
        assert metadata["generation"] == 1
        assert metadata["uid"]
        assert metadata["creationTimestamp"]
        assert metadata["resourceVersion"]
        assert made["status"]["phase"] == "Pending"
        assert await client.get(f"{PODS}/web") == made
        named = await client.create(MAPS, config_map("") | {"metadata": {"generateName": "set-"}})
        assert named["metadata"]["name"].startswith("set-")
        assert len(named["metadata"]["name"]) == 9

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason", "message"),
    [
        ("GET", f"{MAPS}/none", None, 404, "NotFound", 'configmaps "none" not found'),
        ("GET", "/api/v1/things", None, 404, "NotFound", "the server could not find the requested resource"),
        ("GET", "/apis/none/v1/things", None, 404, "NotFound", "could not find the requested resource"),
        ("POST", MAPS, b"{", 400, "BadRequest", "cannot be handled as a ConfigMap"),
        ("POST", MAPS, config_map(namespace="other"), 400, "BadRequest", "namespace of the provided object"),
        ("POST", MAPS, config_map(resourceVersion="1"), 400, "BadRequest", "should not be set"),
        ("POST", MAPS, pod(), 400, "BadRequest", "cannot be handled as a ConfigMap"),
        (
            "POST",
            "/api/v1/namespaces/none/configmaps",
            config_map(),
            404,
            "NotFound",
            'namespaces "none" not found',
        ),
        (
            "POST",
            MAPS,
            config_map("Bad_Name"),
            422,
            "Invalid",
            'ConfigMap "Bad_Name" is invalid: metadata.name',
        ),
        ("PUT", f"{MAPS}/none", config_map("none"), 404, "NotFound", 'configmaps "none" not found'),
        ("PUT", f"{MAPS}/a", config_map("b"), 400, "BadRequest", "does not match the name on the URL"),
        ("PUT", MAPS, config_map(), 405, "MethodNotAllowed", "does not allow this method"),
        ("DELETE", f"{MAPS}/none", None, 404, "NotFound", 'configmaps "none" not found'),
        ("GET", f"{MAPS}?fieldSelector=data.a=1", None, 400, "BadRequest", "data.a"),
        ("GET", f"{MAPS}?labelSelector=a(", None, 400, "BadRequest", "unable to parse requirement"),
        ("GET", f"{MAPS}?resourceVersion=x", None, 400, "BadRequest", "resourceVersion"),
        ("GET", f"{MAPS}?continue=x", None, 400, "BadRequest", "continue key is not valid"),
        ("DELETE", "/api/v1/namespaces/default", None, 403, "Forbidden", "this namespace may not be deleted"),
        ("POST", f"{MAPS}?dryRun=Some", config_map(), 422, "Invalid", "dryRun"),
    ],
)
def test_a_request_is_refused_as_upstream_refuses_it(
    tmp_path: Path, method: str, path: str, body: Any, code: int, reason: str, message: str
) -> None:
    async def test(client: Client) -> None:
        options = {"headers": {"Content-Type": "application/json"}} if isinstance(body, bytes) else {}
        status, answer = await client.ask(method, path, body, **options)
        assert (status, answer["kind"], answer["reason"], answer["code"]) == (code, "Status", reason, code)
        assert message in answer["message"]

    with_server(tmp_path, test)


def test_bodies_have_to_be_json_or_yaml_of_at_most_3_mib(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {a: '2026-01-01'}\n"
        status, made = await client.ask("POST", MAPS, yaml, headers={"Content-Type": "application/yaml"})
        assert (status, made["data"]) == (201, {"a": "2026-01-01"})
        status, said = await client.ask("POST", MAPS, b"a: [", headers={"Content-Type": "application/yaml"})
        assert (status, said["reason"]) == (400, "BadRequest")
        for kind in ("text/plain", "application/cbor"):
            status, said = await client.ask("POST", MAPS, b"x", headers={"Content-Type": kind})
            assert (status, said["reason"]) == (415, "UnsupportedMediaType")
        status, said = await client.patch(f"{MAPS}/yaml", {}, "apply-patch")
        assert status == 415
        status, said = await client.ask("POST", MAPS, config_map() | {"data": {"a": "x" * (3 << 20)}})
        assert (status, said["reason"]) == (413, "RequestEntityTooLarge")

    with_server(tmp_path, test)


def test_only_known_tokens_are_served(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        status, said = await client.ask("GET", MAPS, headers={"Authorization": "Bearer wrong"})
        assert (status, said["reason"], said["message"]) == (401, "Unauthorized", "Unauthorized")
        for header in ({"Authorization": "Basic x"}, {"Authorization": ""}, {"Authorization": "Bearer "}):
            status, said = await client.ask("GET", MAPS, headers=header)
            assert (status, said["reason"]) == (403, "Forbidden")
            assert said["message"] == (
                'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" '
                'in the namespace "default"'
            )
        for path in ("/healthz", "/livez", "/readyz", "/version"):
            assert (await client.ask("GET", path, headers={"Authorization": ""}))[0] == 200
        for path in ("/metrics", "/api", "/openapi/v2", "/healthzz", "/healthz/etcd", "/version/x"):
            status, said = await client.ask("GET", path, headers={"Authorization": ""})
            assert status == 403
            assert said["message"] == f'forbidden: User "system:anonymous" cannot get path "{path}"'
        assert "apiserver_request_duration_seconds" in await client.get("/metrics")

    with_server(tmp_path, test)


def test_a_stale_write_conflicts(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(MAPS, config_map())
        status, changed = await client.ask("PUT", f"{MAPS}/settings", made | {"data": {"a": "2"}})
        assert (status, changed["data"]) == (200, {"a": "2"})
        status, said = await client.ask("PUT", f"{MAPS}/settings", made | {"data": {"a": "3"}})
        assert (status, said["reason"]) == (409, "Conflict")
        assert said["message"] == (
            'Operation cannot be fulfilled on configmaps "settings": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
        status, again = await client.ask("PUT", f"{MAPS}/settings", changed)
        assert again["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"], (
            "nothing changed"
        )
        status, said = await client.ask(
            "DELETE", f"{MAPS}/settings", {"preconditions": {"uid": "other"}, "kind": "DeleteOptions"}
        )
        assert (status, said["reason"]) == (409, "Conflict")
        status, said = await client.ask("POST", MAPS, config_map())
        assert (status, said["reason"]) == (409, "AlreadyExists")

    with_server(tmp_path, test)


def test_a_lease_is_made_by_put_and_wants_its_version_then(tmp_path: Path) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/leader"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "leader"},
        "spec": {},
    }

    async def test(client: Client) -> None:
        assert (await client.ask("PUT", path, lease))[0] == 201
        status, said = await client.ask("PUT", path, lease)
        assert (status, said["details"]["causes"][0]["field"]) == (422, "metadata.resourceVersion")

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("validation", "code", "warned"), [("Strict", 400, 0), ("Warn", 201, 1), ("", 201, 1), ("Ignore", 201, 0)]
)
def test_unknown_fields(tmp_path: Path, validation: str, code: int, warned: int) -> None:
    async def test(client: Client) -> None:
        body = pod()
        body["spec"]["foo"] = 1
        status, answer = await client.ask("POST", f"{PODS}?fieldValidation={validation}", body)
        assert status == code
        if code == 400:
            assert answer["message"].endswith('strict decoding error: unknown field "spec.foo"')
        assert client.warnings == ['299 - "unknown field \\"spec.foo\\""'] * warned

    with_server(tmp_path, test)


def test_status_and_spec_are_written_apart(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(PODS, pod())
        both = {"spec": {"activeDeadlineSeconds": 5}, "status": {"phase": "Running"}}
        _, one = await client.patch(f"{PODS}/web", both)
        assert (one["spec"]["activeDeadlineSeconds"], one["status"]["phase"]) == (5, "Pending")
        assert one["metadata"]["generation"] == made["metadata"]["generation"] + 1
        both["spec"] = {"activeDeadlineSeconds": 3}
        _, two = await client.patch(f"{PODS}/web/status", both, "strategic-merge-patch")
        assert (two["spec"]["activeDeadlineSeconds"], two["status"]["phase"]) == (5, "Running")
        assert two["metadata"]["generation"] == one["metadata"]["generation"]

    with_server(tmp_path, test)


def test_three_kinds_of_patch(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(MAPS, config_map(labels={"x": "y"}))
        _, obj = await client.patch(f"{MAPS}/settings", {"data": {"b": "2", "a": None}})
        assert obj["data"] == {"b": "2"}
        _, obj = await client.patch(f"{MAPS}/settings", {"data": {"c": "3"}}, "strategic-merge-patch")
        assert obj["data"] == {"b": "2", "c": "3"}
        _, obj = await client.patch(f"{MAPS}/settings", [{"op": "remove", "path": "/data/b"}], "json-patch")
        assert obj["data"] == {"c": "3"}
        status, said = await client.patch(
            f"{MAPS}/settings", [{"op": "test", "path": "/data/c", "value": "4"}], "json-patch"
        )
        assert (status, said["reason"]) == (422, "Invalid")
        status, _ = await client.patch(f"{MAPS}/settings", {"metadata": {"resourceVersion": "1"}})
        assert status == 409
        status, _ = await client.patch(f"{MAPS}/settings", {"metadata": {"name": "other"}})
        assert status == 400

    with_server(tmp_path, test)


def test_dry_runs_store_nothing(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        status, made = await client.ask("POST", f"{MAPS}?dryRun=All", config_map())
        assert (status, made["data"]) == (201, {"a": "1"})
        assert (await client.ask("GET", f"{MAPS}/settings"))[0] == 404
        await client.create(MAPS, config_map())
        await client.ask("DELETE", f"{MAPS}/settings?dryRun=All")
        await client.patch(f"{MAPS}/settings?dryRun=All", {"data": {"a": "2"}})
        assert (await client.get(f"{MAPS}/settings"))["data"] == {"a": "1"}

    with_server(tmp_path, test)


def test_a_pod_is_bound_once(tmp_path: Path) -> None:
    binding = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "node1"}}

    async def test(client: Client) -> None:
        await client.create(PODS, pod())
        assert (await client.ask("POST", f"{PODS}/web/binding", {"target": {}}))[0] == 422
        assert (await client.ask("POST", f"{PODS}/web/binding", binding))[0] == 201
        found = await client.get(f"{PODS}/web")
        assert found["spec"]["nodeName"] == "node1"
        assert [(c["type"], c["status"]) for c in found["status"]["conditions"]] == [("PodScheduled", "True")]
        status, said = await client.ask("POST", f"{PODS}/web/binding", binding)
        assert (status, said["message"]) == (
            409,
            'Operation cannot be fulfilled on pods/binding "web": pod web is already assigned to node "node1"',
        )

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("form", "change"),
    [
        (
            "json-patch",
            [{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "a", "operator": "Exists"}}],
        ),
        (
            "strategic-merge-patch",
            {"spec": {"containers": [{"name": "c", "image": "other"}]}},
        ),
        ("merge-patch", {"metadata": {"finalizers": ["a.b/c"]}}),
    ],
)
def test_patches_go_into_lists(tmp_path: Path, form: str, change: Any) -> None:
    async def test(client: Client) -> None:
        before = await client.create(PODS, pod())
        status, after = await client.patch(f"{PODS}/web", change, form)
        assert status == 200, after
        container = before["spec"]["containers"][0]
        image = "other" if form.startswith("strategic") else container["image"]
        assert after["spec"]["containers"] == [{**container, "image": image}]
        more = 1 if form == "json-patch" else 0
        assert len(after["spec"]["tolerations"]) == len(before["spec"]["tolerations"]) + more

    with_server(tmp_path, test)


def test_a_body_that_leaves_its_kind_empty_is_of_the_kind_of_its_path(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/api/v1/namespaces/default/configmaps"
        for kind, version in (("", "v1"), ("ConfigMap", ""), (None, None)):
            body = {**config_map(), "kind": kind, "apiVersion": version}
            made = await client.create(f"{path}?dryRun=All", body)
            assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")

    with_server(tmp_path, test)
