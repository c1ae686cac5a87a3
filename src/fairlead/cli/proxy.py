"""The command that runs the node's proxy, with kube-proxy's flags and its configuration file."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.component import run_component
from fairlead.cli.options import Kubeconfig, Level, duration, listen_at, networks
from fairlead.cli.refusal import UserError

if TYPE_CHECKING:
    from fairlead.proxy.server import ProxyConfig


def proxy(
    kubeconfig: Kubeconfig = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A KubeProxyConfiguration, in YAML; what it says wins over flags, but for the node's name.",
        ),
    ] = None,
    node_name: Annotated[
        str,
        typer.Option(
            "--node-name",
            "--hostname-override",
            help="The node that this is.",
            show_default="the host's name",
        ),
    ] = "",
    proxy_mode: Annotated[
        str, typer.Option("--proxy-mode", "--mode", help="What to program: nftables, iptables or ipvs.")
    ] = "nftables",
    detect_local_mode: Annotated[
        str,
        typer.Option(
            help="How the node's own pods are told: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix."
        ),
    ] = "ClusterCIDR",
    cluster_cidr: Annotated[str, typer.Option(help="Where pods live, as A,B.")] = "10.244.0.0/16",
    pod_bridge_interface: Annotated[str, typer.Option(help="The bridge of the node's pods.")] = "",
    pod_interface_name_prefix: Annotated[
        str, typer.Option(help="How the names of the interfaces of the node's pods begin.")
    ] = "",
    service_cidr: Annotated[
        str, typer.Option(help="Where ClusterIPs are taken from, as A,B.")
    ] = "10.96.0.0/16",
    nodeport_addresses: Annotated[
        str,
        typer.Option(
            help="Networks of the node's addresses that open node ports, as A,B; or 'primary'.",
            show_default="nftables: the primary address; iptables and ipvs: all",
        ),
    ] = "",
    masquerade_all: Annotated[
        bool,
        typer.Option("--masquerade-all", help="Give all that is sent to ClusterIPs the node's address."),
    ] = False,
    masquerade_bit: Annotated[
        int,
        typer.Option(
            "--masquerade-bit",
            "--iptables-masquerade-bit",
            min=0,
            max=31,
            help="The mark's bit that says so.",
        ),
    ] = 14,
    nftables_table_owner: Annotated[
        bool,
        typer.Option(
            help="Let nobody else change the table of the mode nftables while this runs (Linux 6.9)."
        ),
    ] = True,
    ipvs_scheduler: Annotated[
        str, typer.Option(help="How ipvs chooses among endpoints: the kernel's module ip_vs_SCHEDULER.")
    ] = "rr",
    ipvs_exclude_cidrs: Annotated[
        str, typer.Option(help="Networks whose virtual servers ipvs leaves alone, as A,B.")
    ] = "",
    ipvs_strict_arp: Annotated[
        bool, typer.Option("--ipvs-strict-arp", help="Let the node answer ARP for no Service's address.")
    ] = False,
    ipvs_sync_period: Annotated[
        str, typer.Option(metavar="TIME", help="How often ipvs compares all that the kernel holds.")
    ] = "30s",
    ipvs_min_sync_period: Annotated[
        str, typer.Option(metavar="TIME", help="How long ipvs waits between two changes.")
    ] = "0",
    ipvs_tcp_timeout: Annotated[str, typer.Option(metavar="TIME", help="0 leaves it.")] = "0",
    ipvs_tcpfin_timeout: Annotated[str, typer.Option(metavar="TIME", help="0 leaves it.")] = "0",
    ipvs_udp_timeout: Annotated[str, typer.Option(metavar="TIME", help="0 leaves it.")] = "0",
    conntrack_max_per_core: Annotated[
        int, typer.Option(min=0, help="Connections that are tracked, for each core; 0 leaves the limit.")
    ] = 32768,
    conntrack_min: Annotated[int, typer.Option(min=0, help="The least of that limit.")] = 131072,
    conntrack_tcp_timeout_established: Annotated[
        str, typer.Option(metavar="TIME", help="As 24h, 90m or 30s; 0 leaves it.")
    ] = "24h",
    conntrack_tcp_timeout_close_wait: Annotated[str, typer.Option(metavar="TIME", help="Likewise.")] = "1h",
    conntrack_tcp_be_liberal: Annotated[
        bool, typer.Option("--conntrack-tcp-be-liberal", help="Track packets outside of the window as valid.")
    ] = False,
    conntrack_udp_timeout: Annotated[str, typer.Option(metavar="TIME", help="0 leaves it.")] = "0",
    conntrack_udp_timeout_stream: Annotated[str, typer.Option(metavar="TIME", help="0 leaves it.")] = "0",
    traffic_metrics: Annotated[
        str,
        typer.Option(
            help="What /metrics says of each Service's endpoints: none, connections, or bytes as well."
        ),
    ] = "none",
    cleanup: Annotated[
        bool, typer.Option("--cleanup", help="Remove all that the proxy put into the kernel, then end.")
    ] = False,
    dry_run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Print the rules for the Services, EndpointSlices and Nodes in a directory of manifests, then end.",
        ),
    ] = None,
    healthz: Annotated[
        str,
        typer.Option(
            "--healthz-bind-address",
            "--health",
            metavar="ADDRESS:PORT",
            help="Where to serve /healthz, /livez, /readyz and /metrics; 'none' for nowhere.",
        ),
    ] = "0.0.0.0:10256",
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics-bind-address",
            metavar="ADDRESS:PORT",
            help="Where to serve /metrics and /proxyMode; 'none' for nowhere.",
        ),
    ] = "127.0.0.1:10249",
    log_level: Level = "info",
) -> None:
    """Run the node's proxy: Services into the kernel."""
    flags = locals()
    if config is not None:
        proxy(**{**flags, **_proxy_configuration(config, proxy_mode, node_name), "config": None})
        return
    from fairlead.proxy import modes, server
    from fairlead.proxy.dataplane import Refused, Unusable
    from fairlead.proxy.options import IpvsOptions
    from fairlead.proxy.sysctls import ConntrackOptions
    from fairlead.proxy.traffic import Counted

    try:
        mode = modes.load(proxy_mode)
    except ValueError as error:
        raise UserError(f"--proxy-mode {proxy_mode}: {error}") from error
    if detect_local_mode not in server.LOCAL_MODES:
        raise UserError(f"--detect-local-mode {detect_local_mode}: use {', '.join(server.LOCAL_MODES)}")
    if traffic_metrics not in {counted.value for counted in Counted}:
        raise UserError(f"--traffic-metrics {traffic_metrics}: use none, connections or bytes")
    if traffic_metrics != "none" and proxy_mode == "ipvs":
        raise UserError("--traffic-metrics: the kernel does not mark the connections that IPVS translates")
    for wanted, option, value in (
        ("BridgeInterface", "--pod-bridge-interface", pod_bridge_interface),
        ("InterfaceNamePrefix", "--pod-interface-name-prefix", pod_interface_name_prefix),
    ):
        if detect_local_mode == wanted and not value:
            raise UserError(f"--detect-local-mode {wanted} needs {option}")
        if len(value) > 15 or not all(c.isalnum() or c in "-_.@:" for c in value):
            raise UserError(f"{option} {value}: this is no interface's name")
    settings = server.ProxyConfig(
        node_name=(node_name or socket.gethostname()).strip().lower(),
        mode=proxy_mode,
        families=server.families(),
        cluster_cidrs=networks("--cluster-cidr", cluster_cidr),
        service_cidrs=networks("--service-cidr", service_cidr),
        detect_local_mode=detect_local_mode,
        pod_bridge_interface=pod_bridge_interface,
        pod_interface_name_prefix=pod_interface_name_prefix,
        masquerade_all=masquerade_all,
        masquerade_bit=masquerade_bit,
        nodeport_addresses=_node_ports("--nodeport-addresses", nodeport_addresses),
        own_table=nftables_table_owner,
        ipvs=IpvsOptions(
            ipvs_scheduler,
            networks("--ipvs-exclude-cidrs", ipvs_exclude_cidrs),
            ipvs_strict_arp,
            _seconds("--ipvs-sync-period", ipvs_sync_period),
            _seconds("--ipvs-min-sync-period", ipvs_min_sync_period),
            int(_seconds("--ipvs-tcp-timeout", ipvs_tcp_timeout)),
            int(_seconds("--ipvs-tcpfin-timeout", ipvs_tcpfin_timeout)),
            int(_seconds("--ipvs-udp-timeout", ipvs_udp_timeout)),
        ),
        conntrack=ConntrackOptions(
            max_per_core=conntrack_max_per_core,
            min=conntrack_min,
            tcp_timeout_established=int(
                _seconds("--conntrack-tcp-timeout-established", conntrack_tcp_timeout_established)
            ),
            tcp_timeout_close_wait=int(
                _seconds("--conntrack-tcp-timeout-close-wait", conntrack_tcp_timeout_close_wait)
            ),
            tcp_be_liberal=conntrack_tcp_be_liberal,
            udp_timeout=int(_seconds("--conntrack-udp-timeout", conntrack_udp_timeout)),
            udp_timeout_stream=int(_seconds("--conntrack-udp-timeout-stream", conntrack_udp_timeout_stream)),
        ),
        traffic=Counted(traffic_metrics),
    )
    if dry_run is not None:
        _preview(dry_run, settings)
        return
    try:
        if cleanup:
            server.cleanup()
            return
        # Asked now, for one sentence instead of a failure in the log later.
        mode.check()
        settings = replace(
            settings,
            healthz=None if healthz in ("none", "") else listen_at(healthz),
            metrics=None if metrics in ("none", "") else listen_at(metrics),
        )
        run_component(
            "proxy", log_level, kubeconfig, "none", lambda api, state: server.run(api, settings, state)
        )
    except (Unusable, Refused) as error:
        raise UserError(str(error)) from error
    except ExceptionGroup as group:
        said: Exception = group
        while isinstance(said, ExceptionGroup):
            said = said.exceptions[0]
        if isinstance(said, Unusable):
            raise UserError(str(said)) from group
        raise


