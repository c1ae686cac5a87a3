"""ClusterRoles that gather the rules of others, while those come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from fairlead.apiserver.access.aggregation import Aggregation
from fairlead.apiserver.kinds import CLUSTERROLES
from fairlead.apiserver.registry import Registry
from fairlead.objects.codec import decoder
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.rbac_v1 import AggregationRule, ClusterRole, PolicyRule
from fairlead.store import Change, open_store
from tests.apiserver.access.policies import rule
from tests.waiting import LIMIT

PART = {"part": "yes"}
RULE = rule("get", "configmaps")


def part(name: str) -> ClusterRole:
    """One whose rule is gathered."""
    return ClusterRole(metadata=ObjectMeta(name=name, labels=PART), rules=(RULE,))


def gathering(name: str) -> ClusterRole:
    """One that has no rules yet."""
    selector = LabelSelector(matchLabels=PART)
    return ClusterRole(
        metadata=ObjectMeta(name=name), aggregationRule=AggregationRule(clusterRoleSelectors=(selector,))
    )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            if holds():
                return
            await asyncio.sleep(0.001)


def test_a_role_that_is_deleted_while_another_is_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with await open_store(f"sqlite:{tmp_path / 'store.db'}") as store:
            registry = Registry(store, {})
            for role in (part("a"), gathering("first"), gathering("second")):
                await registry.create(CLUSTERROLES, "", role)
            aggregation = Aggregation(registry)
            write = aggregation._write

            async def slowly(name: str, rules: tuple[PolicyRule, ...]) -> None:
                if name == "first":
                    await store.commit([], [Change(CLUSTERROLES.key("", "second"), None)])
                    await until(lambda: "second" not in aggregation._roles)
                await write(name, rules)

            monkeypatch.setattr(aggregation, "_write", slowly)
            running = asyncio.ensure_future(aggregation.run())

            async def has_gathered(name: str) -> None:
                async with asyncio.timeout(LIMIT):
                    while not running.done():
                        entry = await store.get(CLUSTERROLES.key("", name))
                        assert entry is not None
                        if decoder(ClusterRole).decode(entry.value).rules == (RULE,):
                            return
                        await asyncio.sleep(0.001)
                running.result()

            await has_gathered("first")
            await registry.create(CLUSTERROLES, "", gathering("third"))
            await has_gathered("third")
            running.cancel()

    uvloop.run(main())
