"""How one run of a container ends: its preStop hook, its turn, the signal, the grace period, SIGKILL. Pure.

Upstream: killContainer in pkg/kubelet/kuberuntime/kuberuntime_container.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

MINIMUM_GRACE = 2.0
"""Seconds between the signal and SIGKILL whatever the hook, or the wait for the turn, has left of the grace period."""

AGAIN = 1.0
"""Seconds until SIGKILL is sent again to what is still there."""


class Act(Enum):
    """What is to be done for a run that ends."""

    WAIT = "wait"
    SIGNAL = "signal"
    KILL = "kill"


@dataclass(frozen=True)
class Stop:
    """The end of a run, under way. Times are in seconds, all on one clock."""

    name: str
    since: float
    grace: float
    hook: bool = False
    """Whether its preStop hook still runs."""
    signalled: float | None = None
    killed: float | None = None

    @property
    def limit(self) -> float:
        """When the grace period is over."""
        return self.since + self.grace

    def shortened(self, grace: float, now: float) -> Stop:
        """The stop after somebody asked for a shorter grace period, from now on. It never gets longer."""
        return replace(self, since=now, grace=grace) if now + grace < self.limit else self

    def next(self, *, turn: bool, now: float) -> tuple[Act, float | None]:
        """What to do now, and when to look again at the latest. `turn`: whether it waits for no other container."""
        if self.signalled is None:
            if (self.hook or not turn) and now < self.limit:
                return Act.WAIT, self.limit
            return Act.SIGNAL, now + self.rest(now)
        deadline = max(self.limit, self.signalled + MINIMUM_GRACE)
        if self.killed is not None:
            deadline = self.killed + AGAIN
        if now < deadline:
            return Act.WAIT, deadline
        return Act.KILL, now + AGAIN

    def rest(self, now: float) -> float:
        """Seconds that it has if the signal is sent now."""
        return max(self.limit - now, MINIMUM_GRACE)
