"""The commands that give Services of type LoadBalancer an address, in any cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.component import run_component
from fairlead.cli.election import with_election
from fairlead.cli.options import Context, Kubeconfig, Level, health_option
from fairlead.cli.refusal import UserError
from fairlead.cli.speaker import speaker

if TYPE_CHECKING:
    from fairlead.client.election import ElectionConfig

ROLES = ("fairlead:loadbalancer", "fairlead:speaker")
"""The roles that `manifests` prints, as our own API server has them from the start."""

app = typer.Typer(invoke_without_command=True, add_completion=False)


@app.callback()
@with_election("loadbalancer", "fairlead-loadbalancer")
def loadbalancer(
    command: typer.Context,
    kubeconfig: Kubeconfig = None,
    context: Context = "",
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Pools, in YAML: docs/loadbalancer.md, or manifests of IPAddressPools."
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]RANGE,RANGE", help="A pool, such as lan=192.168.1.200-192.168.1.220; repeatable."
        ),
    ] = None,
    pool_groups: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="API groups whose IPAddressPools count: fairlead.dev, metallb.io; '' for none.",
        ),
    ] = "fairlead.dev",
    loadbalancer_class: Annotated[
        str, typer.Option(metavar="NAME", help="The spec.loadBalancerClass of Services that are ours.")
    ] = "fairlead.dev/loadbalancer",
    default_class: Annotated[
        bool,
        typer.Option(help="Services without a class are ours, too; not with another provider beside us."),
    ] = True,
    election: ElectionConfig | None = None,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10258",
    log_level: Level = "info",
) -> None:
    """Give Services of type LoadBalancer their addresses, out of pools."""
    if command.invoked_subcommand is not None:
        return
    from fairlead.loadbalancer import controller
    from fairlead.loadbalancer.config import LoadBalancerConfig, checked, chosen, parse_pool, read
    from fairlead.objects.names import is_qualified_name

    try:
        given = [parse_pool(text) for text in pool or ()]
        pools = checked([*(read(config) if config is not None else ()), *given])
        groups = chosen(pool_groups)
        if problems := is_qualified_name(loadbalancer_class):
            raise ValueError(f"--loadbalancer-class {loadbalancer_class!r}: {problems[0]}")
    except ValueError as error:
        raise UserError(f"fairlead loadbalancer: {error}") from error
    if not pools and not groups:
        raise UserError("fairlead loadbalancer: there are no pools: give --config, --pool or --pool-groups")
    settings = LoadBalancerConfig(pools, default_class, loadbalancer_class, groups)
    run_component(
        "loadbalancer",
        log_level,
        kubeconfig,
        health,
        lambda api, state: controller.run_elected(api, settings, election, state),
        context,
    )


app.command()(speaker)


@app.command()
def manifests() -> None:
    """Print what a cluster needs: the definition of IPAddressPool, and the roles; for `kubectl apply -f -`."""

    from fairlead.apiserver.access.bootstrappolicy import BINDINGS
    from fairlead.apiserver.access.bootstrappolicy import ROLES as KNOWN
    from fairlead.loadbalancer.ipaddresspools import definition
    from fairlead.objects.codec import plain

    typer.echo(definition().rstrip())
    for role in KNOWN:
        if role.metadata.name not in ROLES:
            continue
        binding = next(each for each in BINDINGS if each.metadata.name == role.metadata.name)
        accounts = [subject for subject in binding.subjects if subject.kind == "ServiceAccount"]
        for account in accounts:
            metadata = {"name": account.name, "namespace": account.namespace}
            typer.echo(_document({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}))
        for each in (role, binding):
            document = plain(each)
            document["metadata"] = {"name": role.metadata.name}
            typer.echo(_document(document))


def _document(value: object) -> str:
    import yaml

    return f"---\n{yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=110).rstrip()}"
