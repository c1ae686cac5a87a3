"""Pods made from templates and deleted again, told in Events of their owner.

Upstream: RealPodControl in pkg/controller/controller_utils.go.
"""

from __future__ import annotations

from fairlead.client.events import Described, Recorder
from fairlead.client.writer import Writer, is_terminating
from fairlead.objects.core_v1 import Pod, PodTemplateSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.names import is_dns1123_subdomain
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError
from fairlead.workloads.claiming import controller_reference


def pod_from(template: PodTemplateSpec, owner: Described, name: str = "") -> Pod:
    """The pod that the template asks for, to be made for this owner; without a name the server gives one.

    Upstream: GetPodFromTemplate.
    """
    prefix = f"{owner.metadata.name}-"
    return Pod(
        metadata=ObjectMeta(
            name=name,
            generateName="" if name else _generated(prefix, owner),
            namespace=owner.metadata.namespace,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            ownerReferences=(controller_reference(owner),),
        ),
        spec=template.spec,
    )


def _generated(prefix: str, owner: Described) -> str:
    """The prefix of the pods' names; without its hyphen if it would not be one (upstream: getPodsPrefix)."""
    return owner.metadata.name if is_dns1123_subdomain(prefix.removesuffix("-")) else prefix


class PodControl:
    """The writes of pods of one controller."""

    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer = writer
        self._recorder = recorder

    async def create(self, owner: Described, pod: Pod) -> Pod:
        """The pod as the server made it. Raises its refusal, which the owner's Events tell too.

        A namespace that goes away takes no pods; that is no news to anybody, but a refusal all the same.
        """
        if not pod.metadata.labels:
            raise ValueError("unable to create pods, no labels")
        try:
            made = await self._writer.create(PODS, pod)
        except StatusError as error:
            if not is_terminating(error):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")
        return made

    async def delete(self, owner: Described, pod: Pod) -> None:
        """Deletes the pod, with its grace period; it is well if it is gone already."""
        try:
            await self._writer.delete(PODS, pod)
        except StatusError as error:
            self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    async def patch(self, pod: Pod, patch: object) -> Pod:
        """The pod with a strategic merge patch in it."""
        return await self._writer.patch(PODS, pod, patch, kind="strategic")
