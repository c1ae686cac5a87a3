"""Server-side apply and managedFields as a client of the server sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.customs import definition, establish, widget
from tests.apiserver.serving import Client, config_map, pod, service, with_server

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
YAML = {"Content-Type": "application/apply-patch+yaml"}


async def apply(client: Client, path: str, config: Any, manager: str = "a", **query: str) -> tuple[int, Any]:
    """The answer to an apply."""
    name = config["metadata"]["name"] if isinstance(config, dict) else ""
    query = {"fieldManager": manager, **query}
    at = f"{path}/{name}" if not path.endswith(f"/{name}") and "/status" not in path else path
    return await client.ask(
        "PATCH", at + "?" + "&".join(f"{k}={v}" for k, v in query.items()), config, headers=YAML
    )


def owned(obj: dict[str, Any]) -> dict[str, Any]:
    """The sets of an object's entries, by who has them."""
    return {
        "/".join(filter(None, (entry["manager"], entry["operation"], entry.get("subresource")))): entry[
            "fieldsV1"
        ]
        for entry in obj["metadata"].get("managedFields", [])
    }


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def test_an_apply_makes_changes_and_gives_up(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        status, made = await apply(client, CONFIG_MAPS, config(a="1", b="2"))
        assert status == 201, made
        assert owned(made) == {"a/Apply": {"f:data": {"f:a": {}, "f:b": {}}}}
        (entry,) = made["metadata"]["managedFields"]
        assert (entry["apiVersion"], entry["fieldsType"]) == ("v1", "FieldsV1")

        status, same = await apply(client, CONFIG_MAPS, config(a="1", b="2"))
        assert (status, same) == (200, made)

        status, less = await apply(client, CONFIG_MAPS, config(a="1"))
        assert (status, less["data"]) == (200, {"a": "1"})
        assert owned(less) == {"a/Apply": {"f:data": {"f:a": {}}}}

    with_server(tmp_path, test)


def test_conflicts_are_named_and_can_be_forced(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await apply(client, CONFIG_MAPS, config(a="1", b="2"), "first")
        status, said = await apply(client, CONFIG_MAPS, config(a="3"), "second")
        assert (status, said["reason"]) == (409, "Conflict")
        assert said["message"] == 'Apply failed with 1 conflict: conflict with "first": .data.a'
        assert said["details"]["causes"] == [
            {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".data.a"}
        ]
        status, said = await apply(client, CONFIG_MAPS, config(a="3", b="4"), "second")
        assert said["message"] == (
            'Apply failed with 2 conflicts: conflicts with "first":\n- .data.a\n- .data.b'
        )
        status, forced = await apply(client, CONFIG_MAPS, config(a="3"), "second", force="true")
        assert (status, forced["data"]) == (200, {"a": "3", "b": "2"})
        assert owned(forced) == {
            "first/Apply": {"f:data": {"f:b": {}}},
            "second/Apply": {"f:data": {"f:a": {}}},
        }
        # The same value is no conflict: both have it, and it goes when the last gives it up.
        status, _ = await apply(client, CONFIG_MAPS, config(a="3", b="2"), "first")
        assert status == 200
        status, left = await apply(client, CONFIG_MAPS, config(), "second")
        assert left["data"] == {"a": "3", "b": "2"}
        assert owned(left) == {
            "first/Apply": {"f:data": {"f:a": {}, "f:b": {}}},
            "second/Apply": {"f:data": {}},
        }

    with_server(tmp_path, test)


def test_who_writes_what(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(f"{CONFIG_MAPS}?fieldManager=maker", config_map(labels={"x": "y"}))
        fields = {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:data": {".": {}, "f:a": {}}}
        assert owned(made) == {"maker/Update": fields}
        at = f"{CONFIG_MAPS}/settings"
        headers = {"Content-Type": "application/merge-patch+json", "User-Agent": "tool/1.2 (linux)"}
        _, patched = await client.ask("PATCH", at, {"data": {"a": "2", "b": "3"}}, headers=headers)
        assert owned(patched) == {
            "maker/Update": {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:data": {}},
            "tool/Update": {"f:data": {"f:a": {}, "f:b": {}}},
        }
        # What changes nothing moves nothing: no version, no time.
        _, again = await client.ask("PATCH", at, {"data": {"a": "2"}}, headers=headers)
        assert again == patched
        status, put = await client.ask("PUT", f"{at}?fieldManager=other", patched)
        assert (status, put) == (200, patched)
        _, gone = await client.ask("PATCH", at, {"metadata": {"labels": None}}, headers=headers)
        assert owned(gone)["maker/Update"] == {"f:data": {}}
        # An update without entries keeps them; one empty entry clears them, and nobody keeps account from then on.
        bare = {**gone, "metadata": {"name": "settings"}, "data": {"a": "9"}}
        _, put = await client.ask("PUT", f"{at}?fieldManager=third", bare)
        assert owned(put) == {"maker/Update": {"f:data": {}}, "third/Update": {"f:data": {"f:a": {}}}}
        bare["metadata"] = {"name": "settings", "managedFields": [{}]}
        _, cleared = await client.ask("PUT", at, bare)
        assert "managedFields" not in cleared["metadata"]
        _, patched = await client.ask("PATCH", at, {"data": {"a": "7"}}, headers=headers)
        assert "managedFields" not in patched["metadata"]
        _, applied = await apply(client, CONFIG_MAPS, config(c="1"))
        assert owned(applied) == {
            "a/Apply": {"f:data": {"f:c": {}}},
            "before-first-apply/Update": {"f:data": {".": {}, "f:a": {}}},
        }

    with_server(tmp_path, test)


def test_status_belongs_to_those_who_write_it_there(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        web = pod()
        web["status"] = {"phase": "Running"}
        made = await client.create(f"{PODS}?fieldManager=maker", web)
        assert set(owned(made)["maker/Update"]) == {"f:spec"}
        assert set(owned(made)["maker/Update"]["f:spec"]) == {
            "f:containers",
            "f:dnsPolicy",
            "f:enableServiceLinks",
            "f:restartPolicy",
            "f:schedulerName",
            "f:securityContext",
            "f:terminationGracePeriodSeconds",
        }
        _, patched = await client.patch(
            f"{PODS}/web/status?fieldManager=node", {"status": {"message": "hm"}, "spec": {"nodeName": "x"}}
        )
        assert owned(patched)["node/Update/status"] == {"f:status": {"f:message": {}}}
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        wanted = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "status": status}
        code, applied = await apply(client, f"{PODS}/web/status", wanted, "judge")
        assert code == 200, applied
        assert owned(applied)["judge/Apply/status"] == {
            "f:status": {
                "f:conditions": {'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}},
            }
        }
        assert applied["status"]["message"] == "hm"
        # The same through the main resource names nothing that is there to be owned.
        code, applied = await apply(client, PODS, wanted, "main")
        assert (code, "main/Apply" in owned(applied)) == (200, False)
        code, _ = await apply(client, f"{PODS}/other/status", wanted, "judge")
        assert code == 404

    with_server(tmp_path, test)


def test_a_service_is_applied_item_by_item(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        web = service(selector={"app": "web"})
        web["spec"]["ports"] = [{"port": 80, "name": "http"}]
        code, made = await apply(client, SERVICES, web, "one")
        assert code == 201, made
        assert owned(made)["one/Apply"] == {
            "f:spec": {
                "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}},
                "f:selector": {},
            }
        }
        other = service()
        other["spec"]["ports"] = [{"port": 443, "name": "https", "protocol": "TCP"}]
        code, both = await apply(client, SERVICES, other, "two")
        assert code == 200, both
        assert [p["port"] for p in both["spec"]["ports"]] == [80, 443]
        code, said = await apply(client, SERVICES, {**other, "spec": {"ports": web["spec"]["ports"]}}, "two")
        assert code == 200
        assert [p["port"] for p in said["spec"]["ports"]] == [80]
        changed = {"port": 80, "name": "www", "protocol": "TCP"}
        code, said = await apply(client, SERVICES, {**other, "spec": {"ports": [changed]}}, "two")
        assert code == 409
        assert said["details"]["causes"][0]["field"] == '.spec.ports[port=80,protocol="TCP"].name'

    with_server(tmp_path, test)


DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "x"}]},
        },
    },
}


def test_a_scaler_takes_the_replicas_over(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        code, made = await apply(client, DEPLOYMENTS, DEPLOYMENT, "tool")
        assert code == 201, made
        code, scaled = await client.patch(
            f"{DEPLOYMENTS}/web/scale?fieldManager=hpa", {"spec": {"replicas": 5}}
        )
        assert code == 200, scaled
        now = await client.get(f"{DEPLOYMENTS}/web")
        assert owned(now)["hpa/Update/scale"] == {"f:spec": {"f:replicas": {}}}
        code, said = await apply(client, DEPLOYMENTS, DEPLOYMENT, "tool")
        assert code == 409
        assert said["message"] == (
            'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas'
        )
        less: dict[str, Any] = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"]}}  # type: ignore[dict-item]
        del less["spec"]["replicas"]
        code, left = await apply(client, DEPLOYMENTS, less, "tool")
        assert (code, left["spec"]["replicas"]) == (200, 5)
        scale = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "web"},
            "spec": {"replicas": 7},
        }
        at = f"{DEPLOYMENTS}/web/scale"
        code, said = await client.ask("PATCH", f"{at}?fieldManager=vpa", scale, headers=YAML)
        assert code == 409, said
        code, said = await client.ask("PATCH", f"{at}?fieldManager=vpa&force=1", scale, headers=YAML)
        assert (code, said["spec"]["replicas"]) == (200, 7)
        now = await client.get(f"{DEPLOYMENTS}/web")
        assert owned(now)["vpa/Apply/scale"] == {"f:spec": {"f:replicas": {}}}
        assert "hpa/Update/scale" not in owned(now)

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("query", "body", "code", "said"),
    [
        ("", config(a="1"), 422, "fieldManager: Required value: is required for apply patch"),
        (
            "fieldManager=" + "x" * 129,
            config(),
            422,
            "fieldManager: Too long: may not be more than 128 bytes",
        ),
        ("fieldManager=a%07", config(), 422, "invalid character U+0007 (at position 1)"),
        ("fieldManager=a", b"a: [", 400, "error decoding YAML"),
        ("fieldManager=a", b"[]", 400, "error decoding YAML"),
        ("fieldManager=a", {"kind": "ConfigMap"}, 400, "invalid object type: /, Kind=ConfigMap"),
        ("fieldManager=a", {"apiVersion": "v1"}, 400, "invalid object type: /v1, Kind="),
        (
            "fieldManager=a",
            {**config(), "metadata": {"name": "settings", "managedFields": []}},
            400,
            "metadata.managedFields must be nil",
        ),
        (
            "fieldManager=a",
            {**config(), "spec": {}},
            400,
            "failed to create typed patch object (/settings; /v1, Kind=ConfigMap): .spec: field not declared in schema",
        ),
        ("fieldManager=a", {**config(), "data": {"a": 1}}, 400, ".data.a: expected string, got &{1}"),
        (
            "fieldManager=a",
            {**config(), "metadata": {"name": "other"}},
            400,
            "does not match the name on the URL",
        ),
        (
            "fieldManager=a",
            {**config(), "metadata": {"name": "settings", "uid": "1"}},
            409,
            "uid mismatch: the provided object specified uid 1, and no existing object was found",
        ),
        (
            "fieldManager=a&fieldValidation=Strict",
            b'{"apiVersion":"v1","kind":"ConfigMap","kind":"x"}',
            400,
            "strict",
        ),
        (
            "fieldManager=a&fieldValidation=Strict",
            b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata:\n  a: b\n  a: c\n",
            400,
            'line 6: key "a" already set in map',
        ),
        ("fieldManager=a&dryRun=Some", config(), 422, "dryRun: Unsupported value"),
    ],
)
def test_an_apply_that_is_refused(tmp_path: Path, query: str, body: Any, code: int, said: str) -> None:
    async def test(client: Client) -> None:
        status, answer = await client.ask("PATCH", f"{CONFIG_MAPS}/settings?{query}", body, headers=YAML)
        assert status == code, answer
        assert said in answer["message"]

    with_server(tmp_path, test)


