"""What can be set of the controllers, named as the flags of kube-controller-manager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fairlead.client.choice import choose
from fairlead.workloads.nodelifecycle.zones import Rates

DEPLOYMENT = "deployment-controller"
REPLICASET = "replicaset-controller"
REPLICATION = "replicationcontroller-controller"
STATEFULSET = "statefulset-controller"
DAEMONSET = "daemonset-controller"
JOB = "job-controller"
CRONJOB = "cronjob-controller"
TTL_AFTER_FINISHED = "ttl-after-finished-controller"
DISRUPTION = "disruption-controller"
NODE_LIFECYCLE = "node-lifecycle-controller"
TAINT_EVICTION = "taint-eviction-controller"
POD_GC = "pod-garbage-collector-controller"
CONTROLLERS: tuple[str, ...] = (
    REPLICATION,
    DEPLOYMENT,
    REPLICASET,
    STATEFULSET,
    DAEMONSET,
    JOB,
    CRONJOB,
    TTL_AFTER_FINISHED,
    DISRUPTION,
    NODE_LIFECYCLE,
    TAINT_EVICTION,
    POD_GC,
)
"""All that there are, in the order in which they are started."""

_ALIASES = {
    "deployment": DEPLOYMENT,
    "replicaset": REPLICASET,
    "replicationcontroller": REPLICATION,
    "statefulset": STATEFULSET,
    "daemonset": DAEMONSET,
    "job": JOB,
    "cronjob": CRONJOB,
    "ttl-after-finished": TTL_AFTER_FINISHED,
    "disruption": DISRUPTION,
    "nodelifecycle": NODE_LIFECYCLE,
    "podgc": POD_GC,
}
"""The names before Kubernetes 1.28, which are still taken."""


@dataclass(frozen=True)
class WorkloadsConfig:
    """`concurrent_*` are objects worked on at a time. Raises ValueError with a sentence for what cannot be."""

    controllers: tuple[str, ...] = CONTROLLERS
    concurrent_statefulset_syncs: int = 5
    concurrent_daemonset_syncs: int = 2
    concurrent_job_syncs: int = 5
    concurrent_cron_job_syncs: int = 5
    concurrent_ttl_after_finished_syncs: int = 5
    concurrent_deployment_syncs: int = 5
    concurrent_replicaset_syncs: int = 5
    concurrent_rc_syncs: int = 5
    node_monitor_grace_period: float = 50.0
    """Seconds that a node may be silent before its Ready condition is Unknown; heartbeats come every 10 s."""
    node_startup_grace_period: float = 60.0
    """The same for a node that has never reported a status."""
    rates: Rates = field(default_factory=Rates)
    """How fast the pods of dead nodes are moved away."""
    terminated_pod_gc_threshold: int = 12500
    """So many ended pods stay; of more the oldest are deleted. 0 or less: all stay."""
    orphan_quarantine: float = 40.0
    """Seconds for which the pods of a node that is gone are left, in case it is made again (quarantineTime)."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name.startswith("concurrent_") and value < 1:
                raise ValueError(f"{name.replace('_', '-')} must be greater than 0, but got {value}")


def chosen(words: Sequence[str]) -> tuple[str, ...]:
    """The controllers that `--controllers` names (see `choose`). Raises ValueError."""
    return choose(words, CONTROLLERS, _ALIASES)