def _proxy_configuration(file: Path, mode: str, node_name: str) -> dict[str, Any]:
    """The flags that kube-proxy's configuration file stands for."""
    from fairlead.proxy.configuration import ConfigurationError, read

    try:
        said = read(file).flags(mode)
    except ConfigurationError as error:
        raise UserError(f"--config {error}") from error
    except OSError as error:
        raise UserError(f"--config {file}: {error.strerror}") from error
    if node_name:
        said["node_name"] = node_name
    if "kubeconfig" in said:
        said["kubeconfig"] = Path(str(said["kubeconfig"]))
    return said


def _preview(directory: Path, config: ProxyConfig) -> None:
    from fairlead.proxy.manifests import ManifestError, read
    from fairlead.proxy.preview import preview

    def note(sentence: str) -> None:
        print(sentence, file=sys.stderr)

    try:
        manifests = read(directory)
        print(preview(manifests, config.node_name, config.mode, config.options(), note), end="")
    except ManifestError as error:
        raise UserError(f"--dry-run {error}") from error
    except ValueError as error:
        raise UserError(f"--dry-run --proxy-mode {config.mode}: {error}") from error


def _node_ports(option: str, value: str) -> tuple[str, ...]:
    from fairlead.proxy.options import PRIMARY

    if value.strip() == PRIMARY:
        return (PRIMARY,)
    if PRIMARY in (part.strip() for part in value.split(",")):
        raise UserError(f"{option} {value}: 'primary' can only stand alone")
    return networks(option, value)


def _seconds(option: str, value: str) -> float:
    try:
        return duration(value)
    except typer.BadParameter as error:
        raise UserError(f"{option}: {error}") from error
