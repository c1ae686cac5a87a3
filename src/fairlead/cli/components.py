"""The commands that run one component in the foreground, against any Kubernetes API."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.refusal import UserError

if TYPE_CHECKING:
    from fairlead.client.api import Api
    from fairlead.client.kubeconfig import Config
    from fairlead.process import Health
    from fairlead.proxy.server import ProxyConfig

Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="How to reach the API server.",
        show_default="$KUBECONFIG, ~/.kube/config, or the pod's ServiceAccount",
    ),
]
Context = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="The kubeconfig's context.", show_default="the kubeconfig's current one"
    ),
]
SWITCHES = ("anonymous-auth",)
"""Options that upstream's manifests set as `--NAME=true` or `--NAME=false`."""

Level = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]


def health_option(where: str) -> Any:
    """Where a component serves its health."""
    return typer.Option(
        "--health", metavar="ADDRESS:PORT", help=f"Where to serve {where}; 'none' for nowhere."
    )


def _address(value: str) -> tuple[str, int]:
    """ADDRESS:PORT, or [ADDRESS]:PORT, as two."""
    address, _, port = value.rpartition(":")
    address = address.strip("[]")
    try:
        ipaddress.ip_address(address)
        number = int(port)
    except ValueError:
        raise UserError(f"{value!r} is no address with a port, such as 127.0.0.1:10256") from None
    if not 0 <= number <= 65535:
        raise UserError(f"{value!r}: a port is at most 65535")
    return address, number


def _listen(value: str) -> socket.socket:
    from fairlead.process import listener

    try:
        return listener(*_address(value))
    except OSError as error:
        raise UserError(str(error.strerror or error)) from error


def _check_level(level: str) -> None:
    if level not in ("debug", "info", "warning", "error"):
        raise UserError(f"--log-level {level}: use debug, info, warning or error")


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

    _check_level(level)
    config = _credentials(kubeconfig, context)
    sock = None if health_at == "none" else _listen(health_at)
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


def _credentials(kubeconfig: Path | None, context: str = "") -> Config:
    """How to reach the API server, by way of a proxy if the environment asks for one."""
    from fairlead.client.kubeconfig import KubeconfigError, load, through_proxy

    try:
        return through_proxy(load(kubeconfig, context), os.environ)
    except KubeconfigError as error:
        raise UserError(str(error)) from error


def scheduler(
    kubeconfig: Kubeconfig = None,
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10259",
    log_level: Level = "info",
) -> None:
    """Run the scheduler: pods without a node get one."""
    from fairlead.workloads import scheduler as room

    run_component("scheduler", log_level, kubeconfig, health, room.run)


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
            help="Networks of the node's addresses that open node ports, as A,B.",
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
        cluster_cidrs=_networks("--cluster-cidr", cluster_cidr),
        service_cidrs=_networks("--service-cidr", service_cidr),
        detect_local_mode=detect_local_mode,
        pod_bridge_interface=pod_bridge_interface,
        pod_interface_name_prefix=pod_interface_name_prefix,
        masquerade_all=masquerade_all,
        masquerade_bit=masquerade_bit,
        nodeport_addresses=_networks("--nodeport-addresses", nodeport_addresses),
        ipvs=IpvsOptions(
            ipvs_scheduler,
            _networks("--ipvs-exclude-cidrs", ipvs_exclude_cidrs),
            ipvs_strict_arp,
            _seconds("--ipvs-sync-period", ipvs_sync_period),
            _seconds("--ipvs-min-sync-period", ipvs_min_sync_period),
            _seconds("--ipvs-tcp-timeout", ipvs_tcp_timeout),
            _seconds("--ipvs-tcpfin-timeout", ipvs_tcpfin_timeout),
            _seconds("--ipvs-udp-timeout", ipvs_udp_timeout),
        ),
        conntrack=ConntrackOptions(
            max_per_core=conntrack_max_per_core,
            min=conntrack_min,
            tcp_timeout_established=_seconds(
                "--conntrack-tcp-timeout-established", conntrack_tcp_timeout_established
            ),
            tcp_timeout_close_wait=_seconds(
                "--conntrack-tcp-timeout-close-wait", conntrack_tcp_timeout_close_wait
            ),
            tcp_be_liberal=conntrack_tcp_be_liberal,
            udp_timeout=_seconds("--conntrack-udp-timeout", conntrack_udp_timeout),
            udp_timeout_stream=_seconds("--conntrack-udp-timeout-stream", conntrack_udp_timeout_stream),
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
            healthz=None if healthz in ("none", "") else _listen(healthz),
            metrics=None if metrics in ("none", "") else _listen(metrics),
        )
        run_component(
            "proxy", log_level, kubeconfig, "none", lambda api, state: server.run(api, settings, state)
        )
    except (Unusable, Refused) as error:
        raise UserError(str(error)) from error


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

    _check_level(log_level)
    given = {"listen": listen, "domain": domain, "workers": workers}
    named = [f"--{name}" for name, value in given.items() if value is not None]
    if config is not None and named:
        raise UserError(f"fairlead dns: {', '.join(named)} and --config: write it into the file instead")
    try:
        settings = (
            configfile.read(config)
            if config is not None
            else server.DnsConfig(
                listen=(_address(listen or "0.0.0.0:53"),),
                domain=domain or "cluster.local",
                workers=workers or 1,
            )
        )
    except ValueError as error:
        raise UserError(f"fairlead dns: {error}") from error
    credentials = _credentials(kubeconfig)
    configure_logging("dns", log_level)
    raise typer.Exit(server.serve(settings, credentials, expose=expose, path=config))


