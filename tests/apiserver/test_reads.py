"""Reads as clients ask for them: versions, pages across compaction, forms, methods, selectors with upstream's words."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.apiserver import lists
from fairlead.apiserver.negotiation import Form, form, reads
from fairlead.objects.status import StatusError
from fairlead.store.sqlite import SQLiteStore
from tests.apiserver.serving import Client, config_map, pod, with_server

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/*", Form()),
        ("application/json", Form()),
        ("application/yaml", Form(yaml=True)),
        (f"{PROTOBUF},application/json", Form(protobuf=True)),
        (f"{PROTOBUF};q=0.5,application/json", Form()),
        ("application/json;q=0.1,application/yaml;q=0.2", Form(yaml=True)),
        ("*/*,application/yaml", Form(yaml=True)),
        ("application/yaml;q=x,application/json;q=0.9", Form(yaml=True)),
        ("application/cbor,application/json", Form()),
        (f"{TABLE},application/json", Form("Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Form()),
        (f"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,{TABLE}", Form("Table")),
        ("application/json;pretty=1", Form(pretty=True)),
        (" application/yaml ; q=1 , ", Form(yaml=True)),
    ],
)
def test_the_form_of_an_answer(accept: str, expected: Form) -> None:
    assert form(accept) == expected


@pytest.mark.parametrize(
    "accept", ["application/cbor", "text/html", ",", ";;;,,", "application/json;as=Chair"]
)
def test_a_form_that_cannot_be_given(accept: str) -> None:
    with pytest.raises(StatusError) as raised:
        form(accept)
    assert (raised.value.code, raised.value.reason) == (406, "NotAcceptable")
    assert raised.value.status.message == (
        "only the following media types are accepted: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf"
    )


@pytest.mark.parametrize(
    ("pretty", "agent", "expected"),
    [
        (None, "kubectl/v1.36.2", False),
        (None, "curl/8.0", True),
        (None, "Mozilla/5.0 (X11)", True),
        ("false", "curl/8.0", False),
        ("0", "curl/8.0", False),
        ("", "", True),
        ("true", "", True),
    ],
)
def test_who_reads_answers(pretty: str | None, agent: str, expected: bool) -> None:
    assert reads(pretty, agent) is expected


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


REFUSED = [
    ("resourceVersion=x", 400, "Invalid value"),
    ("resourceVersion=-1", 400, "invalid syntax"),
    ("resourceVersion=%D9%A1", 400, "invalid syntax"),
    ("resourceVersion=" + "9" * 5000, 400, "value out of range"),
    ("resourceVersion=18446744073709551616", 400, "value out of range"),
    ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("limit=1_0", 400, "invalid syntax"),
    ("limit=99999999999999999999", 400, "value out of range"),
    (
        "resourceVersionMatch=Exact",
        422,
        "resourceVersionMatch is forbidden unless resourceVersion is provided",
    ),
    ("resourceVersion=1&resourceVersionMatch=Near", 422, 'supported values: "", "Exact", "NotOlderThan"'),
    ("resourceVersion=0&resourceVersionMatch=Exact", 422, 'forbidden for resourceVersion "0"'),
    ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
    ("limit=1&continue=!!!", 400, "continue key is not valid"),
    (
        f"limit=1&continue={token({'v': 'meta.k8s.io/v1', 'rv': 0, 'start': 'a'})}",
        400,
        "start resourceVersion",
    ),
    (f"limit=1&continue={token({'v': 'meta.k8s.io/v1', 'rv': 3, 'start': ''})}", 400, "start key empty"),
    (
        f"limit=1&continue={token({'v': 'v9', 'rv': 3, 'start': 'a'})}",
        400,
        "does not recognize this encoded version v9",
    ),
    (
        f"continue={token({'v': 'meta.k8s.io/v1', 'rv': 3, 'start': 'a'})}&resourceVersion=3",
        400,
        "not allowed",
    ),
    (
        "watch=1&sendInitialEvents=true",
        422,
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    ),
    (
        "watch=1&resourceVersionMatch=NotOlderThan",
        422,
        "is forbidden for watch unless sendInitialEvents is provided",
    ),
    ("watch=1&sendInitialEvents=1&resourceVersionMatch=Exact", 422, 'supported values: "NotOlderThan"'),
    (
        "watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&continue=x",
        422,
        "resourceVersionMatch is forbidden when continue is provided",
    ),
    ("labelSelector=a%3D%3D%3Db", 400, "unable to parse requirement: found '=', expected: identifier"),
    ("labelSelector=a in b", 400, "found 'b' expected: '('"),
    ("labelSelector=,", 400, "found ',', expected: !, identifier, or 'end of string'"),
    ("labelSelector=-a", 400, "Invalid value"),
    ("labelSelector=a>x", 400, "for 'Gt', 'Lt' operators, the value must be an integer"),
    ("fieldSelector=spec.foo%3Dx", 400, "field label not supported: spec.foo"),
    ("fieldSelector=a", 400, "invalid selector: 'a'; can't understand 'a'"),
]


def test_parameters_are_refused_with_upstreams_words(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for query, code, words in REFUSED:
            status, said = await client.ask("GET", f"{PODS}?{query}")
            assert (status, said["kind"]) == (code, "Status"), query
            assert words in said["message"], query
        status, said = await client.ask("GET", f"{MAPS}?fieldSelector=data.a%3Dx")
        assert said["message"] == (
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'
        )
        table = {"Accept": TABLE}
        status, said = await client.ask("GET", f"{PODS}?includeObject=All", headers=table)
        assert status == 400
        assert said["message"].startswith(
            "Unable to convert to Table as requested: includeObject: Invalid value"
        )

    with_server(tmp_path, test)


def test_pages_go_on_after_a_compaction_with_the_token_that_comes_with_the_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[SQLiteStore] = []
    original = SQLiteStore.open

    async def remember(path: str) -> SQLiteStore:
        opened.append(await original(path))
        return opened[0]

    monkeypatch.setattr(SQLiteStore, "open", remember)

    async def test(client: Client) -> None:
        for name in "abcdef":
            await client.create(PODS, pod(name))
        page = await client.get(f"{PODS}?limit=2")
        await client.create(PODS, pod("e2"))
        await opened[0].compact(opened[0].revision)
        status, said = await client.ask("GET", f"{PODS}?limit=2&continue={page['metadata']['continue']}")
        assert (status, said["reason"]) == (410, "Expired")
        assert "Continuing with the provided token results in an inconsistent list" in said["message"]
        names = []
        goes_on = said["metadata"]["continue"]
        while goes_on:
            page = await client.get(f"{PODS}?limit=2&continue={goes_on}")
            names += [item["metadata"]["name"] for item in page["items"]]
            goes_on = page["metadata"].get("continue")
        assert names == ["c", "d", "e", "e2", "f"]
        status, said = await client.ask("GET", f"{PODS}?resourceVersion=2&resourceVersionMatch=Exact")
        assert (status, said["message"]) == (410, "The resourceVersion for the provided list is too old.")

    with_server(tmp_path, test)


def test_versions_of_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "FRESH_SECONDS", 0.1)

    async def test(client: Client) -> None:
        made = [await client.create(MAPS, config_map(name)) for name in "abc"]
        versions = [int(one["metadata"]["resourceVersion"]) for one in made]
        assert versions == sorted(versions)
        old = versions[1]

        async def names(query: str) -> list[str]:
            return [item["metadata"]["name"] for item in (await client.get(f"{MAPS}?{query}"))["items"]]

        every = ["a", "b", "c", "kube-root-ca.crt"]
        assert await names("") == every
        assert await names("resourceVersion=0&limit=1") == every
        assert await names(f"resourceVersion={old}") == every
        assert await names(f"resourceVersion={old}&resourceVersionMatch=NotOlderThan") == every
        assert await names(f"resourceVersion={old}&resourceVersionMatch=Exact") == [
            "a",
            "b",
            "kube-root-ca.crt",
        ]
        assert await names(f"resourceVersion={old}&limit=9") == ["a", "b", "kube-root-ca.crt"]
        assert await names(f"resourceVersion={old}&resourceVersionMatch=NotOlderThan&limit=1") == ["a"]
        assert await names("limit=-1") == every
        for path in (f"{MAPS}?resourceVersion=99999", f"{MAPS}/a?resourceVersion=99999"):
            status, said = await client.ask("GET", path)
            assert (status, said["reason"]) == (504, "Timeout")
            assert said["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert (await client.ask("GET", f"{MAPS}/a?resourceVersion=0"))[0] == 200

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", MAPS, "GET, POST, DELETE"),
        ("POST", f"{MAPS}/a", "GET, PUT, PATCH, DELETE"),
        ("POST", "/api/v1/configmaps", "GET"),
        ("DELETE", "/api/v1/namespaces", "GET, POST"),
        ("OPTIONS", MAPS, "GET, POST, DELETE"),
        ("TRACE", MAPS, "GET, POST, DELETE"),
        ("DELETE", f"{PODS}/a/status", "GET, PATCH, PUT"),
    ],
)
def test_methods(tmp_path: Path, method: str, path: str, allowed: str) -> None:
    async def test(client: Client) -> None:
        async with client.session.request(method, path) as response:
            assert (response.status, response.headers["Allow"]) == (405, allowed)
            said = await response.json()
        assert said["message"] == "the server does not allow this method on the requested resource"

    with_server(tmp_path, test)


def test_head_is_a_get_without_its_body(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with client.session.get(MAPS) as got, client.session.head(MAPS) as headed:
            assert (headed.status, await headed.read()) == (200, b"")
            assert headed.headers["Content-Type"] == got.headers["Content-Type"]

    with_server(tmp_path, test)


def test_forms_of_one_object_and_of_refusals(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(PODS, pod("a", labels={"x": "y"}))
        _, partial = await client.ask("GET", f"{PODS}/a", headers={"Accept": PARTIAL})
        assert (partial["kind"], partial["metadata"]["labels"]) == ("PartialObjectMetadata", {"x": "y"})
        for included, kinds in (
            ("None", {"NoneType"}),
            ("Metadata", {"PartialObjectMetadata"}),
            ("Object", {"Pod"}),
        ):
            _, table = await client.ask("GET", f"{PODS}?includeObject={included}", headers={"Accept": TABLE})
            found = {row["object"]["kind"] if row.get("object") else "NoneType" for row in table["rows"]}
            assert found == kinds
        _, text = await client.ask("GET", f"{PODS}/none", headers={"Accept": "application/yaml"})
        assert "reason: NotFound" in text
        async with client.session.get(f"{PODS}/a", headers={"User-Agent": "curl/8"}) as response:
            body = await response.text()
            assert body.startswith('{\n  "kind": "Pod"')
            assert body.endswith("}\n")
        async with client.session.get(f"{PODS}?pretty=true") as response:
            assert '\n  "items": [' in await response.text()

    with_server(tmp_path, test)


def test_watches_below_the_deprecated_paths_and_of_one_name(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(MAPS, config_map("a"))
        await client.create(MAPS, config_map("b"))
        for path in (
            "/api/v1/watch/namespaces/default/configmaps/b?x=1",
            f"{MAPS}?fieldSelector=metadata.name%3Db",
            "/api/v1/configmaps?fieldSelector=metadata.name%3Db,metadata.namespace%3Ddefault",
        ):
            frames = await client.watch(path)
            assert await frames.names(1) == [("ADDED", "b")]
        frames = await client.watch("/api/v1/watch/namespaces/default/configmaps?x=1")
        assert await frames.names(2) == [("ADDED", "a"), ("ADDED", "b")]
        # A GET of a name is that, whatever else it says.
        assert (await client.get(f"{MAPS}/a?watch=true"))["metadata"]["name"] == "a"
        path = "/api/v1/watch/namespaces/default/configmaps/b?fieldSelector=metadata.name%3Dc"
        status, said = await client.ask("GET", path)
        assert (status, said["message"]) == (400, "fieldSelector metadata.name doesn't match requested name")

    with_server(tmp_path, test)


def test_a_watch_of_a_version_to_come_waits_for_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create(MAPS, config_map("a"))
        version = int(made["metadata"]["resourceVersion"])
        frames = await client.watch(f"{MAPS}?resourceVersion={version + 2}")
        for name in "bcd":
            await client.create(MAPS, config_map(name))
        assert await frames.names(1) == [("ADDED", "d")]

    with_server(tmp_path, test)


def test_metadata_and_tables_are_watched_too(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(PODS, pod("a"))
        query = "watch=1&allowWatchBookmarks=1"
        async with (
            client.session.get(f"{PODS}?{query}", headers={"Accept": PARTIAL}) as bare,
            client.session.get(f"{PODS}?{query}", headers={"Accept": TABLE}) as table,
        ):
            frames = [
                [json.loads(await stream.content.readline()) for _ in range(2)] for stream in (bare, table)
            ]
            assert [frame["object"]["kind"] for frame in frames[0]] == ["PartialObjectMetadata"] * 2
            assert [frame["object"]["kind"] for frame in frames[1]] == ["Table"] * 2
            ends = [frames[0][1]["object"], frames[1][1]["object"]["rows"][0]["object"]]
            for end in ends:
                assert end["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            await client.create(PODS, pod("b"))
            added = json.loads(await table.content.readline())
            assert (added["type"], added["object"]["rows"][0]["cells"][0]) == ("ADDED", "b")
            assert added["object"]["columnDefinitions"] is None
        # Where nothing is there in the beginning, the first event has the columns.
        empty = "/api/v1/namespaces/default/secrets?watch=1"
        async with client.session.get(empty, headers={"Accept": TABLE}) as table:
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
            await client.create("/api/v1/namespaces/default/secrets", secret)
            first = json.loads(await table.content.readline())
            assert first["object"]["columnDefinitions"][0]["name"] == "Name"

    with_server(tmp_path, test)
