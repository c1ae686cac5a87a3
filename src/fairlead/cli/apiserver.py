"""The command that runs the API server."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.options import (
    Level,
    address_of,
    check_level,
    listen_at,
    port_range,
    service_networks,
    store_option,
    written_kubeconfig,
)
from fairlead.cli.refusal import UserError


def apiserver(
    directory: Annotated[
        Path, typer.Option(metavar="DIRECTORY", help="Where certificates, tokens and the store are kept.")
    ] = Path("fairlead-apiserver"),
    store: Annotated[str, store_option(default="a file in the directory")] = "",
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
    kubeconfig: Annotated[Path | None, written_kubeconfig("a file in the directory")] = None,
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

    check_level(log_level)
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
    address, _ = address_of(listen)
    cidrs = service_networks("--service-cluster-ip-range", service_cluster_ip_range)
    node_ports = port_range("--service-node-port-range", service_node_port_range)
    first = ipaddress.ip_network(cidrs[0])[1]
    sock = listen_at(listen)
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
