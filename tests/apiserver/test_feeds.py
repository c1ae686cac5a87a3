"""Feeds: every watcher gets what happens to its selection, once and in order, and nobody else's events cost it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.apiserver import feeds as feeds_module
from fairlead.apiserver.feeds import Audience, Feeds, Watcher, change_of
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import PODS
from fairlead.apiserver.negotiation import Form
from fairlead.apiserver.selection import Selection, selection
from fairlead.store import Change, Event
from fairlead.store.sqlite import SQLiteStore

PLAIN = Form()
NAMESPACES = ("one", "two")
NAMES = ("a", "b", "c")
NODES = ("", "n1", "n2")


def frame(_: Kind, event: Event, change: str, __: Form) -> bytes:
    return f"{change} {event.key} {event.revision}\n".encode()


def pod(namespace: str, name: str, node: str, label: str) -> bytes:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": label}}
    return json.dumps(
        {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"nodeName": node}}
    ).encode()


class Client:
    """A watcher that notes what it is sent."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.blocked = False
        self.cut = False
        self.watcher = Watcher(self._write, lambda: self.blocked, self._cut)

    def _write(self, data: bytes) -> None:
        self.got += data.decode().splitlines()

    def _cut(self) -> None:
        self.cut = True


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if there():
                return
            await asyncio.sleep(0)


def missed(events: list[Event], audience: Audience) -> Iterator[str]:
    prefix = PODS.list_prefix(audience.namespace)
    for event in events:
        if event.key.startswith(prefix) and (change := change_of(event, audience.wanted, {})):
            yield frame(PODS, event, change, PLAIN).decode().strip()


def audience(namespace: str, labels: str, fields: str) -> Audience:
    return Audience(namespace, selection(PODS, labels, fields), PLAIN)


AUDIENCES = [
    audience(namespace, labels, fields)
    for namespace in ("", "one")
    for labels in ("", "app=x", "app!=x")
    for fields in (
        "",
        "metadata.name=a",
        "metadata.name!=a",
        "spec.nodeName=n1",
        "spec.nodeName=n2,metadata.name=b",
        "spec.nodeName=",
        "spec.nodeName!=n1",
        "metadata.namespace=two",
        "status.phase=,spec.nodeName=n2",
    )
]

WRITES = st.tuples(
    st.just("write"),
    st.sampled_from(NAMESPACES),
    st.sampled_from(NAMES),
    st.sampled_from(NODES),
    st.sampled_from("xy"),
)
DELETIONS = st.tuples(st.just("delete"), st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
JOINS = st.tuples(st.just("join"), st.integers(0, len(AUDIENCES) - 1), st.integers(0, 30))
LEAVES = st.tuples(st.just("leave"), st.integers(0, 30))
PAUSES = st.tuples(st.just("pause"))
STEPS = st.lists(st.one_of(WRITES, WRITES, DELETIONS, JOINS, JOINS, LEAVES, PAUSES), max_size=40)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(STEPS)
def test_a_watcher_gets_what_a_walk_through_the_history_finds(steps: list[Any]) -> None:
    """Whenever it joins, from whatever revision, and whoever else watches."""

    async def main(directory: str) -> None:
        store = await SQLiteStore.open(Path(directory) / "store.db")
        feeds = Feeds(store, frame, lambda *_: None)
        clients: list[tuple[Client, Audience, int]] = []
        left: dict[int, list[str]] = {}
        writes: list[asyncio.Future[int]] = []
        async with store:
            for step in steps:
                match step:
                    case ("write", namespace, name, node, label):
                        value = pod(namespace, name, node, label)
                        change = Change(PODS.key(namespace, name), value)
                        writes.append(asyncio.ensure_future(store.commit([], [change])))
                    case ("delete", namespace, name):
                        change = Change(PODS.key(namespace, name), None)
                        writes.append(asyncio.ensure_future(store.commit([], [change])))
                    case ("join", which, back):
                        client, revision = Client(), max(store.revision - back, 0)
                        feed = feeds.at(PODS, revision)
                        seen = feed.join(client.watcher, AUDIENCES[which], revision)
                        client.got += missed(seen, AUDIENCES[which])
                        client.watcher.release()
                        clients.append((client, AUDIENCES[which], revision))
                    case ("leave", which) if which < len(clients) and which not in left:
                        client, wanted, _ = clients[which]
                        for feed in (*feeds._feeds.values(), *feeds._others):
                            feeds.leave(feed, client.watcher, wanted)
                        left[which] = list(client.got)
                    case ("pause",):
                        await asyncio.gather(*writes)
            await asyncio.gather(*writes)
            await until(
                lambda: all(f.revision == store.revision for f in (*feeds._feeds.values(), *feeds._others))
            )
            history = store._cache.history.after(0, PODS.prefix)
            for i, (client, wanted, revision) in enumerate(clients):
                expected = list(missed([e for e in history if e.revision > revision], wanted))
                if i in left:
                    assert client.got == left[i] == expected[: len(left[i])]
                else:
                    assert client.got == expected
            feeds.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(directory))


