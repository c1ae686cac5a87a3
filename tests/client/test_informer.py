from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiohttp import web

from fairlead.client import informer as informers
from fairlead.client.informer import Change, Informer, all_synced
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import PODS
from fairlead.process import Health
from tests.waiting import LIMIT

from .server import Pods, pod, refused, serving, until


class Seen:
    """What an informer told, as words: "+a" appeared, "a" changed, "-a" went."""

    def __init__(self, informer: Informer[Pod]) -> None:
        self.words: list[str] = []
        informer.subscribe(self.on)

    def on(self, change: Change[Pod]) -> None:
        sign = "+" if change.old is None else "-" if change.new is None else ""
        self.words.append(sign + change.key.removeprefix("default/"))


@asynccontextmanager
async def informing(pods: Pods) -> AsyncIterator[tuple[Informer[Pod], Seen]]:
    async with serving(pods) as api:
        informer = Informer(api, PODS)
        seen = Seen(informer)
        task = asyncio.create_task(informer.run())
        try:
            yield informer, seen
        finally:
            task.cancel()


def tells(
    scenario: Callable[[Pods, Informer[Pod], Seen], Awaitable[None]], *present: str, page: int = 10_000
) -> None:
    """Runs the scenario against a server that has pods of these names, with an informer that has synced."""

    async def run() -> None:
        pods = Pods()
        pods.page = page
        for name in present:
            pods.put(pod(name, app=name))
        async with informing(pods) as (informer, seen):
            await asyncio.wait_for(informer.synced(), LIMIT)
            await until(lambda: "watch" in pods.requests[-1].query, "the watch begins")
            await scenario(pods, informer, seen)

    asyncio.run(run())


def test_the_first_list_is_told_before_synced() -> None:
    async def scenario(_: Pods, informer: Informer[Pod], seen: Seen) -> None:
        assert seen.words == ["+a", "+b"]
        assert set(informer.items) == {"default/a", "default/b"}

    tells(scenario, "a", "b")


def test_pages_are_read_to_the_end() -> None:
    async def scenario(_: Pods, informer: Informer[Pod], seen: Seen) -> None:
        assert seen.words == ["+a", "+b", "+c", "+d", "+e"]

    tells(scenario, "a", "b", "c", "d", "e", page=2)


def streaming(scenario: Callable[[Pods, Informer[Pod], Seen], Awaitable[None]], *present: str) -> None:
    """The same as `tells` with a server whose watches can begin with all objects."""

    async def run() -> None:
        pods = Pods()
        pods.streams = True
        for name in present:
            pods.put(pod(name, app=name))
        async with informing(pods) as (informer, seen):
            await asyncio.wait_for(informer.synced(), LIMIT)
            await scenario(pods, informer, seen)

    asyncio.run(run())


def test_a_watch_that_begins_with_a_list_needs_no_list() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        assert seen.words == ["+a", "+b"]
        pods.put(pod("c"))
        await until(lambda: seen.words == ["+a", "+b", "+c"], "the same watch goes on")
        (request,) = pods.requests
        assert request.query["resourceVersionMatch"] == "NotOlderThan"
        await cut(pods)
        pods.put(pod("d"))
        await until(lambda: seen.words[-1] == "+d", "the next one resumes")
        assert "sendInitialEvents" not in pods.requests[-1].query

    streaming(scenario, "a", "b")


def test_after_an_expiry_a_watch_begins_with_a_list_again_and_differences_are_told() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        async def gone(request: web.Request) -> web.StreamResponse:
            pods.put(pod("a", app="changed"))
            pods.delete("b")
            pods.compact()
            return await pods.watch(request)

        pods.script.append(gone)
        await cut(pods)
        await until(lambda: seen.words[2:] == ["a", "-b"], "the differences are told")

    streaming(scenario, "a", "b")


