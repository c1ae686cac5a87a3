"""kubectl on its tour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.apiserver.kubectl import Kubectl
from tests.apiserver.serving import Client

EVERYTHING = Path(__file__).parent / "everything.yaml"

SENT_AGAIN = [
    "endpoints/outside",
    "limitrange/limits",
    "poddisruptionbudget.policy/web",
    "secret/password",
    "statefulset.apps/db",
]
"""What kubectl cannot compare, with upstream's servers either: what is not read back, what is replaced whole."""
BEFORE_1_21 = ["cronjob.batch/nightly" if "policy" in one else one for one in SENT_AGAIN]
"""The same for those that only know the betas of batch and policy."""


class Guide:
    """kubectl in a namespace and with a node of its own; its manifest is in `everything`."""

    def __init__(self, kubectl: Kubectl, version: str, client: Client) -> None:
        self.kubectl = kubectl
        self.version = tuple(int(part) for part in version.split("."))
        self.client = client
        self.namespace = f"tour-{version.replace('.', '-')}"
        self.node = f"node-{version}"
        self.sent_again = sorted(SENT_AGAIN if self.version >= (1, 21) else BEFORE_1_21)
        self.manifest = EVERYTHING.read_text().replace("namespace: tour", f"namespace: {self.namespace}")
        self.everything = kubectl.kubeconfig.parent / EVERYTHING.name
        self.everything.write_text(self.manifest)

    async def __call__(self, command: str, *more: str, stdin: str = "", fails: bool = False) -> str:
        """What a command prints, written as one types it."""
        return await self.kubectl("-n", self.namespace, *command.split(), *more, stdin=stdin, fails=fails)

    async def get(self, command: str) -> Any:
        """What a command gives as JSON."""
        return json.loads(await self(f"get {command} -o json"))

    async def read(self, version: str, path: str) -> Any:
        """What the server says without kubectl, whose start takes longer than all else."""
        root = f"apis/{version}" if "/" in version else f"api/{version}"
        return await self.client.get(f"/{root}/namespaces/{self.namespace}/{path}")
