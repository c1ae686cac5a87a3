"""The shell around `judge`: IPAddressPools in; which pools there are, and their status and Events, out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.client.informer import Change, Informer
from fairlead.client.queue import WorkQueue
from fairlead.loadbalancer import metrics
from fairlead.loadbalancer.book import Book
from fairlead.loadbalancer.catalog import Catalog, Verdict, identity, judge
from fairlead.loadbalancer.config import LoadBalancerConfig
from fairlead.loadbalancer.ipaddresspools import GROUP, RESOURCES, IPAddressPool
from fairlead.loadbalancer.pools import Address
from fairlead.loadbalancer.reports import READY, counts, known, pool_condition, pool_event
from fairlead.objects.scalars import timestamp
from fairlead.objects.status import StatusError

COUNTING = 0.25
"""Seconds in which changes of a pool's counts are gathered into one write of its status."""


class PoolController:
    """The pools that there are now. A change of one costs a look at all pools, and at all Services."""

    def __init__(
        self,
        api: Api,
        config: LoadBalancerConfig,
        book: Book,
        recorder: Recorder,
        check: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        """`check` is asked before each write, see `controller.run`; `changed` is called when there are other pools."""
        self._api = api
        self._config = config
        self._book = book
        self._recorder = recorder
        self._check = check
        self._changed = changed
        self._judged = Catalog()
        """What there was at the last look."""
        self._stale = True
        """Whether objects have changed since."""
        self._places: dict[str, tuple[str, str] | None] = {}
        """The pools that can be used, with group and key of the object; None for those of the configuration."""
        self._complained: dict[str, str] = {}
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue("loadbalancer_pools")
        """Objects whose status has to be looked at: group and key."""
        self._informers: dict[str, Informer[Any]] = {}
        for group in config.pool_groups:
            informer = self._informers[group] = Informer(api, RESOURCES[group], optional=True)
            informer.subscribe(partial(self._on_pool, group))

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """One for each group that pools are of."""
        return tuple(self._informers.values())

    @property
    def catalog(self) -> Catalog:
        """What there is now; worked out anew after a change."""
        if self._stale:
            objects = {
                (group, key): obj
                for group, informer in self._informers.items()
                for key, obj in informer.items.items()
            }
            self._stale, self._judged = False, judge(self._config.pools, objects.values())
            metrics.gone(self._places.keys() - self._judged.pools.keys())
            self._places = dict.fromkeys(self._judged.pools)
            for place, obj in objects.items():
                if self._judged.verdicts[identity(obj)].pool is not None:
                    self._places[obj.metadata.name] = place
            self._count(self._judged.pools)
        return self._judged

    def moved(self, addresses: Iterable[Address]) -> None:
        """These were taken, or given back: their pools' counts are others now."""
        pools = self.catalog.pools
        names = {name for name, pool in pools.items() for address in addresses if address in pool}
        self._count(names)
        for name in names:
            if (place := self._places[name]) is not None:
                self.queue.add_after(place, COUNTING)

    def _count(self, names: Iterable[str]) -> None:
        for name in names:
            metrics.holds(name, counts(self.catalog.pools[name], self._book))

    def _on_pool(self, group: str, change: Change[IPAddressPool]) -> None:
        old, new = change.old, change.new
        self.queue.add((group, change.key))
        if (
            old is not None
            and new is not None
            and old.metadata.uid == new.metadata.uid
            and old.spec == new.spec
        ):
            return
        if old is not None and new is None:
            self._tell_removed(old)
        self._stale = True
        self._changed()
        # What becomes of one may decide whether others can be used.
        for each, informer in self._informers.items():
            for key in informer.items:
                self.queue.add((each, key))

    def _tell_removed(self, old: IPAddressPool) -> None:
        before = self._judged.verdicts.get(identity(old))
        if before is None or before.pool is None:
            return
        in_use = sum(self._book.count(piece) for piece in before.pool.ranges)
        if in_use:
            said = f"{in_use} of its addresses {'are' if in_use > 1 else 'is'} in use, until given up by the Services"
            self._recorder.event(old, "Warning", "PoolRemovedInUse", said)

    async def sync(self, key: tuple[str, str]) -> None:
        """Writes what one object's status should say, and tells what became of it."""
        group, name = key
        obj = self._informers[group].items.get(name)
        if obj is None:
            self._complained.pop("/".join(key), None)
            return
        verdict = self.catalog.verdicts[identity(obj)]
        status: dict[str, Any] = {
            field: count
            for field, count in counts(verdict.pool, self._book).items()
            if not isinstance(obj.status, dict) or obj.status.get(field) != count
        }
        before = known(obj.status, READY)
        now = pool_condition(verdict)
        if group == GROUP and now != before:
            status["conditions"] = [_written(obj, verdict)]
        told = pool_event(verdict, before)
        if group != GROUP and verdict.pool is not None:
            told = None  # an object that has no condition of ours would be told again at each start
        if told is not None and self._complained.get("/".join(key)) != told.message:
            self._complained["/".join(key)] = told.message
            self._recorder.event(obj, told.type, told.reason, told.message)
        if status:
            self._check()
            meta = obj.metadata
            try:
                await self._api.patch(
                    RESOURCES[group],
                    meta.name,
                    meta.namespace,
                    {"metadata": {"uid": meta.uid}, "status": status},
                    subresource="status",
                )
            except StatusError as error:
                if error.code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                    raise


def _written(obj: IPAddressPool, verdict: Verdict) -> dict[str, Any]:
    now, before = pool_condition(verdict), known(obj.status, READY)
    since = timestamp(time.time())
    if before is not None and before.status == now.status:
        since = next(c["lastTransitionTime"] for c in obj.status["conditions"] if c["type"] == READY)
    return {
        "type": now.type,
        "status": now.status,
        "reason": now.reason,
        "message": now.message,
        "lastTransitionTime": since,
        "observedGeneration": obj.metadata.generation or 0,
    }
