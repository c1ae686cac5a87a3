"""What `fairlead lab status` shows."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table

from fairlead.lab import members
from fairlead.lab.state import Process, Record, StateDirectory


def show(directory: StateDirectory, record: Record) -> bool:
    """Prints a lab; whether it is as it should be: ready, with every process running."""
    console = Console()
    states = {process.name: _state(process) for process in record.processes}
    good = directory.is_ready() and all(state == "running" for state in states.values())
    if record.stopping:
        said = "is being removed"
    elif good:
        said = "is ready"
    elif not any(state == "running" for state in states.values()):
        said = f"died; 'fairlead lab down{directory.option}' removes what is left of it"
    else:
        said = "is starting" if not directory.is_ready() else "is mending itself"
    console.print(f"Lab [bold]{record.name}[/bold] {said}.", highlight=False)
    for label, value in (
        ("API", record.url),
        ("kubeconfig", record.kubeconfig),
        ("store", record.store),
        ("logs", str(directory.path / "logs")),
    ):
        console.print(f"  {label:<11}{value}", highlight=False, soft_wrap=True)
    console.print(_nodes(directory, record))
    console.print(_processes(record, states))
    return good


def _nodes(directory: StateDirectory, record: Record) -> Table:
    table = Table(title="Nodes", title_justify="left")
    for column in ("name", "address", "pods", "zone", "state"):
        table.add_column(column)
    now, links = members.read(directory), members.links(directory)
    for member, node in zip(now, members.planned(now, record.families), strict=True):
        state = "stopped" if member.stopped else str(links.get(f"node/{node.name}", ""))
        table.add_row(node.name, "\n".join(node.addresses), "\n".join(node.pod_cidrs), node.zone, state)
    table.add_row("outside", "\n".join(family.outside_address for family in record.families), "", "", "")
    for target, how in links.items():
        if target.startswith("pod/"):
            table.add_row(target, "", "", "", str(how))
    return table


def _processes(record: Record, states: dict[str, str]) -> Table:
    table = Table(title="Processes", title_justify="left")
    for column in ("name", "pid", "state", "restarts", "for"):
        table.add_column(column, justify="left" if column in ("name", "state") else "right")
    for process in record.processes:
        table.add_row(
            process.name,
            str(process.identity.pid),
            states[process.name],
            str(process.restarts),
            _duration(time.time() - process.since),
        )
    return table


def _state(process: Process) -> str:
    if process.identity.is_alive():
        return "running"
    return "waiting to be started again" if process.waiting else "dead"


def _duration(seconds: float) -> str:
    """An age as kubectl writes it: 45s, 3m, 5h, 2d."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds / size)}{unit}"
    return f"{int(seconds / 86400)}d"
