"""The command that runs the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fairlead.cli.component import run_component
from fairlead.cli.election import with_election
from fairlead.cli.options import Context, Kubeconfig, Level, health_option

if TYPE_CHECKING:
    from fairlead.client.election import ElectionConfig


@with_election("scheduler", "kube-scheduler")
def scheduler(
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    election: ElectionConfig | None = None,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10259",
    log_level: Level = "info",
) -> None:
    """Run the scheduler: pods without a node get one."""
    from fairlead.workloads import scheduler as room

    run_component(
        "scheduler",
        log_level,
        kubeconfig,
        health,
        lambda api, state: room.run_elected(api, election, state),
        context,
    )