def test_preconditions_and_dry_runs(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        code, dry = await apply(client, CONFIG_MAPS, config(a="1"), dryRun="All")
        assert (code, owned(dry)) == (201, {"a/Apply": {"f:data": {"f:a": {}}}})
        assert (await client.ask("GET", f"{CONFIG_MAPS}/settings"))[0] == 404
        _, made = await apply(client, CONFIG_MAPS, config(a="1"))
        stale = {**config(a="2"), "metadata": {"name": "settings", "resourceVersion": "1"}}
        code, said = await apply(client, CONFIG_MAPS, stale)
        assert (code, said["reason"]) == (409, "Conflict")
        version = made["metadata"]["resourceVersion"]
        fresh = {**config(a="2"), "metadata": {"name": "settings", "resourceVersion": version}}
        assert (await apply(client, CONFIG_MAPS, fresh))[0] == 200
        # An object on its way out can still be applied to.
        await client.patch(f"{CONFIG_MAPS}/settings", {"metadata": {"finalizers": ["x/y"]}})
        await client.ask("DELETE", f"{CONFIG_MAPS}/settings")
        code, applied = await apply(client, CONFIG_MAPS, config(a="3"))
        assert (code, applied["data"]) == (200, {"a": "3"})

    with_server(tmp_path, test)


def test_more_than_ten_updaters_are_joined(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(f"{CONFIG_MAPS}?fieldManager=m00", config_map())
        for i in range(1, 14):
            _, obj = await client.patch(
                f"{CONFIG_MAPS}/settings?fieldManager=m{i:02}", {"data": {f"k{i:02}": ""}}
            )
        entries = obj["metadata"]["managedFields"]
        assert len(entries) == 10
        (joined,) = [entry for entry in entries if entry["manager"] == "ancient-changes"]
        assert set(joined["fieldsV1"]["f:data"]) == {".", "f:a", "f:k01", "f:k02", "f:k03", "f:k04"}
        everything = set().union(*(entry["fieldsV1"]["f:data"] for entry in entries))
        assert everything == {".", "f:a", *(f"f:k{i:02}" for i in range(1, 14))}

    with_server(tmp_path, test)


def test_the_entries_of_a_body(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(f"{CONFIG_MAPS}?fieldManager=maker", config_map())
        at = f"{CONFIG_MAPS}/settings"

        async def put(**changes: Any) -> tuple[int, Any]:
            metadata = {
                **made["metadata"],
                "managedFields": [{**made["metadata"]["managedFields"][0], **changes}],
            }
            metadata.pop("resourceVersion")
            return await client.ask("PUT", at, {**made, "metadata": metadata})

        code, obj = await put(manager="renamed")
        assert (code, list(owned(obj))) == (200, ["renamed/Update"])
        # Entries that are none are as good as absent.
        wrong: dict[str, Any]
        for wrong in (
            {"operation": "Take"},
            {"fieldsV1": {"x": {}}},
            {"fieldsType": "V2"},
            {"apiVersion": ""},
        ):
            code, obj = await put(**wrong)
            assert (code, list(owned(obj))) == (200, ["renamed/Update"]), wrong
        code, said = await put(manager="x" * 200)
        assert code == 422
        assert "metadata.managedFields[0].manager: Too long" in said["message"]
        # What kubectl sends to turn client-side apply into server-side apply.
        _, now = await client.ask("GET", at)
        entry = {**now["metadata"]["managedFields"][0], "manager": "kubectl", "operation": "Apply"}
        operations = [
            {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": now["metadata"]["resourceVersion"],
            },
        ]
        code, obj = await client.patch(at, operations, "json-patch")
        assert (code, list(owned(obj))) == (200, ["kubectl/Apply"]), obj
        code, said = await client.patch(at, operations, "json-patch")
        assert code == 409

    with_server(tmp_path, test)


CUSTOM = {
    "type": "object",
    "properties": {
        "names": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "steps": {"type": "array", "items": {"type": "string"}},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "name": {"type": "string"},
                },
            },
        },
        "limit": {"x-kubernetes-int-or-string": True},
        "frozen": {
            "type": "object",
            "x-kubernetes-map-type": "atomic",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        },
        "open": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"known": {"type": "integer"}},
        },
    },
}


