"""How a node is served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PORT = 10250
"""As the kubelet's --port."""


@dataclass(frozen=True)
class KubeletConfig:
    """How the node is served. Without a certificate the server makes one for itself, as the kubelet does.

    Clients' certificates are those of the authority that the API server is known by, or of `client_ca`.
    """

    port: int = PORT
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
