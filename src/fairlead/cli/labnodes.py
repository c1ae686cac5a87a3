"""The commands `fairlead lab node ...`: nodes that come and go while a lab runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.refusal import UserError

if TYPE_CHECKING:
    from fairlead.lab.state import StateDirectory

app = typer.Typer(
    help="Stop, start, add and remove nodes of a running lab.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LabName = Annotated[str, typer.Option("--name", help="The lab's name.")]
NodeName = Annotated[str, typer.Argument(help="The node: node1, node2, ...", metavar="NODE")]


@app.command()
def stop(node: NodeName, name: LabName = "default") -> None:
    """End everything on a node at once, as a power cut would; the API hears nothing of it."""
    from fairlead.lab import nodes

    with refusals():
        nodes.stop(directory_of(name), node)
    print(f"{node} is stopped.")


@app.command()
def start(node: NodeName, name: LabName = "default") -> None:
    """Start a node that was stopped; returns when it is ready."""
    from fairlead.lab import nodes

    begun = time.monotonic()
    with refusals():
        nodes.start(directory_of(name), node)
    print(f"{node} is ready after {time.monotonic() - begun:.1f} s.")


@app.command()
def add(
    node: Annotated[
        str,
        typer.Argument(
            help="The node; its number gives its addresses.",
            metavar="[NODE]",
            show_default="the first that is free",
        ),
    ] = "",
    zone: Annotated[
        str, typer.Option(help="The zone it is in.", metavar="ZONE", show_default="by turns, as at the start")
    ] = "",
    name: LabName = "default",
) -> None:
    """Make another node; returns when it is ready."""
    from fairlead.lab import nodes

    begun = time.monotonic()
    with refusals():
        made = nodes.add(directory_of(name), node, zone)
    print(f"{made.name} is ready after {time.monotonic() - begun:.1f} s.")


@app.command()
def remove(node: NodeName, name: LabName = "default") -> None:
    """Take a node away for good, with its pods and its Node."""
    from fairlead.lab import nodes

    with refusals():
        nodes.remove(directory_of(name), node)
    print(f"{node} is removed.")


def directory_of(name: str) -> StateDirectory:
    """The state directory of the lab of that name. Raises UserError for what is no name."""
    from fairlead.lab import topology
    from fairlead.lab.state import StateDirectory

    try:
        topology.check_name(name)
    except ValueError as error:
        raise UserError(str(error)) from error
    return StateDirectory.of(name)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What is refused in the block is what is said to the user."""
    from fairlead.lab.network import Refused
    from fairlead.lab.state import NoLab

    try:
        yield
    except (Refused, NoLab) as error:
        raise UserError(str(error)) from error
