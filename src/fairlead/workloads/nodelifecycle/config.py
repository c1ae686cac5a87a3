"""The settings of the node lifecycle controllers, named as kube-controller-manager's options."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.workloads.nodelifecycle.zones import Rates


@dataclass(frozen=True)
class NodeLifecycleConfig:
    """Times in seconds."""

    node_monitor_grace_period: float = 50.0
    """How long a node may be silent before its Ready condition is Unknown; several times the 10 s of a heartbeat."""
    node_startup_grace_period: float = 60.0
    """The same for a node that has never reported a status."""
    rates: Rates = field(default_factory=Rates)
    terminated_pod_gc_threshold: int = 12500
    """So many ended pods stay; of more the oldest are deleted. 0 or less: all stay."""
    orphan_quarantine: float = 40.0
    """How long the pods of a node that is gone are left, in case it is made again. Upstream: quarantineTime."""