def test_custom_resources_merge_by_their_schema(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        obj = definition(schema=CUSTOM)
        obj["spec"]["versions"][0]["subresources"] = {"status": {}}
        path = await establish(client, obj)

        def applied(**spec: Any) -> dict[str, Any]:
            return {**widget("a"), "spec": spec}

        one = applied(
            names=["x"],
            steps=["1"],
            ports=[{"port": 80, "name": "http"}],
            limit="5%",
            frozen={"a": "1"},
            open={"known": 1, "free": {"deep": [1]}},
        )
        code, made = await apply(client, path, one, "one")
        assert code == 201, made
        assert owned(made)["one/Apply"] == {
            "f:spec": {
                "f:names": {'v:"x"': {}},
                "f:steps": {},
                "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}},
                "f:limit": {},
                "f:frozen": {},
                "f:open": {"f:known": {}, "f:free": {".": {}, "f:deep": {}}},
            }
        }
        more = applied(names=["y"], ports=[{"port": 80, "protocol": "UDP"}], open={"free": {"other": True}})
        code, both = await apply(client, path, more, "two")
        assert code == 200, both
        assert both["spec"]["names"] == ["x", "y"]
        assert [(p["port"], p["protocol"]) for p in both["spec"]["ports"]] == [(80, "TCP"), (80, "UDP")]
        assert both["spec"]["open"] == {"known": 1, "free": {"deep": [1], "other": True}}
        code, said = await apply(client, path, applied(frozen={"b": "2"}, steps=["2"]), "three")
        assert [cause["field"] for cause in said["details"]["causes"]] == [".spec.frozen", ".spec.steps"]
        code, said = await apply(client, path, applied(nope=1), "three")
        assert (code, ".spec.nope: field not declared in schema" in said["message"]) == (400, True)
        code, less = await apply(client, path, applied(names=["x"]), "one")
        assert less["spec"]["names"] == ["x", "y"]
        assert [(p["port"], p["protocol"]) for p in less["spec"]["ports"]] == [(80, "UDP")]
        code, patched = await client.patch(f"{path}/a?fieldManager=u", {"spec": {"steps": ["3"]}})
        assert owned(patched)["u/Update"] == {"f:spec": {"f:steps": {}}}
        made = await client.create(f"{path}?fieldManager=maker", {**widget("b"), "spec": {"names": ["x"]}})
        assert owned(made)["maker/Update"] == {"f:spec": {".": {}, "f:names": {".": {}, 'v:"x"': {}}}}

    with_server(tmp_path, test)


def test_objects_of_one_template_have_fields_of_their_own(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        first = await client.create(f"{PODS}?fieldManager=m", pod("a", labels={"x": "1"}))
        again = await client.create(f"{PODS}?fieldManager=m", pod("b"))
        other = pod("c")
        other["spec"]["containers"][0]["name"] = "d"
        third = await client.create(f"{PODS}?fieldManager=m", other)
        fields = owned(first)["m/Update"]
        assert fields["f:metadata"] == {"f:labels": {".": {}, "f:x": {}}}
        assert owned(again)["m/Update"] == {"f:spec": fields["f:spec"]}
        assert set(owned(third)["m/Update"]["f:spec"]["f:containers"]) == {'k:{"name":"d"}'}

    with_server(tmp_path, test)