def test_a_stream_that_breaks_before_its_list_has_ended_begins_again() -> None:
    async def run() -> None:
        pods = Pods()
        pods.streams = True
        for name in "abc":
            pods.put(pod(name))
        told: list[str] = []

        async def half(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(pods.history[0][1])
            await until(lambda: told == ["+a"], "the first of them is told")
            pods.delete("a")
            assert request.transport
            request.transport.close()
            return response

        pods.script.append(half)
        async with informing(pods) as (informer, seen):
            told = seen.words
            await asyncio.wait_for(informer.synced(), LIMIT)
            assert sorted(seen.words) == ["+a", "+b", "+c", "-a"]
            assert set(informer.items) == {"default/b", "default/c"}

    asyncio.run(run())


def test_a_server_that_never_ends_its_list_is_asked_for_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that passes over what it does not know."""
    monkeypatch.setattr(informers, "SILENCE", 0.05)

    async def run() -> None:
        pods = Pods()
        pods.streams = True
        pods.put(pod("a"))

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(pods.history[0][1])
            await asyncio.sleep(3600)
            return response

        pods.script.append(endless)
        async with informing(pods) as (informer, seen):
            await asyncio.wait_for(informer.synced(), LIMIT)
            assert seen.words == ["+a"]
            pods.put(pod("b"))
            await until(lambda: seen.words == ["+a", "+b"], "the watch goes on")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (401, "it does not know us: the kubeconfig's credentials are not, or no longer, valid"),
        (403, "give this user the right to list and watch pods"),
        (404, "this server has no pods"),
    ],
)
def test_a_refusal_is_told_once_and_says_what_to_do(
    code: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        pods = Pods()
        pods.script += [partial(refused, code)] * 4
        async with informing(pods) as (informer, _):
            await asyncio.wait_for(informer.synced(), LIMIT)

    asyncio.run(run())
    warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert said in warnings[0]


def test_changes_come_in_order() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        pods.put(pod("b"))
        pods.put(pod("a", app="other"))
        pods.delete("b")
        await until(lambda: len(seen.words) == 4, "four changes are told")
        assert seen.words == ["+a", "+b", "a", "-b"]
        assert informer.items["default/a"].metadata.labels == {"app": "other"}

    tells(scenario, "a")


def test_a_new_subscriber_hears_of_what_is_there() -> None:
    async def scenario(_: Pods, informer: Informer[Pod], seen: Seen) -> None:
        assert Seen(informer).words == ["+a", "+b"]

    tells(scenario, "a", "b")


def test_a_handler_that_raises_is_passed_over() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        def broken(change: Change[Pod]) -> None:
            raise RuntimeError(change.key)

        informer.subscribe(broken)
        late = Seen(informer)
        pods.put(pod("b"))
        await until(lambda: late.words == ["+a", "+b"], "the next handler hears of it")

    tells(scenario, "a")


def test_a_compacted_version_leads_to_a_list_and_only_the_differences_are_told() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        # cut the stream, so that the next watch starts from a version that is gone
        async def gone(request: web.Request) -> web.StreamResponse:
            pods.put(pod("a", app="changed"))
            pods.delete("b")
            pods.put(pod("d"))
            pods.compact()
            return await pods.watch(request)

        pods.script.append(gone)
        await cut(pods)
        await until(lambda: "default/d" in informer.items, "the list is read")
        assert sorted(seen.words[3:]) == ["+d", "-b", "a"]
        pods.put(pod("e"))
        await until(lambda: seen.words[-1] == "+e", "the watch goes on")

    tells(scenario, "a", "b", "c")


def test_a_connection_that_breaks_in_the_middle_of_an_event_loses_and_doubles_nothing() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        async def half(request: web.Request) -> web.StreamResponse:
            pods.put(pod("b"))
            pods.put(pod("c"))
            response = web.StreamResponse()
            await response.prepare(request)
            lines = [
                line for version, line in pods.history if version > int(request.query["resourceVersion"])
            ]
            await response.write(lines[0] + lines[1][:40])
            assert request.transport
            request.transport.close()
            return response

        pods.script.append(half)
        await cut(pods)
        await until(lambda: "default/c" in informer.items, "the rest arrives")
        assert seen.words == ["+a", "+b", "+c"]

    tells(scenario, "a")


def test_a_server_that_is_back_and_has_no_news_is_noticed() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        async def broken(request: web.Request) -> web.StreamResponse:
            assert request.transport
            request.transport.close()
            return web.Response()

        returns: list[bool] = []
        informer.on_return(lambda: returns.append(informer.is_away))
        pods.script += [broken] * 2
        await cut(pods)
        await until(lambda: returns == [False], "the return is told")
        assert seen.words == ["+a"]

    tells(scenario, "a")


def test_an_event_in_many_pieces_is_one_change() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        async def pieces(request: web.Request) -> web.StreamResponse:
            pods.put(pod("b", note="x" * 1000))
            response = web.StreamResponse()
            await response.prepare(request)
            line = pods.history[-1][1]
            for start in range(0, len(line), 100):
                await response.write(line[start : start + 100])
                await asyncio.sleep(0)
            return response

        pods.script.append(pieces)
        await cut(pods)
        await until(lambda: seen.words == ["+a", "+b"], "the change is told")

    tells(scenario, "a")


@pytest.mark.parametrize("code", [401, 429, 500, 503, 504])
def test_a_server_that_refuses_for_a_while_is_asked_again(code: int) -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        pods.script += [partial(refused, code)] * 3
        await cut(pods)
        pods.put(pod("b"))
        await until(lambda: seen.words == ["+a", "+b"], "the change is told")

    tells(scenario, "a")


def test_a_list_that_expires_between_its_pages_starts_again() -> None:
    async def run() -> None:
        pods = Pods()
        pods.page = 2
        for name in "abcde":
            pods.put(pod(name))
        pods.script += [pods_answer(pods), partial(refused, 410)]
        async with informing(pods) as (informer, seen):
            await asyncio.wait_for(informer.synced(), LIMIT)
            assert seen.words == ["+a", "+b", "+c", "+d", "+e"]

    asyncio.run(run())


def test_a_bookmark_moves_the_version_and_is_no_change() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        pods.version = 500
        pods.tell("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "500"}})
        pods.put(pod("b"))
        await until(lambda: seen.words == ["+a", "+b"], "the change is told")
        await cut(pods)
        await until(
            lambda: pods.requests[-1].query.get("resourceVersion") == "501", "the watch goes on from 501"
        )

    tells(scenario, "a")


def test_an_answer_that_is_no_json_is_survived() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        async def garbage(request: web.Request) -> web.StreamResponse:
            return web.Response(text="<html>not an API</html>\n")

        pods.script += [garbage, garbage]
        await cut(pods)
        pods.put(pod("b"))
        await until(lambda: seen.words == ["+a", "+b"], "the change is told")

    tells(scenario, "a")


def test_explicit_nulls_are_absent_values() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        pods.put(pod("b") | {"spec": {"containers": None, "nodeSelector": None}})
        await until(lambda: seen.words == ["+a", "+b"], "the change is told")
        assert informer.items["default/b"].spec.containers == ()

    tells(scenario, "a")


def test_an_index_follows_the_changes() -> None:
    async def scenario(pods: Pods, informer: Informer[Pod], seen: Seen) -> None:
        informer.index("app", lambda p: [p.metadata.labels.get("app", "")])

        def named(app: str) -> list[str]:
            return [p.metadata.name for p in informer.by_index("app", app)]

        assert (named("a"), named("b"), named("none")) == (["a"], ["b"], [])
        pods.put(pod("a", app="b"))
        pods.put(pod("c", app="b"))
        pods.delete("b")
        await until(lambda: seen.words[-1] == "-b", "the changes are told")
        assert (named("a"), sorted(named("b"))) == ([], ["a", "c"])
        assert all(p.metadata.resourceVersion > "101" for p in informer.by_index("app", "b"))

    tells(scenario, "a", "b")


def test_a_resource_that_the_server_may_lack_is_empty_until_it_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "fairlead.client")

    class Lacking(Pods):
        lacks = True

        async def answer(self, request: web.Request) -> web.StreamResponse:
            return await refused(404, request) if self.lacks else await super().answer(request)

    async def run() -> None:
        pods = Lacking()
        pods.put(pod("a"))
        async with serving(pods) as api:
            informer, health = Informer(api, PODS, optional=True), Health()
            seen = Seen(informer)
            async with all_synced([informer], health, "test"):
                assert seen.words == []
                pods.lacks = False
                await until(lambda: seen.words == ["+a"], "it is there")
                assert [r.levelname for r in caplog.records if "does not know them" in r.message] == ["INFO"]
                pods.lacks = True
                await cut(pods)
                await until(lambda: seen.words == ["+a", "-a"], "it is gone")

    asyncio.run(run())


def test_a_block_begins_when_all_have_synced_and_ends_all() -> None:
    async def run() -> None:
        pods, health = Pods(), Health()
        pods.put(pod("a"))
        held = asyncio.Event()

        async def late(request: web.Request) -> web.StreamResponse:
            await held.wait()
            return await pods_answer(pods)(request)

        pods.script = [pods_answer(pods), late]
        async with serving(pods) as api:
            both = [Informer(api, PODS), Informer(api, PODS, namespace="other")]
            begun = asyncio.Event()

            async def block() -> None:
                async with all_synced(both, health, "test") as group:
                    assert all(informer.items for informer in both)
                    group.create_task(asyncio.Event().wait())
                    begun.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(block())
            await until(lambda: not pods.script, "both have asked")
            assert not begun.is_set()
            assert health.report(readiness=True) == (False, "test/pods: not synced yet\n")
            held.set()
            await asyncio.wait_for(begun.wait(), LIMIT)
            assert health.report(readiness=True) == (True, "ok")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            running = [t.get_coro().__qualname__ for t in asyncio.all_tasks()]  # type: ignore[union-attr]
            assert "Informer.run" not in running

    asyncio.run(run())


def pods_answer(pods: Pods) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    return pods.answer


async def cut(pods: Pods) -> None:
    """Closes the connection of the watch that is open."""
    transport = pods.requests[-1].transport
    assert transport is not None
    transport.close()
