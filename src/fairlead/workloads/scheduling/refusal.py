"""Why a node may not run a pod: which rule says so, in upstream's words, and whether fewer pods would change it."""

from __future__ import annotations

from dataclasses import dataclass

NODE_UNSCHEDULABLE = "NodeUnschedulable"
TAINT_TOLERATION = "TaintToleration"
NODE_AFFINITY = "NodeAffinity"
NODE_PORTS = "NodePorts"
NODE_RESOURCES_FIT = "NodeResourcesFit"
POD_TOPOLOGY_SPREAD = "PodTopologySpread"
INTER_POD_AFFINITY = "InterPodAffinity"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`final`: the node's pods have nothing to do with it (upstream: UnschedulableAndUnresolvable)."""

    rule: str
    reasons: tuple[str, ...]
    final: bool = False


UNSCHEDULABLE = Refusal(NODE_UNSCHEDULABLE, ("node(s) were unschedulable",), final=True)
TAINTED = Refusal(TAINT_TOLERATION, ("node(s) had untolerated taint(s)",), final=True)
NOT_MEANT = Refusal(NODE_AFFINITY, ("node(s) didn't match Pod's node affinity/selector",), final=True)
NOT_NAMED = Refusal(NODE_AFFINITY, ("node(s) didn't satisfy plugin(s) [NodeAffinity]",), final=True)
PORTS_TAKEN = Refusal(NODE_PORTS, ("node(s) didn't have free ports for the requested pod ports",))
SKEWED = Refusal(POD_TOPOLOGY_SPREAD, ("node(s) didn't match pod topology spread constraints",))
NO_DOMAIN = Refusal(
    POD_TOPOLOGY_SPREAD,
    ("node(s) didn't match pod topology spread constraints (missing required label)",),
    final=True,
)
NOT_NEAR = Refusal(INTER_POD_AFFINITY, ("node(s) didn't match pod affinity rules",), final=True)
TOO_NEAR = Refusal(INTER_POD_AFFINITY, ("node(s) didn't match pod anti-affinity rules",))
SHUNNED = Refusal(INTER_POD_AFFINITY, ("node(s) didn't satisfy existing pods anti-affinity rules",))

TOO_MANY_PODS = "Too many pods"
