"""The pods of a node, and what is written into their status from outside of it."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from fairlead.client.informer import Informer
from fairlead.client.writer import Writer
from fairlead.objects.core_v1 import Pod, PodCondition
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError
from fairlead.workloads.cluster import NODE


def on_node(pods: Informer[Pod], node: str) -> Collection[Pod]:
    """The pods that are bound to this node. Cost: their number."""
    return pods.by_index(NODE, node)


async def write_condition(writer: Writer, pod: Pod, condition: PodCondition | None, phase: str = "") -> bool:
    """Writes a condition and a phase, where given, into the status of this very pod; False if it is gone."""
    status: dict[str, object] = {"conditions": [condition]} if condition is not None else {}
    if phase:
        status["phase"] = phase
    patch = {"metadata": {"uid": pod.metadata.uid}, "status": status}
    try:
        await writer.patch(PODS, pod, patch, kind="strategic", subresource="status")
    except StatusError as error:
        # a conflict says that another pod has taken the name since
        if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return False
        raise
    return True
