"""The commands `fairlead lab ...`."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli import lablinks, labnodes
from fairlead.cli.labnodes import directory_of
from fairlead.cli.options import duration, store_option, written_kubeconfig
from fairlead.cli.refusal import UserError

if TYPE_CHECKING:
    from fairlead.lab.interruption import Interruption
    from fairlead.lab.launch import Launched
    from fairlead.lab.removal import Removed

app = typer.Typer(
    help="A whole cluster on this machine, made of network namespaces.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(labnodes.app, name="node")
app.add_typer(lablinks.app, name="link")

Name = Annotated[
    str, typer.Option("--name", help="The lab's name: labs of different names live side by side.")
]


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",")) if value else ()


@app.command()
def up(
    nodes: Annotated[int, typer.Option(help="How many nodes.")] = 3,
    zones: Annotated[
        str, typer.Option(help="Zones for the nodes to be in, by turns, as a,b,c.", metavar="A,B")
    ] = "",
    region: Annotated[str, typer.Option(help="The region that all nodes are in.")] = "",
    ip_families: Annotated[
        str,
        typer.Option(
            help="Address families of pods and Services: ipv4, ipv6, or both, the first one first.",
            metavar="A,B",
        ),
    ] = "ipv4",
    proxy_mode: Annotated[
        str, typer.Option(help="What the proxy programs: nftables, iptables or ipvs.")
    ] = "nftables",
    loadbalancer: Annotated[
        str,
        typer.Option(
            help="Who leads traffic to load balancers: cloud, l2 (the nodes, by ARP), bgp or none.",
            metavar="KIND",
        ),
    ] = "cloud",
    loadbalancer_via: Annotated[
        str,
        typer.Option(
            help="How the cloud's packets come to a node: vip, as they were sent, or nodeport.", metavar="WAY"
        ),
    ] = "vip",
    images: Annotated[
        Path | None, typer.Option(help="A map of image names to programs, in YAML.", metavar="FILE")
    ] = None,
    store: Annotated[str, store_option("Keep the objects where they outlive the lab: ")] = "",
    kubeconfig: Annotated[Path | None, written_kubeconfig("./fairlead.kubeconfig")] = None,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="The API server's port on this machine.",
            show_default="6443, or a free one",
        ),
    ] = 0,
    node_monitor_grace_period: Annotated[
        float,
        typer.Option(
            help="How long a node may be silent before it is not ready; "
            "it speaks every 10 s, and more often if this is below 40 s.",
            metavar="DURATION",
            parser=duration,
        ),
    ] = "50s",  # type: ignore[assignment]
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the lab is ready.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Let the components log more.")] = False,
    name: Name = "default",
) -> None:
    """Make a lab and keep it until Ctrl-C; with --detach until `fairlead lab down`."""
    started = time.monotonic()
    _check_built(ip_families, proxy_mode)
    from fairlead.lab.topology import LOADBALANCER_VIA, LOADBALANCERS

    if loadbalancer not in LOADBALANCERS:
        raise UserError(f"--loadbalancer {loadbalancer}: use one of {', '.join(LOADBALANCERS)}")
    if loadbalancer == "bgp":
        from fairlead.loadbalancer.bgp.bird import BirdMissing, program

        try:
            program()
        except BirdMissing as error:
            raise UserError(f"--loadbalancer bgp: {error}") from error
    if loadbalancer_via not in LOADBALANCER_VIA:
        raise UserError(f"--loadbalancer-via {loadbalancer_via}: use one of {', '.join(LOADBALANCER_VIA)}")
    from fairlead.lab.interruption import Interrupted, Interruption

    interruption = Interruption()
    from fairlead.lab import launch
    from fairlead.lab.network import Refused

    report = launch.Timed(_tell_step, started)
    report("programs loaded")
    options = launch.Options(
        name=name,
        nodes=nodes,
        zones=_split(zones),
        region=region,
        ip_families=_split(ip_families),
        proxy_mode=proxy_mode,
        loadbalancer=loadbalancer,
        loadbalancer_via=loadbalancer_via,
        images=images,
        store=store,
        kubeconfig=kubeconfig,
        port=port,
        node_monitor_grace_period=node_monitor_grace_period,
        log_level="debug" if verbose else "info",
    )
    try:
        launched = launch.launch(options, report, interruption)
    except Refused as error:
        raise UserError(str(error)) from error
    except Interrupted as error:
        # As a shell says of a program that a signal ended.
        raise typer.Exit(128 + error.number) from None
    _tell_lab(launched, time.monotonic() - started, wanted_port=port)
    if not detach:
        _stay(launched, interruption)


def _check_built(ip_families: str, proxy_mode: str) -> None:
    from fairlead.lab import addressing

    try:
        families = addressing.families(_split(ip_families))
    except ValueError as error:
        raise UserError(f"--ip-families {ip_families}: {error}") from error
    if addressing.IPV6 in families and not Path("/proc/sys/net/ipv6").exists():
        raise UserError(
            f"--ip-families {ip_families}: the kernel has no IPv6 here (is it off by ipv6.disable=1?)"
        )
    from fairlead.proxy import modes
    from fairlead.proxy.dataplane import Unusable

    try:
        modes.load(proxy_mode).available()
    except (ValueError, Unusable) as error:
        raise UserError(f"--proxy-mode {proxy_mode}: {error}") from error


def _tell_step(made: str, seconds: float) -> None:
    print(f"  {seconds:5.2f} s  {made}", flush=True)


def _tell_lab(launched: Launched, seconds: float, wanted_port: int) -> None:
    from fairlead.lab import topology

    record, option = launched.record, launched.directory.option
    if not wanted_port and record.port != topology.API_PORT:
        print(f"Port {topology.API_PORT} of this machine is taken: the API server is on {record.port}.")
    path = Path(record.kubeconfig)
    shown = path.name if path.parent == Path.cwd() else str(path)
    print(
        f"The lab is ready after {seconds:.1f} s. Try:\n"
        f"  kubectl --kubeconfig {shown} get nodes,pods,svc -A -o wide\n"
        f"  kubectl --kubeconfig {shown} apply -f examples/\n"
        f"  fairlead lab exec{option} node/node1 -- ip route\n"
        f"  fairlead lab status{option}",
        flush=True,
    )


def _stay(launched: Launched, interruption: Interruption) -> None:
    """Waits for the lab's end or for a signal, which removes it. That is how it is meant to end: status 0."""
    from fairlead.lab import launch
    from fairlead.lab.interruption import Interrupted

    print("Ctrl-C removes it.", flush=True)
    try:
        launched.keeper.is_over(None, interruption)
        print("The lab has been removed.")
    except Interrupted:
        # A closed terminal takes no more words, which must not keep the lab from being removed.
        with contextlib.suppress(OSError):
            print("Removing the lab ...", file=sys.stderr, flush=True)
        found = launch.undo(launched.directory, launched.keeper)
        with contextlib.suppress(OSError):
            _tell_removed(found)


