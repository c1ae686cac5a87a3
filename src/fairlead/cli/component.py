"""Runs one component in the foreground, against any Kubernetes API."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fairlead.cli.options import check_level, listen_at
from fairlead.cli.refusal import UserError

if TYPE_CHECKING:
    from fairlead.client.api import Api
    from fairlead.client.kubeconfig import Config
    from fairlead.process import Health


def run_component(
    name: str,
    level: str,
    kubeconfig: Path | None,
    health_at: str,
    work: Callable[[Api, Health], Coroutine[Any, Any, None]],
    context: str = "",
) -> None:
    """Runs a component with an API and a health server until SIGTERM or Ctrl-C."""
    from fairlead.client.api import Api
    from fairlead.client.kubeconfig import KubeconfigError
    from fairlead.process import Health, configure_logging, run, serve_health

    check_level(level)
    config = credentials(kubeconfig, context)
    sock = None if health_at == "none" else listen_at(health_at)
    configure_logging(name, level)

    async def main() -> None:
        health = Health()
        runner = await serve_health(health, sock) if sock else None
        try:
            async with Api(config, f"fairlead-{name}") as api:
                await work(api, health)
        finally:
            if runner is not None:
                await runner.cleanup()

    try:
        status = run(main)
    except KubeconfigError as error:  # certificates that cannot be used
        raise UserError(str(error)) from error
    raise typer.Exit(status)


def credentials(kubeconfig: Path | None, context: str = "") -> Config:
    """How to reach the API server, by way of a proxy if the environment asks for one."""
    from fairlead.client.kubeconfig import KubeconfigError, load, through_proxy

    try:
        return through_proxy(load(kubeconfig, context), os.environ)
    except KubeconfigError as error:
        raise UserError(str(error)) from error