def node(
    pod_cidr: Annotated[str, typer.Option(help="Where the node's pods get their addresses, as A,B.")],
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
    cluster_dns: Annotated[str, typer.Option(help="The DNS server that pods ask.")] = "10.96.0.10",
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
    health: Annotated[str, health_option("/healthz, /readyz and /metrics")] = "127.0.0.1:10248",
    log_level: Level = "info",
) -> None:
    """Run the node's agent: pods as processes of this host."""
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
        pod_cidrs=_cidrs("--pod-cidr", pod_cidr),
        labels={},
        state_directory=directory.absolute(),
        images=merge(own, builtin(), {"fairlead/dns": Image(entrypoint=("dns",), run=run_in_pod)}),
        cluster_dns=(cluster_dns,),
        cluster_domain=domain,
        kubelet=KubeletConfig(port, tls_cert_file, tls_private_key_file, client_ca_file) if port else None,
    )
    try:
        run_component("node", log_level, kubeconfig, health, lambda api, state: agent.run(api, config, state))
    except agent.OccupiedError as error:
        raise UserError(str(error)) from error


def apiserver(
    directory: Annotated[
        Path, typer.Option(metavar="DIRECTORY", help="Where certificates, tokens and the store are kept.")
    ] = Path("fairlead-apiserver"),
    store: Annotated[
        str,
        typer.Option(
            metavar="STORE", help="sqlite:PATH or etcd:URL[,URL...].", show_default="a file in the directory"
        ),
    ] = "",
    etcd_cafile: Annotated[str, typer.Option(metavar="FILE", help="The authority of etcd's members.")] = "",
    etcd_certfile: Annotated[str, typer.Option(metavar="FILE", help="Our certificate for etcd.")] = "",
    etcd_keyfile: Annotated[str, typer.Option(metavar="FILE", help="The key of that certificate.")] = "",
    etcd_prefix: Annotated[
        str, typer.Option(metavar="PATH", help="What all keys in etcd begin with.", show_default="/fairlead")
    ] = "",
    etcd_compaction_interval: Annotated[
        str,
        typer.Option(metavar="SECONDS", help="How often etcd is compacted; 0: never.", show_default="300"),
    ] = "",
    listen: Annotated[str, typer.Option(metavar="ADDRESS:PORT", help="Where to serve.")] = "127.0.0.1:6443",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write the kubeconfig.", show_default="a file in the directory"
        ),
    ] = None,
    service_cluster_ip_range: Annotated[
        str,
        typer.Option(
            metavar="CIDR[,CIDR]",
            help="Where ClusterIPs are taken from, one CIDR a family, the default first.",
        ),
    ] = "10.96.0.0/16",
    service_node_port_range: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="Where node ports are taken from.")
    ] = "30000-32767",
    client_ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Whose client certificates say who a user is.",
            show_default="the directory's own authority",
        ),
    ] = None,
    token_auth_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='More users, as lines of token,user,uid,"group1,group2".'),
    ] = None,
    service_account_signing_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="PEM keys for the tokens of ServiceAccounts: the first signs, all verify.",
            show_default="a key in the directory",
        ),
    ] = None,
    service_account_key_file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="More PEM keys, public or private, by which such tokens are good; may be given several times.",
        ),
    ] = None,
    service_account_issuer: Annotated[
        str, typer.Option(metavar="URL", help="Who such tokens say has made them.")
    ] = "https://kubernetes.default.svc.cluster.local",
    api_audiences: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Whom tokens have to be for, to be good here.", show_default="the issuer"
        ),
    ] = "",
    authorization_mode: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Who decides, in order: Node, RBAC, AlwaysAllow. One that allows is enough."
        ),
    ] = "Node,RBAC",
    kubelet_client_certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="By which certificate nodes know this server.",
            show_default="one of the directory's own authority",
        ),
    ] = None,
    kubelet_client_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key of that certificate.")
    ] = None,
    kubelet_certificate_authority: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Who signs the nodes' certificates.", show_default="they are not looked at"
        ),
    ] = None,
    anonymous_auth: Annotated[
        bool, typer.Option(help="Whether requests without credentials are those of system:anonymous.")
    ] = True,
    log_level: Level = "info",
) -> None:
    """Run the API server; certificates, a token and a kubeconfig are made on the first start."""
    from fairlead.apiserver.access.authorization import authorization_modes
    from fairlead.apiserver.access.gate import AccessConfig
    from fairlead.apiserver.certificates import KUBELET_CLIENT, make_authority, make_signing_key
    from fairlead.apiserver.connect.backends import KubeletClient
    from fairlead.apiserver.server import ServerConfig, serve
    from fairlead.client import kubeconfig as kubeconfigs
    from fairlead.process import Health, configure_logging, run
    from fairlead.store import check
    from fairlead.store.etcd.address import with_options

    _check_level(log_level)
    etcd = {
        "cafile": etcd_cafile,
        "certfile": etcd_certfile,
        "keyfile": etcd_keyfile,
        "prefix": etcd_prefix,
        "compaction": etcd_compaction_interval,
    }
    try:
        store = with_options(store, etcd)
        if store:
            check(store)
    except ValueError as error:
        raise UserError(f"--store {store}: {error}" if store else f"--etcd-{error}") from error
    try:
        authorization_modes(authorization_mode)
    except ValueError as error:
        raise UserError(f"--authorization-mode {authorization_mode}: {error}") from error
    for option, file in (
        ("--client-ca-file", client_ca_file),
        ("--token-auth-file", token_auth_file),
        ("--service-account-signing-key-file", service_account_signing_key_file),
        ("--kubelet-client-certificate", kubelet_client_certificate),
        ("--kubelet-client-key", kubelet_client_key),
        ("--kubelet-certificate-authority", kubelet_certificate_authority),
        *(("--service-account-key-file", file) for file in service_account_key_file or ()),
    ):
        if file is not None and not os.access(file, os.R_OK):
            raise UserError(f"{option} {file}: this file cannot be read")
    address, _ = _address(listen)
    cidrs = _service_networks("--service-cluster-ip-range", service_cluster_ip_range)
    node_ports = _port_range("--service-node-port-range", service_node_port_range)
    first = ipaddress.ip_network(cidrs[0])[1]
    sock = _listen(listen)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = make_authority(directory)
        names = (
            "localhost",
            socket.gethostname(),
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        )
        addresses = ["127.0.0.1", str(first)] + ([] if address in ("0.0.0.0", "::") else [address])  # noqa: S104
        certificate, key = authority.issue(directory, "apiserver", tuple(dict.fromkeys(addresses)), names)
        token = _token(directory / "tokens.csv")
        known = authority.introduce(directory, "apiserver-kubelet-client", KUBELET_CLIENT)
        make_signing_key(directory / "sa.key")
        reached = "127.0.0.1" if address in ("0.0.0.0", "::") else address  # noqa: S104
        shown = f"[{reached}]" if ":" in reached else reached
        written = kubeconfig or directory / "admin.kubeconfig"
        kubeconfigs.write(
            written, f"https://{shown}:{sock.getsockname()[1]}", authority.path.read_bytes(), token
        )
    except OSError as error:
        raise UserError(f"{error.filename or directory} cannot be written: {error.strerror}") from error
    config = ServerConfig(
        store=store or f"sqlite:{directory.absolute()}/store.sqlite",
        service_cidrs=cidrs,
        node_port_range=node_ports,
        certificate=certificate,
        key=key,
        authority=authority.path,
        tokens=directory / "tokens.csv",
        access=AccessConfig(
            client_ca_file=client_ca_file or authority.path,
            token_auth_file=token_auth_file,
            service_account_signing_key_file=service_account_signing_key_file or directory / "sa.key",
            service_account_key_file=tuple(service_account_key_file or ()),
            service_account_issuer=service_account_issuer,
            api_audiences=tuple(filter(None, api_audiences.split(","))),
            authorization_mode=authorization_mode,
            anonymous_auth=anonymous_auth,
        ),
        kubelets=KubeletClient(
            kubelet_client_certificate=kubelet_client_certificate or known[0],
            kubelet_client_key=kubelet_client_key or known[1],
            kubelet_certificate_authority=kubelet_certificate_authority,
        ),
        # An Endpoints object may hold no loopback address.
        advertise_address="" if ipaddress.ip_address(reached).is_loopback else reached,
        advertise_port=sock.getsockname()[1],
    )
    configure_logging("apiserver", log_level)
    typer.echo(f"kubeconfig: {written}")
    raise typer.Exit(run(lambda: serve(config, [sock], Health())))


