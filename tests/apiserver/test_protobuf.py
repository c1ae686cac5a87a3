"""The server as clients see it that speak protobuf."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from fairlead.apiserver.answers import SLICE
from fairlead.objects import protobuf
from tests.apiserver.kubectl import Kubectl
from tests.apiserver.serving import SECONDS, Client, config_map, pod, service, with_server

PROTOBUF = protobuf.CONTENT_TYPE
TYPED = {"Accept": f"{PROTOBUF},application/json", "Content-Type": PROTOBUF}
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


async def ask(client: Client, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """The status and the answer to a typed client, which has to be protobuf."""
    data = None if body is None else protobuf.encode(body)
    async with client.session.request(method, path, data=data, headers={**TYPED, **headers}) as response:
        assert response.headers["Content-Type"] == PROTOBUF, await response.read()
        return response.status, protobuf.decode(await response.read())


def test_an_objects_life(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        status, made = await ask(client, "POST", CONFIGMAPS, config_map())
        assert (status, made["data"]) == (201, {"a": "1"})
        assert made == await client.get(f"{CONFIGMAPS}/settings")
        status, changed = await ask(client, "PUT", f"{CONFIGMAPS}/settings", {**made, "data": {"a": "2"}})
        assert (status, changed["data"]) == (200, {"a": "2"})
        status, listed = await ask(client, "GET", CONFIGMAPS)
        assert (status, listed["kind"]) == (200, "ConfigMapList")
        assert "settings" in [item["metadata"]["name"] for item in listed["items"]]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "another"}}
        status, refused = await ask(client, "DELETE", f"{CONFIGMAPS}/settings", options)
        assert (status, refused["kind"], refused["reason"]) == (409, "Status", "Conflict")
        options["preconditions"] = {"uid": made["metadata"]["uid"]}
        status, gone = await ask(client, "DELETE", f"{CONFIGMAPS}/settings", options)
        assert (status, gone["status"]) == (200, "Success")
        status, missing = await ask(client, "GET", f"{CONFIGMAPS}/settings")
        assert (status, missing["reason"]) == (404, "NotFound")

    with_server(tmp_path, test)


def test_a_long_list(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        names = [f"m{number:03}" for number in range(SLICE + 1)]
        await asyncio.gather(*(client.create(CONFIGMAPS, config_map(name)) for name in names))
        _, listed = await ask(client, "GET", CONFIGMAPS)
        found = [item["metadata"]["name"] for item in listed["items"]]
        assert [name for name in found if name.startswith("m")] == names
        plain = await client.get(CONFIGMAPS)
        assert listed["metadata"] == plain["metadata"]
        assert listed["items"] == plain["items"]

    with_server(tmp_path, test)


@pytest.mark.parametrize(("plural", "body"), [("pods", pod()), ("services", service())])
def test_what_is_sent_as_protobuf_is_what_is_sent_as_json(
    tmp_path: Path, plural: str, body: dict[str, Any]
) -> None:
    async def test(client: Client) -> None:
        path = f"/api/v1/namespaces/default/{plural}"
        _, sent = await ask(client, "POST", f"{path}?dryRun=All", body)
        assert sent["spec"].keys() == (await client.create(f"{path}?dryRun=All", body))["spec"].keys()

    with_server(tmp_path, test)


def test_a_watch(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        path = f"{CONFIGMAPS}?watch=true&fieldSelector=metadata.name%3Dsettings"
        async with asyncio.timeout(SECONDS), client.session.get(path, headers=TYPED) as response:
            assert response.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
            made = await client.create(CONFIGMAPS, config_map())
            length = int.from_bytes(await response.content.readexactly(4), "big")
            event = {n: v for n, _, v in protobuf.fields(await response.content.readexactly(length))}
            assert event[1] == b"ADDED"
            raw = {n: v for n, _, v in protobuf.fields(event[2])}[1]
            assert protobuf.decode(raw) == made

    with_server(tmp_path, test)


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        (f"{PROTOBUF};q=0.5,application/json", "application/json"),
        (f"application/json;q=0.5,{PROTOBUF}", PROTOBUF),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/json", "application/json"),
    ],
)
def test_the_form_that_is_preferred(tmp_path: Path, accept: str, answered: str) -> None:
    async def test(client: Client) -> None:
        async with client.session.get(CONFIGMAPS, headers={"Accept": accept}) as response:
            assert response.headers["Content-Type"] == answered

    with_server(tmp_path, test)


@pytest.mark.parametrize("body", [b"", b"{}", b"k8s\0\x0a\x7f", protobuf.MAGIC, b"k8s\0\x12\x02\x0a\x05"])
def test_a_body_that_is_none_is_refused(tmp_path: Path, body: bytes) -> None:
    async def test(client: Client) -> None:
        status, said = await client.ask("POST", CONFIGMAPS, body, headers={"Content-Type": PROTOBUF})
        assert status in (400, 422), said

    with_server(tmp_path, test)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on PATH")
def test_kubectls_typed_commands(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        kubectl = Kubectl(tmp_path, client)
        assert await kubectl("create", "ns", "shop") == "namespace/shop created\n"
        await kubectl("create", "configmap", "a", "--from-literal=k=v", "-n", "shop")
        await kubectl("create", "secret", "generic", "s", "--from-literal=p=w", "-n", "shop")
        await kubectl("create", "service", "clusterip", "web", "--tcp=80:8080", "-n", "shop")
        assert (await client.get("/api/v1/namespaces/shop/configmaps/a"))["data"] == {"k": "v"}
        assert (await client.get("/api/v1/namespaces/shop/secrets/s"))["data"] == {"p": "dw=="}
        ports = (await client.get("/api/v1/namespaces/shop/services/web"))["spec"]["ports"]
        assert ports == [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}]
        assert "deleted" in await kubectl("delete", "configmap/a", "secret/s", "service/web", "-n", "shop")

    with_server(tmp_path, test)
