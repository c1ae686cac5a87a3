"""Several servers on one store: each learns of definitions from the store, and names are given once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from fairlead.apiserver import definitions as definitions_at_work
from fairlead.apiserver import deletion
from fairlead.apiserver.catalog import Catalog
from fairlead.apiserver.definitions import Definitions
from fairlead.apiserver.kinds import CUSTOMRESOURCEDEFINITIONS
from fairlead.apiserver.registry import Registry
from fairlead.objects import definitions
from fairlead.objects.apiextensions_v1 import CustomResourceDefinition
from fairlead.objects.meta_v1 import DeleteOptions
from fairlead.store import Change, Store, open_store
from fairlead.store.sqlite import SQLiteStore
from tests.apiserver.customs import definition
from tests.apiserver.serving import SECONDS

WIDGET = b'{"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"w%d","namespace":"default"}}'


class Server:
    """As much of a server as deals with definitions."""

    def __init__(self, store: Store) -> None:
        self.registry = Registry(store, {})
        self.catalog = Catalog()
        self.definitions = Definitions(self.registry, self.catalog)

    async def create(self, obj: dict[str, Any]) -> None:
        """As a client's POST."""
        typed = msgspec.convert(obj, CustomResourceDefinition)
        await self.registry.create(CUSTOMRESOURCEDEFINITIONS, "", typed)

    def serves(self, plural: str) -> bool:
        """Whether it would answer at the path of a kind."""
        return self.catalog.find("example.com", "v1", plural) is not None


def with_servers(directory: Path, count: int, test: Callable[[list[Server]], Awaitable[None]]) -> None:
    """Runs a test against servers that share a store."""

    async def main() -> None:
        async with await open_store(f"sqlite:{directory / 'store.db'}") as store:
            servers = [Server(store) for _ in range(count)]
            tasks = [asyncio.ensure_future(one.definitions.run()) for one in servers]
            try:
                await test(servers)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    uvloop.run(main())


async def stored(server: Server) -> list[CustomResourceDefinition]:
    """All definitions as they stand in the store."""
    page = await server.registry.store.range(CUSTOMRESOURCEDEFINITIONS.prefix)
    return [CUSTOMRESOURCEDEFINITIONS.model.decode(entry.value) for entry in page.entries]


async def decided(server: Server) -> list[CustomResourceDefinition]:
    """Waits until it is said of all definitions whether their names are accepted."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await stored(server)
            if all(definitions.condition(one, "NamesAccepted") for one in found):
                return found
            await asyncio.sleep(0.005)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(SECONDS):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


def test_all_servers_serve_what_one_was_given(tmp_path: Path) -> None:
    async def test(servers: list[Server]) -> None:
        await servers[0].create(definition())
        await until(lambda: all(one.serves("widgets") for one in servers))
        await decided(servers[0])
        late = Server(servers[0].registry.store)
        await late.definitions.load()
        assert late.serves("widgets")

    with_servers(tmp_path, 3, test)


def test_names_are_given_once_however_many_decide(tmp_path: Path) -> None:
    async def test(servers: list[Server]) -> None:
        plurals = [f"widgets{letter}" for letter in "abcdefgh"]
        for turn, plural in enumerate(plurals):
            await servers[turn % len(servers)].create(definition(plural, kind="Widget"))

        found = await decided(servers[0])
        established = [one for one in found if definitions.condition(one, "Established") == "True"]
        assert len(established) == 1
        [winner] = established

        def served(one: Server) -> list[str]:
            return [plural for plural in plurals if one.serves(plural)]

        # One that lost the race to establish another serves that until it hears so.
        await until(lambda: all(served(one) == [winner.spec.names.plural] for one in servers))

    with_servers(tmp_path, 3, test)


def test_a_definition_goes_with_more_objects_than_the_store_remembers_deletions(tmp_path: Path) -> None:
    async def main() -> None:
        async with await SQLiteStore.open(tmp_path / "store.db", events=5) as store:
            server = Server(store)
            running = asyncio.ensure_future(server.definitions.run())
            await server.create(definition())
            await until(lambda: server.serves("widgets"))
            await decided(server)
            made = [
                Change(f"/widgets.example.com/default/w{i}", WIDGET % i)
                for i in range(2 * definitions_at_work.AT_ONCE)
            ]
            await store.commit([], made)
            await deletion.delete(
                server.registry, CUSTOMRESOURCEDEFINITIONS, "", "widgets.example.com", DeleteOptions()
            )
            await until(lambda: not server.serves("widgets"))
            assert (await store.range("/widgets.example.com/")).entries == []
            running.cancel()

    uvloop.run(main())
