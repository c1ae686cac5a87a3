"""The client against the real API server, over TLS."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Informer
from fairlead.client.kubeconfig import Config
from fairlead.client.outage import Unreachable
from fairlead.objects.core_v1 import ConfigMap
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import CONFIGMAPS, EVENTS, NAMESPACES, PODS
from fairlead.objects.status import StatusError
from tests.waiting import LIMIT

from .cluster import api_server, with_server
from .server import Pods, serving, until


def configmap(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels={"app": name}), data=data)


async def refusal(call: Awaitable[Any]) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await call
    return caught.value


def test_an_object_from_creation_to_deletion() -> None:
    async def scenario(api: Api) -> None:
        made = await api.create(CONFIGMAPS, configmap("a", colour="red"))
        assert made.metadata.uid
        read = await api.get(CONFIGMAPS, "a", "default")
        assert read == made
        newer = await api.replace(CONFIGMAPS, replace(made, data={"colour": "blue"}))
        assert (await refusal(api.replace(CONFIGMAPS, made))).code == 409
        patched = await api.patch(CONFIGMAPS, "a", "default", {"data": {"size": "7"}})
        assert patched.data == {"colour": "blue", "size": "7"}
        assert newer.metadata.uid == patched.metadata.uid
        assert (await refusal(api.delete(CONFIGMAPS, "a", "default", uid="another"))).code == 409
        await api.delete(CONFIGMAPS, "a", "default", uid=made.metadata.uid)
        error = await refusal(api.get(CONFIGMAPS, "a", "default"))
        assert (error.code, error.reason) == (404, "NotFound")
        assert str(error) == 'configmaps "a" not found'

    with_server(scenario)


def test_lists_by_selector_and_by_page() -> None:
    async def scenario(api: Api) -> None:
        for name in "abcde":
            await api.create(CONFIGMAPS, configmap(name))
        found = await api.list(CONFIGMAPS, "default", labels="app in (b,d)")
        assert [c.metadata.name for c in found.items] == ["b", "d"]
        found = await api.list(CONFIGMAPS, fields="metadata.name=c")
        assert [c.metadata.name for c in found.items] == ["c"]
        names, token = [], ""
        while True:
            page = await api.list(CONFIGMAPS, "default", labels="app", limit=2, continue_=token)
            assert len(page.items) <= 2
            names += [c.metadata.name for c in page.items]
            token = page.continue_
            if not token:
                break
        assert names == list("abcde")

    with_server(scenario)


def test_a_watch_tells_what_happened_since() -> None:
    async def scenario(api: Api) -> None:
        since = (await api.list(CONFIGMAPS, "default")).resourceVersion
        made = await api.create(CONFIGMAPS, configmap("a"))
        await api.replace(CONFIGMAPS, replace(made, data={"colour": "blue"}))
        await api.delete(CONFIGMAPS, "a", "default")
        told = []
        async with aclosing(api.watch(CONFIGMAPS, "default", resource_version=since)) as events:
            async for event in events:
                told.append((event.type, event.object.data))
                if event.type == "DELETED":
                    break
        assert told == [("ADDED", {}), ("MODIFIED", {"colour": "blue"}), ("DELETED", {"colour": "blue"})]

    with_server(scenario)


def test_an_informer_lives_through_a_restart_of_the_server(tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            async with api_server(tmp_path) as config:
                api = await stack.enter_async_context(Api(config))
                informer = Informer(api, CONFIGMAPS, namespace="default", labels="app")
                words: list[str] = []
                informer.subscribe(lambda c: words.append(("-" if c.new is None else "+") + c.key[8:]))
                task = asyncio.create_task(informer.run())
                await api.create(CONFIGMAPS, configmap("a"))
                await until(lambda: words == ["+a"], "the informer follows")
            port = int(config.server.rpartition(":")[2])
            async with api_server(tmp_path, port):
                await api.create(CONFIGMAPS, configmap("b"))
                await api.delete(CONFIGMAPS, "a", "default")
                await until(lambda: len(words) == 3, "the informer has caught up")
                assert words == ["+a", "+b", "-a"]
                task.cancel()

    asyncio.run(run())


def test_events_of_one_kind_are_counted() -> None:
    async def scenario(api: Api) -> None:
        recorder = Recorder(api, "test", "here")
        about = await api.create(CONFIGMAPS, configmap("a"))
        for _ in range(3):
            recorder.event(about, "Warning", "Broken", "it does not work")
        recorder.event(about, "Normal", "Mended", "it works")
        await recorder.close()
        found = (await api.list(EVENTS, "default", fields="involvedObject.name=a")).items
        assert {(e.type, e.reason, e.message, e.count, e.source.component) for e in found} == {
            ("Warning", "Broken", "it does not work", 3, "test"),
            ("Normal", "Mended", "it works", 1, "test"),
        }
        assert {e.involvedObject.uid for e in found} == {about.metadata.uid}

    with_server(scenario)


def test_an_object_of_which_much_is_told_does_not_fill_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """25 at once, then one in five minutes, as upstream; other objects have their own."""
    now = [time.monotonic()]

    async def scenario(api: Api) -> None:
        recorder = Recorder(api, "test")
        about = await api.create(CONFIGMAPS, configmap("a"))
        other = await api.create(CONFIGMAPS, configmap("b"))
        clock = SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns)
        monkeypatch.setattr("fairlead.client.events.time", clock)
        for number in range(40):
            recorder.event(about, "Warning", "Broken", f"for the {number}th time")
        recorder.event(other, "Warning", "Broken", "it, too")
        now[0] += 301
        for _ in range(2):
            recorder.event(about, "Warning", "Broken", "later")
        await recorder.close()
        found = (await api.list(EVENTS, "default")).items
        told = Counter(e.involvedObject.name for e in found for _ in range(e.count or 1))
        assert told == {"a": 26, "b": 1}

    with_server(scenario)


def test_who_is_refused_and_who_is_not_reached(tmp_path: Path) -> None:
    async def run() -> None:
        async with api_server(tmp_path) as config:
            stranger = Config(config.server, config.authority, token="wrong")
            async with Api(stranger) as api:
                assert (await refusal(api.list(NAMESPACES))).code == 401
            async with Api(Config(config.server.replace("https", "http"), token="secret")) as api:
                with pytest.raises(Unreachable, match="if it speaks TLS, its address begins with https"):
                    await api.list(NAMESPACES)
            async with Api(Config(config.server, token="secret")) as api:
                with pytest.raises(
                    Unreachable, match="certificate is not one that the kubeconfig's authority"
                ):
                    await api.list(NAMESPACES)
        async with Api(config) as api:
            with pytest.raises(Unreachable) as caught:
                await api.list(NAMESPACES)
            assert f"the API server {config.server} is out of reach" in str(caught.value)
            assert "GET /api/v1/namespaces" in str(caught.value)

    asyncio.run(run())


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    async def run() -> None:
        async with api_server(tmp_path) as config:
            file = tmp_path / "token"
            file.write_text("wrong\n")
            async with Api(Config(config.server, config.authority, token_file=file)) as api:
                assert (await refusal(api.list(NAMESPACES))).code == 401
                file.write_text("secret\n")
                assert (await api.list(NAMESPACES)).items

    asyncio.run(run())


def test_raw_gives_status_and_body() -> None:
    async def scenario(api: Api) -> None:
        assert (await api.raw("GET", "/healthz")) == (200, b"ok")
        status, body = await api.raw("GET", "/api/v1/nothings")
        assert status == 404
        assert b"Status" in body or body

    with_server(scenario)


def test_the_end_of_an_outage_is_told_to_all_who_wait() -> None:
    async def run() -> None:
        with TemporaryDirectory(prefix="fairlead-test-") as directory:
            async with api_server(Path(directory)) as config:
                port = int(config.server.rpartition(":")[2])
            async with Api(config) as api:
                with pytest.raises(Unreachable):
                    await api.list(CONFIGMAPS)
                waiting = [asyncio.create_task(api.pause(3600)) for _ in range(3)]
                async with api_server(Path(directory), port):
                    assert not any(task.done() for task in waiting)
                    await api.list(CONFIGMAPS)
                    await asyncio.wait_for(asyncio.gather(*waiting), LIMIT)

    asyncio.run(run())


def busy(pods: Pods, code: int, after: str, times: int) -> list[web.Request]:
    """Lets the server refuse so many requests first; gives the list of those."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return web.json_response(
            {"kind": "Status", "status": "Failure", "code": code, "message": "busy"},
            status=code,
            headers={"Retry-After": after} if after else {},
        )

    pods.script += [answer] * times
    return asked


