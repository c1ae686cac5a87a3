"""The commands `fairlead lab link ...`: links that are cut, lose packets or delay them."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from fairlead.cli.labnodes import LabName, directory_of, refusals
from fairlead.cli.options import duration

app = typer.Typer(
    help="Cut the links of nodes and pods, or make them bad.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Target = Annotated[
    str,
    typer.Argument(help="node/NAME, pod/NAME or pod/NAMESPACE/NAME.", metavar="WHERE"),
]


def percent(text: str) -> float:
    """Reads a share such as 10% or 0.5%, as a number from 0 to 1. Raises typer.BadParameter."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%", text)
    if found is None or float(found[1]) > 100:
        raise typer.BadParameter(f"{text!r} is no share from 0% to 100%")
    return float(found[1]) / 100


@app.command()
def down(target: Target, name: LabName = "default") -> None:
    """Cut a node off the underlay, or a pod off its node: nothing passes, and nobody is told."""
    _impair(name, target, loss=1.0)


@app.command()
def up(target: Target, name: LabName = "default") -> None:
    """Let everything pass again."""
    _impair(name, target)


@app.command("set")
def make(
    target: Target,
    loss: Annotated[
        float,
        typer.Option(help="How many packets are lost, in each direction.", metavar="PERCENT", parser=percent),
    ] = "0%",  # type: ignore[assignment]
    delay: Annotated[
        float,
        typer.Option(
            help="How late packets are, in each direction; needs netem.", metavar="DURATION", parser=duration
        ),
    ] = "0s",  # type: ignore[assignment]
    name: LabName = "default",
) -> None:
    """Make a link bad, in place of what it was."""
    _impair(name, target, loss, delay)


def _impair(name: str, target: str, loss: float = 0.0, delay: float = 0.0) -> None:
    from fairlead.lab import links
    from fairlead.lab.members import Impairment

    how = Impairment(loss, delay)
    with refusals():
        full = links.impair(directory_of(name), target, how)
    print(f"{full}: {str(how) or 'everything passes'}")