@app.command()
def down(name: Name = "default") -> None:
    """Remove a lab, or what a killed one left behind. Status 0 also when there is none."""
    from fairlead.lab import removal

    directory = directory_of(name)
    found = removal.down(directory)
    if not found:
        print(f"There is no lab named {name!r}: nothing to remove.")
        return
    _tell_removed(found)


def _tell_removed(found: Removed) -> None:
    for what, names in (("process", found.processes), ("namespace", found.namespaces), ("file", found.files)):
        if names:
            plural = {"process": "processes", "file": "files"}.get(what, what + "s")
            print(f"Removed {len(names)} {what if len(names) == 1 else plural}: {', '.join(names)}")


@app.command()
def status(name: Name = "default") -> None:
    """Show a lab: its nodes, addresses and processes. Status 1 when there is none."""
    from fairlead.cli.status import show
    from fairlead.lab.state import NoLab

    directory = directory_of(name)
    try:
        record = directory.read()
    except NoLab as error:
        print(f"fairlead: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    if not show(directory, record):
        raise typer.Exit(1)


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    target: Annotated[
        str, typer.Argument(help="node/NAME, pod/NAME, pod/NAMESPACE/NAME or outside.", metavar="WHERE")
    ],
    command: Annotated[
        list[str], typer.Argument(help="The command with its arguments.", metavar="COMMAND...")
    ],
    name: Name = "default",
) -> None:
    """Run a command on a node, in a pod or outside the cluster; its exit status is this one's."""
    from fairlead.lab import execution
    from fairlead.lab.network import Refused
    from fairlead.lab.state import NoLab

    words = command[1:] if command[:1] == ["--"] else command
    if not words:
        raise UserError("no command to run: give one after --")
    try:
        raise typer.Exit(execution.execute(directory_of(name), target, words))
    except (Refused, NoLab) as error:
        raise UserError(str(error)) from error
