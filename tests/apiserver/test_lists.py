"""Lists and watches: selection, pages, versions, forms."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from fairlead.apiserver import feeds, lists
from fairlead.apiserver import watches as server_watches
from tests.apiserver.serving import SECONDS, Client, Frames, config_map, pod, service, with_server

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}


async def three_pods(client: Client) -> None:
    for name, labels in (("a", {"app": "x"}), ("b", {"app": "x", "tier": "db"}), ("c", {})):
        await client.create(PODS, pod(name, labels=labels))
    await client.ask("POST", f"{PODS}/b/binding", {"target": {"name": "node1"}})


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a", "b", "c"]),
        ("labelSelector=app%3Dx", ["a", "b"]),
        ("labelSelector=app%3Dx,!tier", ["a"]),
        ("labelSelector=app notin (x)", ["c"]),
        ("fieldSelector=metadata.name%3Da", ["a"]),
        ("fieldSelector=metadata.name!%3Da", ["b", "c"]),
        ("fieldSelector=spec.nodeName%3Dnode1", ["b"]),
        ("fieldSelector=spec.nodeName%3D,status.phase%3DPending", ["a", "c"]),
        ("fieldSelector=metadata.namespace%3Dother", []),
        ("labelSelector=tier&fieldSelector=metadata.name%3Da", []),
    ],
)
def test_selectors(tmp_path: Path, query: str, names: list[str]) -> None:
    async def test(client: Client) -> None:
        await three_pods(client)
        for path in (PODS, "/api/v1/pods"):
            found = await client.get(f"{path}?{query}")
            assert [item["metadata"]["name"] for item in found["items"]] == names

    with_server(tmp_path, test)


def test_services_are_selected_by_address_and_type(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = "/api/v1/namespaces/default/services"
        await client.create(path, service("headless", clusterIP="None"))
        await client.create(path, service("open", type="NodePort"))
        found = await client.get(f"{path}?fieldSelector=spec.clusterIP!%3DNone")
        assert [item["metadata"]["name"] for item in found["items"]] == ["kubernetes", "open"]
        found = await client.get(f"{path}?fieldSelector=spec.type%3DNodePort")
        assert [item["metadata"]["name"] for item in found["items"]] == ["open"]
        status, said = await client.ask("GET", f"{path}?fieldSelector=spec.foo%3Dx")
        assert (status, said["message"]) == (400, "field label not supported: spec.foo")

    with_server(tmp_path, test)


def test_pages_show_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "FRESH_SECONDS", 0.1)

    async def test(client: Client) -> None:
        for i in range(7):
            await client.create(PODS, pod(f"p{i}"))
        page = await client.get(f"{PODS}?limit=3")
        version = page["metadata"]["resourceVersion"]
        assert page["metadata"]["remainingItemCount"] == 4
        names = [item["metadata"]["name"] for item in page["items"]]
        await client.ask("DELETE", f"{PODS}/p4")
        await client.create(PODS, pod("p35"))
        while token := page["metadata"].get("continue"):
            page = await client.get(f"{PODS}?limit=3&continue={token}")
            assert page["metadata"]["resourceVersion"] == version
            names += [item["metadata"]["name"] for item in page["items"]]
        assert names == [f"p{i}" for i in range(7)]
        exact = await client.get(f"{PODS}?resourceVersion={version}&resourceVersionMatch=Exact")
        assert len(exact["items"]) == 7
        assert len((await client.get(f"{PODS}?resourceVersion=0"))["items"]) == 7
        status, said = await client.ask("GET", f"{PODS}?resourceVersion=99999")
        assert (status, said["reason"]) == (504, "Timeout")

    with_server(tmp_path, test)


def test_pages_of_a_selection_are_full(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for i in range(10):
            await client.create(PODS, pod(f"p{i}", labels={"odd": str(i % 2)}))
        first = await client.get(f"{PODS}?limit=3&labelSelector=odd%3D1")
        rest = await client.get(
            f"{PODS}?limit=3&labelSelector=odd%3D1&continue={first['metadata']['continue']}"
        )
        names = [[item["metadata"]["name"] for item in page["items"]] for page in (first, rest)]
        assert names == [["p1", "p3", "p5"], ["p7", "p9"]]

    with_server(tmp_path, test)


def test_a_watch_goes_on_from_a_list(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.create(MAPS, config_map("before"))
        version = (await client.get(MAPS))["metadata"]["resourceVersion"]
        await client.create(MAPS, config_map("a"))
        frames = await client.watch(f"{MAPS}?resourceVersion={version}")
        await client.patch(f"{MAPS}/a", {"data": {"b": "2"}})
        await client.ask("DELETE", f"{MAPS}/a")
        kinds = [await frames.next() for _ in range(3)]
        assert [kind for kind, _ in kinds] == ["ADDED", "MODIFIED", "DELETED"]
        versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in kinds]
        assert versions == sorted(versions)
        assert kinds[2][1]["data"] == {"a": "1", "b": "2"}
        assert kinds[2][1]["kind"] == "ConfigMap"

    with_server(tmp_path, test)


def test_a_watch_without_version_begins_with_what_there_is(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await three_pods(client)
        frames = await client.watch(f"{PODS}?labelSelector=app%3Dx")
        assert await frames.names(2) == [("ADDED", "a"), ("ADDED", "b")]
        one = await client.watch(f"{PODS}?fieldSelector=metadata.name%3Dc")
        assert await one.names(1) == [("ADDED", "c")]

    with_server(tmp_path, test)


def test_objects_enter_and_leave_a_selection(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        version = (await client.get(MAPS))["metadata"]["resourceVersion"]
        frames = await client.watch(f"{MAPS}?labelSelector=app%3Dx&resourceVersion={version}")
        await client.create(MAPS, config_map("a"))
        await client.patch(f"{MAPS}/a", {"metadata": {"labels": {"app": "x"}}})
        await client.patch(f"{MAPS}/a", {"data": {"a": "2"}})
        await client.patch(f"{MAPS}/a", {"metadata": {"labels": {"app": "y"}}})
        await client.ask("DELETE", f"{MAPS}/a")
        await client.create(MAPS, config_map("b", labels={"app": "x"}))
        expected = [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]
        assert await frames.names(4) == expected

    with_server(tmp_path, test)


def test_a_streaming_list_ends_with_a_bookmark(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await three_pods(client)
        frames = await client.watch(
            f"{PODS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        )
        assert await frames.names(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
        kind, bookmark = await frames.next()
        assert (kind, bookmark["kind"]) == ("BOOKMARK", "Pod")
        assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    with_server(tmp_path, test)


def test_bookmarks_follow_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_watches, "BOOKMARK_SECONDS", 0.05)

    async def test(client: Client) -> None:
        made = await client.create(MAPS, config_map())
        version = made["metadata"]["resourceVersion"]
        frames = await client.watch(f"{PODS}?resourceVersion={version}&allowWatchBookmarks=true")
        later = await client.create(MAPS, config_map("later"))
        async with asyncio.timeout(SECONDS):
            while True:
                kind, bookmark = await frames.next()
                assert kind == "BOOKMARK"
                if int(bookmark["metadata"]["resourceVersion"]) >= int(later["metadata"]["resourceVersion"]):
                    break

    with_server(tmp_path, test)


def test_a_watch_ends_when_its_time_is_up(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        frames = await client.watch(f"{PODS}?timeoutSeconds=1")
        async with asyncio.timeout(SECONDS):
            assert await frames.response.content.read() == b""

    with_server(tmp_path, test)


def test_a_version_that_is_gone_is_410(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairlead.store.sqlite import SQLiteStore

    opened: list[SQLiteStore] = []
    original = SQLiteStore.open

    async def remember(path: str) -> SQLiteStore:
        opened.append(await original(path))
        return opened[0]

    monkeypatch.setattr(SQLiteStore, "open", remember)

    async def test(client: Client) -> None:
        for i in range(3):
            await client.create(PODS, pod(f"p{i}"))
        page = await client.get(f"{PODS}?limit=1")
        await client.create(PODS, pod("more"))
        await opened[0].compact(opened[0].revision)
        frames = await client.watch(f"{PODS}?resourceVersion=1")
        kind, status = await frames.next()
        assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
        status, said = await client.ask("GET", f"{PODS}?limit=1&continue={page['metadata']['continue']}")
        assert (status, said["reason"]) == (410, "Expired")

    with_server(tmp_path, test)


async def read_all(frames: Frames) -> None:
    async with asyncio.timeout(SECONDS):
        while await frames.response.content.readany():
            pass


def test_a_client_that_never_reads_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "WAITING_BYTES", 1_000_000)

    async def test(client: Client) -> None:
        lazy = await client.watch(MAPS)
        diligent = await client.watch(MAPS)
        await diligent.next()
        await client.create(MAPS, config_map("big"))
        await diligent.next()
        for i in range(40):
            status, _ = await client.patch(f"{MAPS}/big", {"data": {"a": f"{i}" + "x" * 500_000}})
            assert status == 200
            await diligent.next()
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await read_all(lazy)

    with_server(tmp_path, test)


def test_tables_and_metadata_alone(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await three_pods(client)
        status, table = await client.ask("GET", PODS, headers=TABLE)
        assert (status, table["kind"]) == (200, "Table")
        assert [row["cells"][0] for row in table["rows"]] == ["a", "b", "c"]
        _, listed = await client.ask("GET", PODS, headers=PARTIAL)
        assert listed["kind"] == "PartialObjectMetadataList"
        assert [sorted(item) for item in listed["items"]] == [["apiVersion", "kind", "metadata"]] * 3
        async with client.session.get(f"{PODS}?watch=1", headers=TABLE) as response:
            first = await response.content.readline()
            assert b'"columnDefinitions":[{' in first
            assert b'"columnDefinitions":[{' not in await response.content.readline()
        status, said = await client.ask("GET", PODS, headers={"Accept": "application/cbor"})
        assert (status, said["reason"]) == (406, "NotAcceptable")
        only_json = {"Accept": "application/cbor,application/json"}
        assert (await client.ask("GET", PODS, headers=only_json))[1]["kind"] == "PodList"

    with_server(tmp_path, test)


def test_items_of_a_collection_are_deleted_by_selection(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await three_pods(client)
        _, deleted = await client.ask("DELETE", f"{PODS}?labelSelector=!tier")
        assert [item["metadata"]["name"] for item in deleted["items"]] == ["a", "c"]
        assert [item["metadata"]["name"] for item in (await client.get(PODS))["items"]] == ["b"]

    with_server(tmp_path, test)
