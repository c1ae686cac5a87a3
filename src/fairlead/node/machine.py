"""What this machine has for pods to use."""

from __future__ import annotations

import os
from pathlib import Path


def resources(directory: Path) -> dict[str, str]:
    """CPUs, memory and disk at `directory` (made if missing), as quantities by the names of the API."""
    memory = next(
        line.split()[1]
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    disk = os.statvfs(directory)
    return {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "memory": f"{memory}Ki",
    }
