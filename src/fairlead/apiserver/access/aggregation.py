"""ClusterRoles whose rules are those of others, by labels. Upstream: pkg/controller/clusterroleaggregation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from msgspec.structs import replace

from fairlead.apiserver.following import Follower
from fairlead.apiserver.kinds import CLUSTERROLES
from fairlead.apiserver.registry import Registry
from fairlead.objects import labels
from fairlead.objects.codec import decoder
from fairlead.objects.rbac_v1 import ClusterRole, PolicyRule
from fairlead.objects.status import StatusError
from fairlead.store import Closed, Failed

log = logging.getLogger("fairlead.apiserver")

RETRY_SECONDS = 1.0


def aggregated(role: ClusterRole, roles: Iterable[ClusterRole]) -> tuple[PolicyRule, ...]:
    """The rules that a role with an aggregationRule is to have, given all roles: each rule once, by the role's name."""
    if role.aggregationRule is None:
        return role.rules
    rules: dict[PolicyRule, None] = {}
    others = sorted(roles, key=lambda other: other.metadata.name)
    for selector in role.aggregationRule.clusterRoleSelectors:
        wanted = labels.from_selector(selector)
        for other in others:
            if other.metadata.name != role.metadata.name and wanted.matches(other.metadata.labels):
                rules.update(dict.fromkeys(other.rules))
    return tuple(rules)


class Aggregation:
    """Keeps the rules of such roles, at the cost of a pass over the labels of all ClusterRoles a change of one.

    Several servers on one store may do the same work: writing rules that are there already changes nothing.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._roles: dict[str, ClusterRole] = {}
        self._aggregating: set[str] = set()
        self._changed = asyncio.Event()
        self._follower = Follower(registry.store, CLUSTERROLES.prefix, self._told)

    async def run(self) -> None:
        """Works until it is cancelled or the store is closed."""
        await self._follower.sync()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work())
            tasks.create_task(self._follower.run())

    def _told(self, key: str, value: bytes | None) -> None:
        name = CLUSTERROLES.place(key)[1]
        self._aggregating.discard(name)
        if value is None:
            self._roles.pop(name, None)
        else:
            role = self._roles[name] = decoder(ClusterRole).decode(value)
            if role.aggregationRule is not None:
                self._aggregating.add(name)
        self._changed.set()

    async def _work(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            for name in sorted(self._aggregating):
                role = self._roles.get(name)
                if role is None:  # it was deleted while another one was written
                    continue
                rules = aggregated(role, self._roles.values())
                if rules == role.rules:
                    continue
                try:
                    await self._write(name, rules)
                except Closed:
                    return
                except (StatusError, Failed) as error:
                    log.warning("cannot gather the rules of the ClusterRole %s yet: %s", name, error)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._changed.set)

    async def _write(self, name: str, rules: tuple[PolicyRule, ...]) -> None:
        async def modify(old: ClusterRole | None) -> ClusterRole:
            if old is None:
                raise AssertionError("an update without create")
            return replace(old, rules=rules) if old.aggregationRule is not None else old

        await self._registry.update(CLUSTERROLES, "", name, modify)
