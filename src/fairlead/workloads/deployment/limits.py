"""How many pods more, and how many fewer, than wanted a Deployment may have while it replaces them.

Upstream: ResolveFenceposts, MaxSurge and MaxUnavailable in pkg/controller/deployment/util.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.objects.apps_v1 import Deployment, RollingUpdateDeployment
from fairlead.objects.scalars import IntOrString

FOREVER = 2**31 - 1
"""As a deadline or a limit of revisions: none."""


@dataclass(frozen=True)
class Limits:
    """Numbers of pods. Outside of rolling updates nothing comes on top, and nothing may lack."""

    wanted: int
    surge: int = 0
    unavailable: int = 0

    @property
    def most(self) -> int:
        """Pods that there may be at a time."""
        return self.wanted + self.surge

    @property
    def fewest_available(self) -> int:
        """Pods that have to be available at any time."""
        return self.wanted - self.unavailable


def is_rolling(deployment: Deployment) -> bool:
    """Whether old pods make room for new ones little by little."""
    return deployment.spec.strategy.type == "RollingUpdate"


def limits(deployment: Deployment) -> Limits:
    """The limits; percentages are rounded up for the surge and down for what may lack. Not both are 0."""
    wanted = 1 if deployment.spec.replicas is None else deployment.spec.replicas
    if not is_rolling(deployment):
        return Limits(wanted)
    rolling = deployment.spec.strategy.rollingUpdate or RollingUpdateDeployment()
    surge = _share(rolling.maxSurge, wanted, up=True)
    unavailable = _share(rolling.maxUnavailable, wanted, up=False)
    if surge == unavailable == 0:
        unavailable = 1
    return Limits(wanted, surge, min(unavailable, wanted))


def deadline(deployment: Deployment) -> int | None:
    """Seconds without progress after which an update has failed; None if it never has."""
    seconds = deployment.spec.progressDeadlineSeconds
    return None if seconds == FOREVER else seconds


def kept_revisions(deployment: Deployment) -> int | None:
    """Old ReplicaSets that stay for a rollback; None if all do."""
    number = deployment.spec.revisionHistoryLimit
    return None if number == FOREVER else number


def _share(value: IntOrString | None, of: int, *, up: bool) -> int:
    """A number of pods, or a percentage of them."""
    if not isinstance(value, str):
        return value or 0
    share = int(value.removesuffix("%")) * of
    return -(-share // 100) if up else share // 100
