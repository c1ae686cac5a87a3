"""Pods by the node that they are on."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fairlead.client.informer import Informer
from fairlead.objects.core_v1 import Pod, PodCondition
from fairlead.objects.meta_v1 import ObjectMeta

_NODE = "node"


def by_node(pods: Informer[Pod]) -> None:
    """Lets the informer be asked with `on_node`."""
    pods.index(_NODE, _node_of)


def on_node(pods: Informer[Pod], node: str) -> Collection[Pod]:
    """The pods that are bound to this node. Cost: their number."""
    return pods.by_index(_NODE, node)


def _node_of(pod: Pod) -> Iterable[str]:
    return (pod.spec.nodeName,) if pod.spec.nodeName else ()


def condition_patch(meta: ObjectMeta, condition: PodCondition, phase: str = "") -> dict[str, object]:
    """The strategic merge patch that writes one condition, and the phase if given, into the status of this very pod."""
    status: dict[str, object] = {"conditions": [condition]}
    if phase:
        status["phase"] = phase
    return {"metadata": {"uid": meta.uid}, "status": status}