def test_of_a_thousand_kubelets_an_event_meets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Selection] = []

    def counted(event: Event, wanted: Selection, seen: Any) -> str:
        asked.append(wanted)
        return change_of(event, wanted, seen)

    monkeypatch.setattr(feeds_module, "change_of", counted)

    async def main() -> None:
        async with await SQLiteStore.open(tmp_path / "store.db") as store:
            feeds = Feeds(store, frame, lambda *_: None)
            kubelets = [Client() for _ in range(1000)]
            for i, kubelet in enumerate(kubelets):
                feeds.at(PODS, 0).join(kubelet.watcher, audience("", "", f"spec.nodeName=n{i}"), 0)
                kubelet.watcher.release()
            await store.commit([], [Change(PODS.key("one", "a"), pod("one", "a", "n7", "x"))])
            await store.commit([], [Change(PODS.key("one", "a"), pod("one", "a", "n8", "x"))])
            await until(lambda: feeds.at(PODS, 2).revision == 2)
            assert kubelets[7].got == ["ADDED /pods/one/a 1", "DELETED /pods/one/a 2"]
            assert kubelets[8].got == ["ADDED /pods/one/a 2"]
            assert [kubelet.got for kubelet in kubelets].count([]) == 998
            assert len(asked) == 3
            feeds.close()

    asyncio.run(main())


def test_what_waits_for_a_slow_watcher_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "WAITING_CHUNKS", 3)

    async def main() -> None:
        client = Client()
        client.watcher.send(b"held\n")
        assert client.got == []
        client.watcher.release()
        client.blocked = True
        for word in (b"a\n", b"b\n", b"c\n"):
            client.watcher.send(word)
        assert (client.got, client.cut) == (["held"], False)
        client.blocked = False
        client.watcher.drain()
        assert client.got == ["held", "a", "b", "c"]
        client.blocked = True
        for _ in range(4):
            client.watcher.send(b"d\n")
        assert client.cut
        assert client.watcher.done.done()

    asyncio.run(main())


def test_the_past_that_a_feed_keeps_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "WINDOW_EVENTS", 5)

    async def main() -> None:
        async with await SQLiteStore.open(tmp_path / "store.db") as store:
            feeds = Feeds(store, frame, lambda *_: None)
            first = feeds.at(PODS, 0)
            for i in range(20):
                await store.commit([], [Change(PODS.key("one", f"p{i}"), pod("one", f"p{i}", "", "x"))])
            await until(lambda: first.revision == 20)
            assert first.oldest == 15
            assert feeds.at(PODS, 15) is first
            # From further back the store is asked once, for all who come after.
            second = feeds.at(PODS, 3)
            assert second is not first
            assert feeds.at(PODS, 17) is second
            feeds.close()

    asyncio.run(main())
