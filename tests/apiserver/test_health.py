"""Health by name, metrics, compressed answers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairlead.apiserver.etags import Answer
from fairlead.apiserver.paths import health
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.process import Health
from tests.apiserver.serving import Client, config_map, pod, with_server

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("path", "query", "code", "text"),
    [
        ("/livez", "", 200, "ok"),
        ("/healthz/ping", "", 200, "ok"),
        ("/livez/etcd", "", 200, "ok"),
        ("/livez", "verbose", 200, "[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n"),
        (
            "/readyz",
            "",
            500,
            "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]informer-sync ok\n[+]shutdown ok\n"
            "[-]apiserver failed: reason withheld\nreadyz check failed\n",
        ),
        ("/readyz", "exclude=apiserver", 200, "ok"),
        ("/readyz/apiserver", "", 500, "apiserver failed\n"),
        (
            "/livez",
            "verbose&exclude=etcd&exclude=moon",
            200,
            "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n"
            'warn: some health checks cannot be excluded: no matches for "moon"\nlivez check passed\n',
        ),
    ],
)
def test_checks(path: str, query: str, code: int, text: str) -> None:
    async def answer() -> object:
        state = Health()
        state.waits_for("apiserver", "starting")
        return health(state)(RequestInfo("GET", path), Query(query), {})

    assert asyncio.run(answer()) == Answer(code, "text/plain; charset=utf-8", text.encode())


def test_health_over_http(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for path in ("/healthz", "/livez", "/readyz", "/readyz/etcd"):
            assert await client.ask("GET", path) == (200, "ok")
        assert (await client.ask("GET", "/livez/moon"))[0] == 404
        status, said = await client.ask("GET", "/readyz?verbose&exclude=etcd")
        assert (status, said.splitlines()[-1]) == (200, "readyz check passed")

    with_server(tmp_path, test)


def test_metrics(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        watch = await client.watch(f"{MAPS}?resourceVersion=0")
        for name in ("a", "b"):
            await client.create(MAPS, config_map(name))
            while (await watch.next())[1]["metadata"]["name"] != name:
                pass
        await client.ask("GET", f"{MAPS}/none")
        await client.ask("GET", "/api/v1/moons/of/jupiter")
        _, text = await client.ask("GET", "/metrics")
        found = dict(re.findall(r"^([^#\s].*) (\S+)$", text, re.MULTILINE))

        def of(name: str, verb: str, scope: str, **more: str) -> str:
            labels = {"verb": verb, "group": "", "version": "v1", "resource": "configmaps"}
            labels |= {"subresource": "", "scope": scope, "component": "apiserver", **more}
            rest = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
            return f"{name}{{{rest}}}"

        assert found[of("apiserver_request_total", "POST", "resource", code="201")] == "2.0"
        assert found[of("apiserver_request_total", "GET", "resource", code="404")] == "1.0"
        assert found[of("apiserver_request_duration_seconds_count", "POST", "resource")] == "2.0"
        assert found[of("apiserver_longrunning_requests", "WATCH", "namespace")] == "1.0"
        kind = '{group="",resource="configmaps",version="v1"}'
        assert float(found[f"apiserver_watch_events_total{kind}"]) >= 2
        assert float(found['apiserver_storage_objects{resource="configmaps"}']) >= 2
        assert float(found['apiserver_storage_size_bytes{storage_cluster_id="0"}']) > 0
        assert found['apiserver_current_inflight_requests{request_kind="readOnly"}'] == "1.0"
        # Nobody makes up names of metrics by asking for things that are not there.
        assert "jupiter" not in text
        assert "moons" not in text
        assert (await client.ask("POST", "/metrics"))[0] == 405

    with_server(tmp_path, test)


def test_large_answers_are_compressed_for_those_who_take_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for i in range(20):
            await client.create(MAPS, {**config_map(f"m{i}"), "data": {"a": f"{i}" * 10_000}})
        found = {}
        for accepted in ("gzip", "deflate, gzip", "identity"):
            async with client.session.get(MAPS, headers={"Accept-Encoding": accepted}) as response:
                found[accepted] = (response.headers.get("Content-Encoding"), len(await response.read()))
        assert [encoding for encoding, _ in found.values()] == ["gzip", "gzip", None]
        assert len({size for _, size in found.values()}) == 1
        async with client.session.get(f"{MAPS}/m0") as response:
            assert "Content-Encoding" not in response.headers

    with_server(tmp_path, test)


def test_a_list_is_the_same_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each form, with nothing, one, and more objects than are encoded at a time."""
    pods = "/api/v1/namespaces/default/pods"
    forms = [
        "application/json",
        "application/yaml",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf",
    ]
    # Tables tell how old things are, in seconds.
    monkeypatch.setattr("fairlead.apiserver.answers.time", SimpleNamespace(time=lambda: 2e9))

    async def test(client: Client) -> None:
        for count in range(4):
            if count:
                await client.create(pods, pod(f"p{count}"))
            for accept in forms:
                read = []
                for size in (1, 2, 1000):
                    monkeypatch.setattr("fairlead.apiserver.answers.SLICE", size)
                    async with client.session.get(pods, headers={"Accept": accept}) as response:
                        assert response.status == 200
                        read.append(await response.read())
                assert read[0] == read[1] == read[2]
                if accept.startswith("application/json"):
                    listed = json.loads(read[0])
                    assert len(listed.get("items", listed.get("rows"))) == count

    with_server(tmp_path, test)
