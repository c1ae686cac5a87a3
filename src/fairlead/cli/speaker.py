"""The command that announces the addresses of load balancers to the network around a node."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from fairlead.cli.components import Context, Kubeconfig, Level, health_option, run_component
from fairlead.cli.refusal import UserError


def speaker(
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    node_name: Annotated[
        str, typer.Option(help="The node that this is.", show_default="the host's name")
    ] = "",
    interface: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An interface to answer on; repeatable.",
            show_default="those with the node's addresses",
        ),
    ] = None,
    loadbalancer_class: Annotated[
        str, typer.Option(metavar="NAME", help="The spec.loadBalancerClass of Services that are ours.")
    ] = "fairlead.dev/loadbalancer",
    default_class: Annotated[bool, typer.Option(help="Services without a class are ours, too.")] = True,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10259",
    log_level: Level = "info",
) -> None:
    """On each node: lead the addresses of load balancers there, by ARP and neighbour discovery."""
    from fairlead.loadbalancer import speaker as room

    config = room.SpeakerConfig(
        node_name or socket.gethostname(), tuple(interface or ()), default_class, loadbalancer_class
    )
    try:
        run_component(
            "speaker", log_level, kubeconfig, health, lambda api, state: room.run(api, config, state), context
        )
    except ExceptionGroup as group:
        said: Exception = group
        while isinstance(said, ExceptionGroup):
            said = said.exceptions[0]
        if not isinstance(said, OSError):
            raise
        hint = " (it needs CAP_NET_RAW)" if isinstance(said, PermissionError) else ""
        raise UserError(f"fairlead loadbalancer speaker: {said.strerror or said}{hint}") from None