def _token(path: Path) -> str:
    """The first token of the file, which is made with one for an administrator if it is not there."""
    if path.exists():
        return path.read_text().split(",", 1)[0]
    token = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'{token},kubernetes-admin,0,"system:masters"\n')
    return token


def _cidrs(option: str, value: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in value.split(","))
    for cidr in found:
        try:
            if ipaddress.ip_network(cidr).version != 4:
                raise UserError(f"{option} {value}: only IPv4 is built yet")
        except ValueError as error:
            raise UserError(f"{option} {value}: {error}") from error
    return found


def _networks(option: str, value: str) -> tuple[str, ...]:
    """Networks of either family, as A,B; none of an empty text."""
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    for cidr in found:
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise UserError(f"{option} {value}: {error}") from error
    return found


def _seconds(option: str, value: str) -> int:
    """A time as Kubernetes writes it: 24h, 1h30m, 45s, 0."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", value) if value else None
    if parts is None:
        raise UserError(f"{option} {value}: this is no time such as 24h, 90m or 30s")
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


def _service_networks(option: str, value: str) -> tuple[str, ...]:
    """One network, or one of each family, from which addresses of Services can be given."""
    found = []
    for part in value.split(","):
        try:
            found.append(ipaddress.ip_network(part.strip()))
        except ValueError as error:
            raise UserError(f"{option} {value}: {error}") from error
    if len({network.version for network in found}) < len(found):
        raise UserError(f"{option} {value}: give one network of a family; add others as ServiceCIDR objects")
    for network in found:
        if network.version == 6 and network.prefixlen < 64:
            raise UserError(f"{option} {value}: an IPv6 network for Services is /64 at most")
        if network.num_addresses < 4:
            raise UserError(f"{option} {value}: {network} has no room for Services")
    return tuple(map(str, found))


def _port_range(option: str, value: str) -> tuple[int, int]:
    first, _, last = value.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
        raise UserError(f"{option} {value}: give a range of ports such as 30000-32767")
    return int(first), int(last)


COMMANDS: tuple[Callable[..., None], ...] = (apiserver, scheduler, proxy, dns, node)
"""In the order of the help."""
