"""The pods of a DaemonSet: each asks for one node, by its name, and bears what befalls nodes.

Upstream: pkg/controller/daemon/util.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects.apps_v1 import DaemonSet
from fairlead.objects.core_v1 import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodSpec,
    Toleration,
)
from fairlead.workloads.podcontrol import pod_from
from fairlead.workloads.revisions import DAEMON_HASH

_NAME = "metadata.name"
_KEY = "node.kubernetes.io/{}"
_STAYS = tuple(
    Toleration(key=_KEY.format(key), operator="Exists", effect="NoExecute")
    for key in ("not-ready", "unreachable")
)
_COMES = tuple(
    Toleration(key=_KEY.format(key), operator="Exists", effect="NoSchedule")
    for key in ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
)
_WITHOUT_NETWORK = Toleration(key=_KEY.format("network-unavailable"), operator="Exists", effect="NoSchedule")


def tolerations(spec: PodSpec) -> tuple[Toleration, ...]:
    """Those of the template, and those of every daemon; upstream: AddOrUpdateDaemonPodTolerations."""
    more = (*_STAYS, *_COMES, *((_WITHOUT_NETWORK,) if spec.hostNetwork else ()))
    known = {(t.key, t.operator, t.effect, t.value) for t in more}
    kept = tuple(t for t in spec.tolerations if (t.key, t.operator, t.effect, t.value) not in known)
    return (*kept, *more)


def pod_for(daemon_set: DaemonSet, node: str, hash: str) -> Pod:
    """The pod for this node, of the revision with this hash. The scheduler binds it there, and nowhere else."""
    pod = pod_from(daemon_set.spec.template, daemon_set)
    meta = replace(pod.metadata, labels={**pod.metadata.labels, DAEMON_HASH: hash})
    spec = replace(pod.spec, affinity=_on(node, pod.spec.affinity), tolerations=tolerations(pod.spec))
    return replace(pod, metadata=meta, spec=spec)


def _on(node: str, affinity: Affinity | None) -> Affinity:
    """The affinity, with the node in place of what nodes it required: which they are is decided here."""
    named = NodeSelectorRequirement(key=_NAME, operator="In", values=(node,))
    required = NodeSelector(nodeSelectorTerms=(NodeSelectorTerm(matchFields=(named,)),))
    affinity = affinity or Affinity()
    of_nodes = affinity.nodeAffinity or NodeAffinity()
    of_nodes = replace(of_nodes, requiredDuringSchedulingIgnoredDuringExecution=required)
    return replace(affinity, nodeAffinity=of_nodes)


def node_of(pod: Pod) -> str:
    """The node that the pod is on, or asks for; "" if neither. Upstream: GetTargetNodeName."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    of_nodes = pod.spec.affinity.nodeAffinity if pod.spec.affinity is not None else None
    required = of_nodes.requiredDuringSchedulingIgnoredDuringExecution if of_nodes is not None else None
    for term in required.nodeSelectorTerms if required is not None else ():
        for field in term.matchFields:
            if field.key == _NAME and field.operator == "In" and len(field.values) == 1:
                return field.values[0]
    return ""
