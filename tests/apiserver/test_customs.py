"""Custom resources: what a definition gives rise to, and what becomes of its objects."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from fairlead.apiserver.catalog import Catalog, Family
from fairlead.apiserver.custom import Custom
from fairlead.apiserver.kind import Kind
from fairlead.objects import protobuf
from tests.apiserver.customs import (
    ANYTHING,
    DEFINITIONS,
    conditions,
    definition,
    establish,
    version,
    widget,
)
from tests.apiserver.serving import SECONDS, Client, with_server

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "color": {"type": "string", "default": "red"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {"port": {"type": "integer"}, "name": {"type": "string"}},
            },
        },
    },
}
PARTS = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.ready",
        "labelSelectorPath": ".status.selector",
    },
}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def message(answer: tuple[int, Any]) -> str:
    return str(answer[1]["message"])


def test_a_definition_is_established_and_its_objects_live(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition(schema=SPEC, shortNames=["wd"]))
        made = await client.create(path, widget(spec={"size": 3, "unknown": {"deep": 1}}))
        assert client.warnings == ['299 - "unknown field \\"spec.unknown\\""']
        assert made["spec"] == {"size": 3, "color": "red"}
        assert made["metadata"]["generation"] == 1
        status, changed = await client.patch(f"{path}/a", {"spec": {"size": 4}})
        assert (status, changed["metadata"]["generation"]) == (200, 2)
        listed = await client.get(path)
        assert (listed["kind"], listed["apiVersion"]) == ("WidgetList", "example.com/v1")
        assert [one["spec"]["size"] for one in listed["items"]] == [4]
        assert (await client.ask("DELETE", f"{path}/a"))[1]["status"] == "Success"
        assert (await client.get(path))["items"] == []

    with_server(tmp_path, test)


def test_what_the_schema_forbids_is_refused_in_upstreams_words(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition(schema=SPEC))
        for spec, said in (
            ({}, "spec.size: Required value"),
            (
                {"size": "x"},
                'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
            ),
            (
                {"size": 0},
                "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
            ),
            ({"size": 1, "ports": [{"port": 1}, {"port": 1}]}, 'spec.ports[1]: Duplicate value: {"port":1}'),
        ):
            answer = await client.ask("POST", path, widget(spec=spec))
            assert answer[0] == 422, spec
            assert said in message(answer)
        strict = await client.ask(
            "POST", f"{path}?fieldValidation=Strict", widget(spec={"size": 1, "x": 1}, y=2)
        )
        assert strict[0] == 400
        assert 'strict decoding error: unknown field "spec.x", unknown field "y"' in message(strict)
        quiet = await client.ask("POST", f"{path}?fieldValidation=Ignore", widget(spec={"size": 1, "x": 1}))
        assert (quiet[0], client.warnings) == (201, [])

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"metadata": {"name": "a"}}, 400, "Object 'Kind' is missing"),
        ({"kind": "Widget", "metadata": {"name": "a"}}, 400, "Object 'apiVersion' is missing"),
        (
            widget(api_version="example.com/v2"),
            400,
            "does not match the expected API version (example.com/v1)",
        ),
        (widget(kind="Gadget"), 422, 'kind: Invalid value: "Gadget": must be Widget'),
        (widget(name="No"), 422, "metadata.name"),
        ([1], 400, "it is no JSON object"),
        ({**widget(), "metadata": []}, 400, "metadata"),
        (b"{", 400, "json parse error"),
        (
            b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"},"spec":1e999}',
            400,
            "range",
        ),
        (b"[" * 5000, 400, ""),
        (
            b'{"kind":"Widget","apiVersion":"example.com/v1","spec":' + b'{"a":' * 900 + b"1" + b"}" * 901,
            400,
            "",
        ),
    ],
)
def test_bodies_that_are_no_such_object(tmp_path: Path, body: Any, code: int, said: str) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition())
        headers = {"Content-Type": "application/json"} if isinstance(body, bytes) else {}
        answer = await client.ask("POST", path, body, headers=headers)
        assert answer[0] == code, answer
        assert said in message(answer)

    with_server(tmp_path, test)


def test_status_and_scale(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        obj = definition(schema=SPEC)
        obj["spec"]["versions"][0]["subresources"] = PARTS
        path = await establish(client, obj)
        made = await client.create(path, widget(spec={"size": 2}, status={"ready": 9}))
        assert "status" not in made
        _, found = await client.patch(f"{path}/a/status", {"spec": {"size": 8}, "status": {"ready": 1}})
        assert (found["spec"]["size"], found["status"], found["metadata"]["generation"]) == (
            2,
            {"ready": 1},
            1,
        )
        _, found = await client.patch(f"{path}/a", {"spec": {"size": 3}, "status": {"ready": 7}})
        assert (found["status"], found["metadata"]["generation"]) == ({"ready": 1}, 2)
        await client.patch(f"{path}/a/status", {"status": {"selector": "app=a"}})
        scale = await client.get(f"{path}/a/scale")
        assert scale["kind"] == "Scale"
        assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 1, "selector": "app=a"})
        assert (await client.patch(f"{path}/a/scale", {"spec": {"replicas": 5}}))[0] == 200
        assert (await client.get(f"{path}/a"))["spec"]["size"] == 5
        refused = await client.patch(f"{path}/a/scale", {"spec": {"replicas": 0}})
        assert "should be greater than or equal to 1" in message(refused)

    with_server(tmp_path, test)


def test_what_a_client_may_send_and_ask_for(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition(schema=SPEC))
        await client.create(path, widget(spec={"size": 1}))
        pb = "application/vnd.kubernetes.protobuf"
        for accept, code in ((f"{pb},application/json", 200), (pb, 406), ("application/yaml", 200)):
            async with client.session.get(path, headers={"Accept": accept}) as response:
                assert response.status == code
        for content_type in (pb, "text/plain"):
            sent = await client.ask("POST", path, b"k8s\0", headers={"Content-Type": content_type})
            assert sent[0] == 415
        bare = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        [found] = (await client.ask("GET", path, headers=bare))[1]["items"]
        assert (found["kind"], found["metadata"]["name"], "spec" in found) == (
            "PartialObjectMetadata",
            "a",
            False,
        )
        assert (await client.patch(f"{path}/a", {"spec": {"size": 2}}, "strategic-merge-patch"))[0] == 415
        op = [{"op": "replace", "path": "/spec/size", "value": 7}]
        assert (await client.patch(f"{path}/a", op, "json-patch"))[1]["spec"]["size"] == 7
        await client.create(
            path, {**widget("b", spec={"size": 1}), "metadata": {"name": "b", "labels": {"x": "y"}}}
        )
        await client.ask("DELETE", f"{path}?labelSelector=x=y")
        assert [one["metadata"]["name"] for one in (await client.get(path))["items"]] == ["a"]
        without = await client.ask("PUT", f"{path}/a", widget(spec={"size": 1}))
        assert "metadata.resourceVersion" in message(without)

    with_server(tmp_path, test)


def test_apply_merges_by_the_keys_of_the_schema(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition(schema=SPEC))

        async def apply(manager: str, spec: Any) -> Any:
            query = f"?fieldManager={manager}"
            status, found = await client.ask(
                "PATCH",
                f"{path}/a{query}",
                widget(spec=spec),
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
            assert status in (200, 201), found
            return found

        await apply("one", {"size": 1, "ports": [{"port": 80, "name": "http"}]})
        found = await apply("two", {"size": 1, "ports": [{"port": 443}]})
        assert found["spec"]["ports"] == [{"port": 80, "name": "http"}, {"port": 443}]
        found = await apply("two", {"size": 1})
        assert found["spec"]["ports"] == [{"port": 80, "name": "http"}]

    with_server(tmp_path, test)


def test_columns_and_selectable_fields(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        obj = definition(schema=SPEC)
        obj["spec"]["versions"][0] |= {
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {
                    "name": "Ready",
                    "type": "string",
                    "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                },
                {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
            "selectableFields": [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}],
        }
        path = await establish(client, obj)
        ready = [{"type": "Ready", "status": "True"}]
        await client.create(path, widget("a", spec={"size": 1}, status={"conditions": ready}))
        await client.create(path, widget("b", spec={"size": 2, "color": "blue"}))
        _, table = await client.ask("GET", path, headers=TABLE)
        assert [(one["name"], one["priority"]) for one in table["columnDefinitions"]] == [
            ("Name", 0),
            ("Size", 0),
            ("Ready", 0),
            ("Color", 1),
            ("Age", 0),
        ]
        assert [row["cells"][:4] for row in table["rows"]] == [
            ["a", 1, "True", "red"],
            ["b", 2, None, "blue"],
        ]
        for selector, names in (("spec.color=red", ["a"]), ("spec.size=2", ["b"]), ("spec.size!=2", ["a"])):
            found = await client.get(f"{path}?fieldSelector={selector}")
            assert [one["metadata"]["name"] for one in found["items"]] == names
        status, _ = await client.ask("GET", f"{path}?fieldSelector=spec.other=1")
        assert status == 400

    with_server(tmp_path, test)


def test_two_versions_of_one_object(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        old = {"type": "object", "properties": {"size": {"type": "integer"}, "legacy": {"type": "string"}}}
        new = {
            "type": "object",
            "properties": {"size": {"type": "integer"}, "color": {"type": "string", "default": "red"}},
        }
        versions = [version("v1beta1", old, deprecated=True), version("v1", new, storage=True)]
        await establish(client, definition(versions=versions))
        beta, stable = (f"/apis/example.com/{name}/namespaces/default/widgets" for name in ("v1beta1", "v1"))
        watch = await client.watch(f"{beta}?resourceVersion=0")
        made = await client.create(
            beta, widget(api_version="example.com/v1beta1", spec={"size": 1, "legacy": "x"})
        )
        assert made["apiVersion"] == "example.com/v1beta1"
        assert made["spec"] == {"size": 1}, "what the storage version does not know is not stored"
        assert client.warnings[-1] == (
            '299 - "example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"'
        )
        found = await client.get(f"{stable}/a")
        assert (found["apiVersion"], found["spec"]) == ("example.com/v1", {"size": 1, "color": "red"})
        kind, seen = await watch.next()
        assert (kind, seen["apiVersion"], seen["spec"]) == ("ADDED", "example.com/v1beta1", {"size": 1})
        crd = await client.get(f"{DEFINITIONS}/widgets.example.com")
        assert crd["status"]["storedVersions"] == ["v1"]
        _, group = await client.ask("GET", "/apis/example.com")
        assert [one["version"] for one in group["versions"]] == ["v1", "v1beta1"]

    with_server(tmp_path, test)


def test_a_definition_takes_its_objects_and_their_watches_along(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition())
        await client.create(path, widget("a"))
        await client.create(path, {**widget("held"), "metadata": {"name": "held", "finalizers": ["x.io/y"]}})
        owned = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "a"}
        uid = (await client.get(f"{path}/a"))["metadata"]["uid"]
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "owned", "ownerReferences": [{**owned, "uid": uid}]},
        }
        await client.create("/api/v1/namespaces/default/configmaps", config)
        watch = await client.watch(f"{path}?resourceVersion=0")
        assert await watch.names(2) == [("ADDED", "a"), ("ADDED", "held")]
        status, ending = await client.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
        assert (status, conditions(ending)["Terminating"][0]) == (200, "True")
        kinds = [(await watch.next())[0] for _ in range(2)]
        assert sorted(kinds) == ["DELETED", "MODIFIED"]
        refused = await client.ask("POST", path, widget("late"))
        assert refused[0] == 405
        assert "while custom resource definition is terminating" in message(refused)
        await client.patch(f"{path}/held", {"metadata": {"finalizers": None}})
        assert (await watch.next())[0] == "DELETED"
        async with asyncio.timeout(SECONDS):
            assert await watch.response.content.readline() == b"", "the watch ends"
        await client.until(f"{DEFINITIONS}/widgets.example.com", lambda code, _: code == 404)
        await client.until("/api/v1/namespaces/default/configmaps/owned", lambda code, _: code == 404)
        assert (await client.ask("GET", path))[0] == 404

    with_server(tmp_path, test)


def test_names_in_conflict_wait_for_their_turn(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await establish(client, definition("widgets", shortNames=["w"]))
        await client.create(DEFINITIONS, definition("wizards", kind="Widget", shortNames=["w"]))
        found = await client.until(
            f"{DEFINITIONS}/wizards.example.com", lambda _, one: "NamesAccepted" in conditions(one)
        )
        assert conditions(found) == {
            "NamesAccepted": ("False", "ShortNamesConflict"),
            "Established": ("False", "NotAccepted"),
        }
        assert (await client.ask("GET", "/apis/example.com/v1/wizards"))[0] == 404
        await client.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
        await client.until(
            f"{DEFINITIONS}/wizards.example.com", lambda _, one: conditions(one)["Established"][0] == "True"
        )
        assert (await client.get("/apis/example.com/v1/wizards"))["items"] == []

    with_server(tmp_path, test)


def test_a_changed_schema_counts_from_then_on(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition(schema=SPEC))
        await client.create(path, widget(spec={"size": 1, "color": "green"}))
        watch = await client.watch(f"{path}?resourceVersion=0")
        await watch.next()
        crd = await client.get(f"{DEFINITIONS}/widgets.example.com")
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        schema["properties"]["color"]["enum"] = ["red", "blue"]
        schema["properties"]["weight"] = {"type": "integer", "default": 5}
        status, _ = await client.ask("PUT", f"{DEFINITIONS}/widgets.example.com", crd)
        assert status == 200
        async with asyncio.timeout(SECONDS):
            assert await watch.response.content.readline() == b"", "readers come back for the new schema"
        found = await client.get(f"{path}/a")
        assert found["spec"] == {"size": 1, "color": "green", "weight": 5}, (
            "defaults are filled in when it is read"
        )
        status, _ = await client.patch(f"{path}/a", {"spec": {"size": 2}})
        assert status == 200, "what was so before may stay"
        refused = await client.patch(f"{path}/a", {"spec": {"color": "pink"}})
        assert 'spec.color: Unsupported value: "pink": supported values: "blue", "red"' in message(refused)

    with_server(tmp_path, test)


def test_kinds_are_there_after_a_restart_and_at_once_in_a_second_server(tmp_path: Path) -> None:
    async def first(client: Client) -> None:
        await client.create(await establish(client, definition()), widget(spec={"x": 1}))

    async def second(client: Client) -> None:
        found = await client.get("/apis/example.com/v1/namespaces/default/widgets")
        assert [one["spec"] for one in found["items"]] == [{"x": 1}]

    with_server(tmp_path, first)
    with_server(tmp_path, second)


def test_definitions_that_come_and_go_leave_nothing_behind(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        counts = []
        for turn in range(12):
            path = await establish(client, definition(schema=SPEC))
            await client.create(path, widget(spec={"size": 1}))
            await client.get("/openapi/v3/apis/example.com/v1")
            await client.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
            await client.until(f"{DEFINITIONS}/widgets.example.com", lambda code, _: code == 404)
            await client.until(path, lambda code, _: code == 404)
            if turn in (3, 11):
                gc.collect()
                counts.append(
                    sum(isinstance(one, Kind | Family | Custom | Catalog) for one in gc.get_objects())
                )
        assert counts[1] <= counts[0] + 4, counts

    with_server(tmp_path, test)


def test_discovery_and_openapi_know_the_kinds(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        assert (await client.ask("GET", "/apis/example.com/v1"))[0] == 404
        obj = definition(schema=SPEC, shortNames=["wd"], categories=["all"])
        obj["spec"]["versions"][0]["subresources"] = PARTS
        await establish(client, obj)
        listed = {one["name"]: one for one in (await client.get("/apis/example.com/v1"))["resources"]}
        assert sorted(listed) == ["widgets", "widgets/scale", "widgets/status"]
        assert listed["widgets"]["shortNames"] == ["wd"]
        assert listed["widgets"]["categories"] == ["all"]
        assert listed["widgets"]["singularName"] == "widget"
        v3 = (await client.get("/openapi/v3/apis/example.com/v1"))["components"]["schemas"]
        assert v3["com.example.v1.Widget"]["properties"]["spec"]["properties"]["size"]["minimum"] == 1
        v2 = (await client.get("/openapi/v2"))["definitions"]
        own = [{"group": "example.com", "kind": "Widget", "version": "v1"}]
        assert v2["com.example.v1.Widget"]["x-kubernetes-group-version-kind"] == own
        assert "com.example.v1.WidgetList" in v2

    with_server(tmp_path, test)


def test_cluster_scope_and_a_list_kind_of_its_own(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = await establish(client, definition("sheep", kind="Sheep", listKind="Flock", scope="Cluster"))
        made = await client.create(path, widget(kind="Sheep"))
        assert "namespace" not in made["metadata"]
        assert (await client.get(path))["kind"] == "Flock"
        assert (await client.ask("GET", "/apis/example.com/v1/namespaces/default/sheep"))[0] == 404

    with_server(tmp_path, test)


def test_rules_in_cel_are_stored_and_warned_of(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        schema = {**ANYTHING, "x-kubernetes-validations": [{"rule": "self.min <= self.max"}]}
        await establish(client, definition(schema=schema))
        status, found = await client.patch(
            f"{DEFINITIONS}/widgets.example.com", {"metadata": {"labels": {"a": "b"}}}
        )
        assert status == 200
        assert any("rules in CEL are stored but not enforced" in warning for warning in client.warnings)
        stored = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert stored["x-kubernetes-validations"] == [{"rule": "self.min <= self.max"}]

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://example.com/1", ("True", "ApprovedAnnotation")),
        ("unapproved, an experiment", ("False", "UnapprovedAnnotation")),
    ],
)
def test_groups_of_kubernetes_ask_for_approval(tmp_path: Path, given: str, expected: tuple[str, str]) -> None:
    async def test(client: Client) -> None:
        obj = definition(group="x.k8s.io")
        assert (await client.ask("POST", DEFINITIONS, obj))[0] == 422
        obj["metadata"]["annotations"] = {"api-approved.kubernetes.io": given}
        await establish(client, obj)
        found = await client.get(f"{DEFINITIONS}/widgets.x.k8s.io")
        assert conditions(found)["KubernetesAPIApprovalPolicyConformant"] == expected

    with_server(tmp_path, test)


def test_a_built_in_kinds_names_are_taken(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        obj = definition("leases", "coordination.k8s.io", kind="Lease")
        obj["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a trick"}
        await client.create(DEFINITIONS, obj)
        found = await client.until(
            f"{DEFINITIONS}/leases.coordination.k8s.io", lambda _, one: "NamesAccepted" in conditions(one)
        )
        assert conditions(found)["NamesAccepted"] == ("False", "PluralConflict")
        assert (await client.ask("DELETE", f"{DEFINITIONS}/leases.coordination.k8s.io"))[0] == 200
        await client.until(f"{DEFINITIONS}/leases.coordination.k8s.io", lambda code, _: code == 404)
        assert (await client.get("/apis/coordination.k8s.io/v1/leases"))["kind"] == "LeaseList"

    with_server(tmp_path, test)


def test_definitions_in_protobuf(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        schema = {
            **SPEC,
            "additionalProperties": None,
            "description": "x",
            "anyOf": [{"required": ["size"]}],
            "properties": {
                **SPEC["properties"],
                "map": {"type": "object", "additionalProperties": {"type": "string", "enum": ["a", "b"]}},
                "any": {"type": "object", "additionalProperties": True},
                "half": {"type": "number", "maximum": 0.5, "default": 0.25},
            },
        }
        obj = definition(schema=schema)
        body = protobuf.encode(obj)
        media = protobuf.CONTENT_TYPE
        status, made = await client.ask("POST", DEFINITIONS, body, headers={"Content-Type": media})
        assert status == 201
        given = {name: value for name, value in schema.items() if value is not None}
        stored = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert stored == given
        async with client.session.get(
            f"{DEFINITIONS}/widgets.example.com", headers={"Accept": media}
        ) as answer:
            found = protobuf.decode(await answer.read())
        assert found["spec"] == (await client.get(f"{DEFINITIONS}/widgets.example.com"))["spec"]

    with_server(tmp_path, test)
