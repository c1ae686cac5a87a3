"""Which nodes a DaemonSet's pods are for. Upstream: NodeShouldRunDaemonPod in pkg/controller/daemon."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.objects.apps_v1 import DaemonSet
from fairlead.objects.core_v1 import Node
from fairlead.workloads.daemonset.pods import tolerations
from fairlead.workloads.scheduling import nodeaffinity
from fairlead.workloads.scheduling.taints import is_tolerated


@dataclass(frozen=True)
class Eligibility:
    """Whether a node is to get a pod, and whether one that is there may stay: a new NoSchedule taint expels nobody."""

    runs: bool
    keeps: bool


def eligibility(daemon_set: DaemonSet, node: Node) -> Eligibility:
    """What the template says of the node: its nodeName, nodeSelector, required affinity, tolerations."""
    spec = daemon_set.spec.template.spec
    name = node.metadata.name
    if spec.nodeName not in ("", name) or not nodeaffinity.matches(spec, name, node.metadata.labels):
        return Eligibility(runs=False, keeps=False)
    borne = tolerations(spec)
    refused = {t.effect for t in node.spec.taints if not is_tolerated(t, borne)}
    return Eligibility(runs=not refused & {"NoSchedule", "NoExecute"}, keeps="NoExecute" not in refused)
