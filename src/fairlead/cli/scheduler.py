"""The command that runs the scheduler."""

from __future__ import annotations

from typing import Annotated

from fairlead.cli.component import run_component
from fairlead.cli.options import Kubeconfig, Level, health_option


def scheduler(
    kubeconfig: Kubeconfig = None,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10259",
    log_level: Level = "info",
) -> None:
    """Run the scheduler: pods without a node get one."""
    from fairlead.workloads import scheduler as room

    run_component("scheduler", log_level, kubeconfig, health, room.run)
