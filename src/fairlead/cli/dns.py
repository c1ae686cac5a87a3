"""The command that runs the cluster's DNS server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.component import credentials
from fairlead.cli.options import Kubeconfig, Level, address_of, check_level
from fairlead.cli.refusal import UserError


def dns(
    kubeconfig: Kubeconfig = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What to answer, in YAML (docs/dns.md); followed. Instead of the next three."
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS:PORT", help="Where to answer, over UDP and TCP.", show_default="0.0.0.0:53"
        ),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="The cluster's domain.", show_default="cluster.local")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes that share the port.", show_default="1")
    ] = None,
    expose: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where /health, /ready and /metrics are; '' is nowhere.")
    ] = "0.0.0.0",  # noqa: S104
    log_level: Level = "info",
) -> None:
    """Run the cluster's DNS server."""
    from fairlead.dns import configfile, server
    from fairlead.process import configure_logging

    check_level(log_level)
    given = {"listen": listen, "domain": domain, "workers": workers}
    named = [f"--{name}" for name, value in given.items() if value is not None]
    if config is not None and named:
        raise UserError(f"fairlead dns: {', '.join(named)} and --config: write it into the file instead")
    try:
        settings = (
            configfile.read(config)
            if config is not None
            else replace(
                configfile.parse("", "the configuration"),
                listen=(address_of(listen or "0.0.0.0:53"),),
                domain=domain or "cluster.local",
                workers=workers or 1,
            )
        )
    except ValueError as error:
        raise UserError(f"fairlead dns: {error}") from error
    access = credentials(kubeconfig)
    configure_logging("dns", log_level)
    raise typer.Exit(server.serve(settings, access, expose=expose, path=config))
