"""The command `fairlead`: what it understands, and how it says what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from fairlead import __version__
from fairlead.cli import components, controllers, images, lab, loadbalancer
from fairlead.cli.refusal import UserError

app = typer.Typer(
    name="fairlead",
    help="The Kubernetes Service subsystem: a whole cluster of Services on one machine, or its parts in yours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(lab.app, name="lab")
app.add_typer(loadbalancer.app, name="loadbalancer")
for command in (*components.COMMANDS, *controllers.COMMANDS):
    app.command()(command)
app.command()(images.images)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fairlead {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def plain(arguments: Sequence[str]) -> list[str]:
    """The arguments with Go's form of a switch, which upstream's manifests have, as the one that is read here."""
    switches = (*controllers.SWITCHES, *components.SWITCHES, *loadbalancer.SWITCHES)
    known = {f"--{name}=true": f"--{name}" for name in switches}
    known |= {f"--{name}=false": f"--no-{name}" for name in switches}
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)  # what follows belongs to another command
    return [known.get(word, word) for word in own[:end]] + own[end:]


def main() -> None:
    """The entry point. Exit statuses: 0 done, 1 failed, 2 wrong use or a machine that cannot do it."""
    try:
        app(args=plain(sys.argv[1:]))
    except UserError as error:
        print(f"fairlead: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read the output has gone; what is still in the buffer must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
