"""The command that runs the node's agent."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.component import run_component
from fairlead.cli.options import Kubeconfig, Level, health_option, one_a_family
from fairlead.cli.refusal import UserError


def node(
    pod_cidr: Annotated[
        str,
        typer.Option(
            help="Where the node's pods get their addresses, as A,B.", show_default="has to be given"
        ),
    ] = "",
    kubeconfig: Kubeconfig = None,
    node_name: Annotated[
        str, typer.Option(help="The node that this is.", show_default="the host's name")
    ] = "",
    address: Annotated[str, typer.Option(help="The node's addresses, as A,B.")] = "127.0.0.1",
    directory: Annotated[
        Path, typer.Option(metavar="DIRECTORY", help="Where the pods' state is kept.")
    ] = Path("/run/fairlead-node"),
    images: Annotated[
        Path | None, typer.Option(help="A map of image names to programs, in YAML.", metavar="FILE")
    ] = None,
    cluster_dns: Annotated[str, typer.Option(help="The DNS servers that pods ask, as A,B.")] = "10.96.0.10",
    domain: Annotated[str, typer.Option(help="The cluster's domain.")] = "cluster.local",
    port: Annotated[
        int, typer.Option(help="Where logs, commands and ports of pods are served; 0: nowhere.")
    ] = 10250,
    tls_cert_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate for that.", show_default="signed by itself"),
    ] = None,
    tls_private_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key of that certificate.")
    ] = None,
    client_ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Whose certificates say who asks there.",
            show_default="the authority of the kubeconfig",
        ),
    ] = None,
    cleanup: Annotated[
        bool,
        typer.Option(
            "--cleanup", help="End the pods that an agent has left here, close their host ports, then end."
        ),
    ] = False,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10248",
    log_level: Level = "info",
) -> None:
    """Run the node's agent: pods as processes of this host."""
    if cleanup:
        _clean_up(directory.absolute(), node_name or socket.gethostname())
        return
    if not pod_cidr:
        raise UserError("fairlead node: --pod-cidr has to be given, for example --pod-cidr 10.244.7.0/24")
    from fairlead.dns.server import run_in_pod
    from fairlead.node import agent
    from fairlead.node.builtinimages import builtin
    from fairlead.node.images import Image, ImageError, load_images, merge
    from fairlead.node.kubelet.config import KubeletConfig

    try:
        own = load_images(images) if images else {}
    except (ImageError, OSError) as error:
        raise UserError(f"the image map cannot be used: {error}") from error
    config = agent.NodeConfig(
        name=node_name or socket.gethostname(),
        addresses=tuple(address.split(",")),
        pod_cidrs=one_a_family("--pod-cidr", pod_cidr),
        labels={},
        state_directory=directory.absolute(),
        images=merge(own, builtin(), {"fairlead/dns": Image(entrypoint=("dns",), run=run_in_pod)}),
        cluster_dns=tuple(cluster_dns.split(",")),
        cluster_domain=domain,
        kubelet=KubeletConfig(port, tls_cert_file, tls_private_key_file, client_ca_file) if port else None,
    )
    try:
        run_component("node", log_level, kubeconfig, health, lambda api, state: agent.run(api, config, state))
    except agent.OccupiedError as error:
        raise UserError(str(error)) from error


def _clean_up(directory: Path, name: str) -> None:
    from fairlead import libnftables
    from fairlead.node.cleanup import cleanup
    from fairlead.node.occupancy import OccupiedError

    try:
        for pod in cleanup(directory, name):
            print(f"pod {pod} has ended")
    except (OccupiedError, libnftables.Failed, OSError) as error:
        raise UserError(f"fairlead node --cleanup: {error}") from error
