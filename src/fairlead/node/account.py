"""The files by which a pod's containers are known to the API: a token of its ServiceAccount, bound to the pod.

Upstream the API server puts a projected volume into the pod, kube-api-access-…, and the kubelet fills it
(pkg/kubelet/token, pkg/volume/projected); here the agent does so by itself, at the same place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

from fairlead.client.api import Api
from fairlead.node.inputs import PATIENCE
from fairlead.objects.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import SERVICEACCOUNTS
from fairlead.objects.status import StatusError

log = logging.getLogger("fairlead.node")

SECONDS = 3607
"""The life that upstream asks for: one hour, and seven seconds by which such tokens are told from others."""

RENEWED = 0.8
"""Of its life, how much of it a token has when the next one is asked for."""

RETRY_SECONDS = 10.0


class Account:
    """Keeps a pod's token fresh, in `directory`; a container finds the next one at the same path."""

    def __init__(self, api: Api, directory: Path) -> None:
        self._api = api
        self._directory = directory
        self._next = 0.0

    async def keep(self, pod: Pod, now: float) -> float | None:
        """Gets the first token, or the next one if it is time; gives when to come again, in seconds since 1970.

        Raises StatusError or Unreachable for the first one. Without such an account there are no files, for now.
        """
        if pod.spec.automountServiceAccountToken is False:
            return None
        if now < self._next:
            return self._next
        there = (self._directory / "token").exists()
        try:
            async with asyncio.timeout(PATIENCE if there else None):
                self._next = await self._renew(pod, now)
        except (StatusError, OSError) as error:
            missing = isinstance(error, StatusError) and error.code == HTTPStatus.NOT_FOUND
            if not missing and not there:
                raise
            self._next = now + RETRY_SECONDS
            if not missing:
                why = str(error) or "the API server did not answer in time"
                log.warning("pod %s/%s: no new token: %s", pod.metadata.namespace, pod.metadata.name, why)
        return self._next

    async def _renew(self, pod: Pod, now: float) -> float:
        meta, name = pod.metadata, pod.spec.serviceAccountName or "default"
        bound = BoundObjectReference(apiVersion="v1", kind="Pod", name=meta.name, uid=meta.uid)
        answer = await self._api.request(
            "POST",
            SERVICEACCOUNTS.path(meta.namespace, name, "token"),
            TokenRequest,
            TokenRequest(spec=TokenRequestSpec(expirationSeconds=SECONDS, boundObjectRef=bound)),
        )
        reader = single_reader(pod)
        self._write("ca.crt", self._api.config.authority, reader)
        self._write("namespace", meta.namespace.encode(), reader)
        self._write("token", answer.status.token.encode(), reader)
        expires = answer.status.expirationTimestamp
        life = datetime.fromisoformat(expires).timestamp() - now if expires else SECONDS
        return now + life * RENEWED

    def _write(self, name: str, data: bytes, reader: int | None) -> None:
        """Replaces a file as a whole. Only its reader, or the pod's users if they are several, can read it."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        other = self._directory / f".{name}"
        other.unlink(missing_ok=True)
        descriptor = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if reader is None:
                os.fchmod(descriptor, 0o644)  # in a directory that only the agent can enter
            elif reader != os.geteuid():
                # On disk, every container's user is the lab's own, where that is an ordinary user's.
                with contextlib.suppress(OSError):
                    os.fchown(descriptor, reader, -1)
        other.replace(self._directory / name)


def single_reader(pod: Pod) -> int | None:
    """The user that all containers run as, None where they run as several. Upstream: pkg/volume/projected."""
    default = pod.spec.securityContext.runAsUser if pod.spec.securityContext else None
    users = set()
    for container in (*pod.spec.initContainers, *pod.spec.containers):
        own = container.securityContext.runAsUser if container.securityContext else None
        users.add(own if own is not None else default if default is not None else os.geteuid())
    return users.pop() if len(users) == 1 else None
