"""The command `fairlead`: what it understands, and how it says what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from fairlead import __version__
from fairlead.cli import apiserver, controllers, dns, images, lab, loadbalancer, node, proxy, scheduler
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
COMMANDS: tuple[Callable[..., None], ...] = (
    apiserver.apiserver,
    scheduler.scheduler,
    proxy.proxy,
    dns.dns,
    node.node,
    *controllers.COMMANDS,
    images.images,
)
"""In the order of the help."""
for command in COMMANDS:
    app.command()(command)


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
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)  # what follows belongs to another command
    if not any(word.endswith(("=true", "=false")) for word in own[:end]):
        return own
    known: dict[str, list[str]] = {}
    for option in _switches(typer.main.get_command(app)):
        for name in option.opts:
            known[f"{name}=true"] = [name]
            known[f"{name}=false"] = option.secondary_opts[:1]  # one that can only be set is not
    return [said for word in own[:end] for said in known.get(word, [word])] + own[end:]


def _switches(command: Any) -> Iterator[TyperOption]:
    """All options that are on or off, of a command and those below it."""
    for option in command.params:
        if isinstance(option, TyperOption) and option.is_flag:
            yield option
    for below in getattr(command, "commands", {}).values():
        yield from _switches(below)


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
