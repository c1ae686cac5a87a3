"""The writes of a StatefulSet's pods and claims, told in its Events.

Upstream: pkg/controller/statefulset/stateful_pod_control.go.
"""

from __future__ import annotations

from http import HTTPStatus

from fairlead.client.events import Recorder
from fairlead.client.writer import Writer, is_terminating
from fairlead.objects.apps_v1 import StatefulSet
from fairlead.objects.core_v1 import PersistentVolumeClaim, Pod
from fairlead.objects.resources import PERSISTENTVOLUMECLAIMS, PODS
from fairlead.objects.status import StatusError


class StatefulWrites:
    """Pods and claims that are made, changed and deleted for a set."""

    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer = writer
        self._recorder = recorder

    async def create_pod(self, stateful_set: StatefulSet, pod: Pod) -> Pod | None:
        """The pod as the server made it; None if there is one of that name, or the namespace goes away."""
        try:
            made = await self._writer.create(PODS, pod)
        except StatusError as error:
            if error.code == HTTPStatus.CONFLICT or is_terminating(error):
                return None
            self._tell(stateful_set, "create", f"Pod {pod.metadata.name}", error)
            raise
        self._tell(stateful_set, "create", f"Pod {pod.metadata.name}")
        return made

    async def delete_pod(self, stateful_set: StatefulSet, pod: Pod) -> None:
        """Deletes the pod with its grace period."""
        try:
            await self._writer.delete(PODS, pod)
        except StatusError as error:
            self._tell(stateful_set, "delete", f"Pod {pod.metadata.name}", error)
            raise
        self._tell(stateful_set, "delete", f"Pod {pod.metadata.name}")

    async def replace_ended(self, stateful_set: StatefulSet, pod: Pod) -> None:
        """Deletes a pod that has ended, so that it is made anew."""
        meta, failed = stateful_set.metadata, pod.status.phase == "Failed"
        kind, reason = (
            ("failed", "RecreatingFailedPod") if failed else ("terminated", "RecreatingTerminatedPod")
        )
        text = f"StatefulSet {meta.namespace}/{meta.name} is recreating {kind} Pod {pod.metadata.name}"
        self._recorder.event(stateful_set, "Warning" if failed else "Normal", reason, text)
        await self.delete_pod(stateful_set, pod)

    async def update_pod(self, pod: Pod) -> None:
        """Writes the pod's labels."""
        patch = {"metadata": {"uid": pod.metadata.uid, "labels": pod.metadata.labels}}
        await self._writer.patch(PODS, pod, patch, kind="strategic")

    async def create_claim(self, stateful_set: StatefulSet, pod: Pod, claim: PersistentVolumeClaim) -> None:
        """Makes the claim, unless there is one of that name."""
        what = f"Claim {claim.metadata.name} Pod {pod.metadata.name}"
        try:
            await self._writer.create(PERSISTENTVOLUMECLAIMS, claim)
        except StatusError as error:
            if error.code == HTTPStatus.CONFLICT or is_terminating(error):
                return
            self._tell(stateful_set, "create", what, error)
            raise
        self._tell(stateful_set, "create", what)

    async def update_claim(self, claim: PersistentVolumeClaim) -> None:
        """Writes the claim, with its owners; 409 if it has been changed meanwhile."""
        await self._writer.replace(PERSISTENTVOLUMECLAIMS, claim)

    def _tell(
        self, stateful_set: StatefulSet, verb: str, what: str, error: StatusError | None = None
    ) -> None:
        """Upstream's sentences, recordPodEvent and recordClaimEvent."""
        name = stateful_set.metadata.name
        done = "success" if what.startswith("Claim") else "successful"
        if error is None:
            text = f"{verb} {what} in StatefulSet {name} {done}"
            self._recorder.event(stateful_set, "Normal", f"Successful{verb.title()}", text)
        else:
            text = f"{verb} {what} in StatefulSet {name} failed error: {error}"
            self._recorder.event(stateful_set, "Warning", f"Failed{verb.title()}", text)
