"""Persistent volume claims of a lab: a folder for each, on this machine.

There is no storage behind it: the folder is shared by all pods that mount the claim where its `claims_directory` is the
same, and is gone with the lab. Pods do not wait for the claim to be bound.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fairlead.client.api import Api
from fairlead.objects.resources import PERSISTENTVOLUMECLAIMS
from fairlead.objects.status import StatusError


class ClaimError(OSError):
    """There is no such claim; the message is upstream's."""


async def folder(api: Api, directory: Path, namespace: str, name: str) -> Path:
    """The claim's folder, made if need be. A claim that was deleted and made again has a new one.

    Raises `ClaimError`, and StatusError where the API refuses.
    """
    try:
        claim = await api.get(PERSISTENTVOLUMECLAIMS, name, namespace)
    except StatusError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        raise ClaimError(f'persistentvolumeclaim "{name}" not found') from error
    path = directory / namespace / f"{name}.{claim.metadata.uid}"
    path.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.chmod(0o777)
    return path