@pytest.mark.parametrize(
    ("code", "after", "times", "asked", "answered"),
    [
        (429, "0", 3, 3, True),
        (503, "0", 3, 3, True),
        (429, "", 1, 1, False),
        (503, "", 1, 1, False),
        (409, "0", 1, 1, False),
        (429, "Wed, 25 Nov 2026 13:00:00 GMT", 1, 1, False),
        (429, "0", 99, 11, False),
    ],
)
def test_a_busy_server_is_asked_again_when_it_says_so(
    code: int, after: str, times: int, asked: int, answered: bool
) -> None:
    """As client-go: only if it says when, and not for ever."""

    async def run() -> None:
        pods = Pods()
        refusals = busy(pods, code, after, times)
        async with serving(pods) as api:
            if answered:
                assert (await api.list(PODS)).items == ()
            else:
                assert (await refusal(api.list(PODS))).code == code
        assert len(refusals) == asked

    asyncio.run(run())


def test_a_busy_server_is_left_alone_for_as_long_as_it_says() -> None:
    async def run() -> None:
        pods = Pods()
        busy(pods, 429, "1", 1)
        async with serving(pods) as api:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await api.create(CONFIGMAPS, configmap("a"))
            assert loop.time() - began >= 1
            assert [r.method for r in pods.requests] == ["POST", "POST"]

    asyncio.run(run())
