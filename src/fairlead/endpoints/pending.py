"""What changed of each Service since it was last planned: some pods, or anything."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fairlead.client.queue import WorkQueue
from fairlead.endpoints.cluster import Cluster, concerned_by_service

AGAIN = 1.0
"""Seconds between two repairs of what others did to a Service's objects. Upstream waits so long before each."""


class Pending:
    """The keys of Services in a work queue, each with the names of the pods that changed.

    A change of a pod waits for `period` seconds, so that more of them are done in one go.
    """

    def __init__(self, queue: WorkQueue[str], period: float) -> None:
        self._queue = queue
        self._period = period
        self._pods: dict[str, set[str] | None] = {}
        self._repaired: dict[str, float] = {}

    def follow(self, cluster: Cluster, *, nodes: bool = True) -> None:
        """Queues the Services whose endpoints a change of a Service, a pod or, if asked, a node may change."""
        cluster.services.subscribe(lambda change: self._anything(concerned_by_service(change)))
        cluster.on_pods(self._changed)
        if nodes:
            cluster.nodes.subscribe(lambda change: self._changed(cluster.concerned_by_node(change)))

    def anything(self, key: str) -> None:
        """All of the Service has to be looked at, now."""
        self._pods[key] = None
        self._queue.add(key)

    def disturbed(self, key: str) -> None:
        """Somebody else changed what we wrote for the Service: at once, but not again and again at once."""
        self._pods[key] = None
        now = time.monotonic()
        wait = self._repaired.get(key, 0.0) + AGAIN - now
        if wait > 0:
            self._queue.add_after(key, wait)
        else:
            self._repaired[key] = now
            self._queue.add(key)

    @contextmanager
    def taken(self, key: str) -> Iterator[frozenset[str] | None]:
        """The names of the pods that changed since the last time; None for anything. If it fails, that is next."""
        names = self._pods.pop(key, set())
        try:
            yield None if names is None else frozenset(names)
        except BaseException:
            self._pods[key] = None
            raise

    def forget(self, key: str) -> None:
        """The Service is gone."""
        self._pods.pop(key, None)
        self._repaired.pop(key, None)

    def _anything(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.anything(key)

    def _changed(self, changes: Iterable[tuple[str, str]]) -> None:
        for key, pod in changes:
            names = self._pods.setdefault(key, set())
            if names is not None:
                names.add(pod)
            if self._period:
                self._queue.add_after(key, self._period)
            else:
                self._queue.add(key)
