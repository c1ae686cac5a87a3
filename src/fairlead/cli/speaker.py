"""The command that announces the addresses of load balancers to the network around a node."""

from __future__ import annotations

import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.component import run_component
from fairlead.cli.options import Context, Kubeconfig, Level, health_option
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
    bgp_asn: Annotated[
        str, typer.Option("--bgp-asn", metavar="ASN", help="Announce by BGP instead, as this AS; by BIRD.")
    ] = "",
    bgp_peer: Annotated[
        list[str] | None,
        typer.Option(metavar="ASN@ADDRESS", help="A router to announce to; repeatable."),
    ] = None,
    bfd: Annotated[bool, typer.Option("--bfd", help="Find out in 0.6 s that a router is dead.")] = False,
    loadbalancer_class: Annotated[
        str, typer.Option(metavar="NAME", help="The spec.loadBalancerClass of Services that are ours.")
    ] = "fairlead.dev/loadbalancer",
    default_class: Annotated[bool, typer.Option(help="Services without a class are ours, too.")] = True,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10261",
    log_level: Level = "info",
) -> None:
    """On each node: lead the addresses of load balancers there, by ARP and neighbour discovery, or by BGP."""
    from fairlead.loadbalancer import speaker as room
    from fairlead.loadbalancer.bgp.bird import program
    from fairlead.loadbalancer.bgp.configuration import BgpConfig, parse_asn, parse_peer

    bgp = None
    try:
        if bgp_asn or bgp_peer:
            program()
            bgp = BgpConfig(parse_asn(bgp_asn), tuple(map(parse_peer, bgp_peer or ())), bfd)
            if not bgp.peers:
                raise ValueError("--bgp-asn needs a --bgp-peer")
    except (ValueError, OSError) as error:
        raise UserError(f"fairlead loadbalancer speaker: {error}") from error
    config = room.SpeakerConfig(
        node_name or socket.gethostname(), tuple(interface or ()), default_class, loadbalancer_class, bgp
    )
    try:
        with tempfile.TemporaryDirectory(prefix="fairlead-speaker-") as directory:
            config = replace(config, directory=Path(directory))
            run_component(
                *("speaker", log_level, kubeconfig, health),
                lambda api, state: room.run(api, config, state),
                context,
            )
    except ExceptionGroup as group:
        said: Exception = group
        while isinstance(said, ExceptionGroup):
            said = said.exceptions[0]
        if not isinstance(said, OSError):
            raise
        hint = " (it needs CAP_NET_RAW)" if isinstance(said, PermissionError) else ""
        raise UserError(f"fairlead loadbalancer speaker: {said.strerror or said}{hint}") from None
