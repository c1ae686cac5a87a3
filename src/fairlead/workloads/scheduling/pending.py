"""The pods that have no node yet: which one is next, and which wait for what.

Upstream: backend/queue (PriorityQueue: activeQ, backoffQ, unschedulablePods).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fairlead.workloads.scheduling.profile import Profile

FIRST_DELAY, LONGEST_DELAY = 1.0, 10.0
"""Seconds after the first vain try, and at most: podInitialBackoffSeconds, podMaxBackoffSeconds."""

LONGEST_WAIT = 300.0
"""Seconds after which a pod is tried again though nothing seems to have changed: podMaxInUnschedulablePodsDuration."""


@dataclass(slots=True)
class Entry:
    """A pod that waits. `rules` refused it at its last try; `token` says which entry of the heaps is its own."""

    profile: Profile
    since: float
    attempts: int = 0
    tried: float = 0.0
    rules: frozenset[str] = frozenset()
    token: int = 0
    parked: bool = False

    @property
    def delay(self) -> float:
        """Seconds that have to pass between the last try and the next."""
        return min(FIRST_DELAY * 2.0 ** min(self.attempts - 1, 16), LONGEST_DELAY) if self.attempts else 0.0


class Pending:
    """The queue. Times are seconds of one clock, given with each call.

    The pod with the highest priority is next, and of equals the one that came first. A pod that fits nowhere is parked
    until a change may help it, and waits longer after each vain try, unless there is nothing else to do: that back-off
    keeps hopeless pods from holding up others. After a failure (`fail`) the back-off is always waited for.
    Cost: the logarithm of the pods; of a change, the pods that were refused by a rule which it concerns.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._active: list[tuple[int, float, int, str]] = []
        self._backoff: list[tuple[float, int, str]] = []
        self._failed: list[tuple[float, int, str]] = []
        self._parked: dict[str, dict[str, None]] = {}
        self._tokens = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, pod: Profile, now: float) -> None:
        """The pod is new, or asks for something else: it is tried as soon as its turn comes."""
        entry = self._entries.get(pod.key)
        if entry is None or entry.profile.pod.metadata.uid != pod.pod.metadata.uid:
            self.remove(pod.key)
            entry = self._entries[pod.key] = Entry(pod, now)
        self._unpark(entry)
        entry.profile = pod
        self._activate(entry)

    def remove(self, key: str) -> None:
        """The pod waits no longer."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._unpark(entry)

    def pop(self, now: float) -> Entry | None:
        """The pod to be tried now, which stays known; `park`, `fail` or `remove` has to follow."""
        while self._failed and self._failed[0][0] <= now:
            entry = self._own(*heapq.heappop(self._failed)[1:])
            if entry is not None:
                self._activate(entry)
        while self._backoff and self._backoff[0][0] <= now:
            entry = self._own(*heapq.heappop(self._backoff)[1:])
            if entry is not None:
                self._activate(entry)
        while self._active:
            entry = self._own(*heapq.heappop(self._active)[2:])
            if entry is not None:
                return self._taken(entry)
        while self._backoff:  # KEP-5142: nothing else to do
            entry = self._own(*heapq.heappop(self._backoff)[1:])
            if entry is not None:
                return self._taken(entry)
        return None

    def park(self, key: str, rules: frozenset[str], now: float) -> None:
        """The pod fits nowhere, because of these rules."""
        entry = self._entries.get(key)
        if entry is None or entry.token:
            return  # gone, or changed since
        entry.attempts += 1
        entry.tried, entry.rules, entry.parked = now, rules, True
        for rule in rules or ("",):
            self._parked.setdefault(rule, {})[key] = None

    def fail(self, key: str, now: float) -> None:
        """The try came to nothing for a reason that is not the pod's; it is tried again after its back-off."""
        entry = self._entries.get(key)
        if entry is None or entry.token:
            return
        entry.attempts += 1
        entry.tried = now
        heapq.heappush(self._failed, (now + entry.delay, self._marked(entry), key))

    def fail_parked(self, key: str, now: float) -> None:
        """What was found out about a parked pod could not be written: it is tried again after its back-off."""
        entry = self._entries.get(key)
        if entry is not None and entry.parked:
            self._unpark(entry)
            heapq.heappush(self._failed, (now + entry.delay, self._marked(entry), key))

    def wake(self, helps: Callable[[Entry], bool], rules: Iterable[str] = ()) -> None:
        """Has the parked pods tried again of which `helps` is true; with `rules`, only such as one of them refused."""
        of = tuple(rules) or tuple(self._parked)
        keys = {key: None for rule in of for key in self._parked.get(rule, ())}
        for key in keys:
            entry = self._entries[key]
            if helps(entry):
                self._unpark(entry)
                heapq.heappush(self._backoff, (entry.tried + entry.delay, self._marked(entry), key))

    def wake_old(self, now: float) -> None:
        """Has pods tried again that have been parked for long."""
        self.wake(lambda entry: entry.tried + LONGEST_WAIT <= now)

    def due(self) -> float | None:
        """When the next failed pod is to be tried again; None if there is none."""
        return self._failed[0][0] if self._failed else None

    def counts(self, now: float) -> dict[str, int]:
        """How many pods are active, back off, or are parked (unschedulable). Cost: all that the heaps hold."""
        parked = sum(entry.parked for entry in self._entries.values())
        waits = (*self._backoff, *self._failed)
        backoff = sum(at > now and self._own(token, key) is not None for at, token, key in waits)
        active = sum(entry.token != 0 for entry in self._entries.values()) - backoff
        return {"active": active, "backoff": backoff, "unschedulable": parked}

    def _taken(self, entry: Entry) -> Entry:
        entry.token = 0
        return entry

    def _activate(self, entry: Entry) -> None:
        place = (-entry.profile.priority, entry.since, self._marked(entry), entry.profile.key)
        heapq.heappush(self._active, place)

    def _marked(self, entry: Entry) -> int:
        """A new token, which makes older entries of the heaps void."""
        self._tokens += 1
        entry.token = self._tokens
        return self._tokens

    def _own(self, token: int, key: str) -> Entry | None:
        entry = self._entries.get(key)
        return entry if entry is not None and entry.token == token else None

    def _unpark(self, entry: Entry) -> None:
        if not entry.parked:
            return
        entry.parked = False
        for rule in entry.rules or ("",):
            held = self._parked[rule]
            del held[entry.profile.key]
            if not held:
                del self._parked[rule]
