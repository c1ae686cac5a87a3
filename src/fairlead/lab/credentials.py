"""Who may speak to a lab's API server, under which name: certificates, tokens, kubeconfigs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead.apiserver.certificates import KUBELET_CLIENT, Authority, make_authority, make_signing_key
from fairlead.client import kubeconfig
from fairlead.lab.addressing import IPV4, Family
from fairlead.lab.topology import API_PORT, CLUSTER_DOMAIN, Node

ADMIN = "admin"
CONTROLLERS = "controllers"
LOADBALANCER = "loadbalancer"
PROXY = "proxy"
SCHEDULER = "scheduler"
SPEAKER = "speaker"
WORKLOADS = "workloads"


def url(family: Family) -> str:
    """Where the server is for what runs in the lab."""
    host = f"[{family.router}]" if family.version == 6 else family.router
    return f"https://{host}:{API_PORT}"


@dataclass(frozen=True)
class Credentials:
    """The files that were made, all in the lab's state directory; and what the user's kubeconfig needs."""

    directory: Path

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.directory / "pki/ca.crt"

    @property
    def certificate(self) -> Path:
        """The API server's certificate."""
        return self.directory / "pki/apiserver.crt"

    @property
    def key(self) -> Path:
        """The API server's key."""
        return self.directory / "pki/apiserver.key"

    @property
    def kubelet_client_certificate(self) -> Path:
        """The API server's certificate for the nodes' servers."""
        return self.directory / "pki/apiserver-kubelet-client.crt"

    @property
    def kubelet_client_key(self) -> Path:
        """The key of that certificate."""
        return self.directory / "pki/apiserver-kubelet-client.key"

    @property
    def account_key(self) -> Path:
        """The key that signs the tokens of ServiceAccounts."""
        return self.directory / "pki/sa.key"

    @property
    def tokens(self) -> Path:
        """Who has which token, in the form of kube-apiserver's --token-auth-file."""
        return self.directory / "tokens.csv"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a component, or of `admin`: the nodes' address of the server in it."""
        return self.directory / "kubeconfigs" / f"{user}.kubeconfig"


def users(nodes: Iterable[Node]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The user name and groups of each component, as kubeadm gives them."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {
        CONTROLLERS: ("system:fairlead-endpoints", ()),
        LOADBALANCER: ("system:fairlead-loadbalancer", ()),
        SCHEDULER: ("system:kube-scheduler", ()),
        PROXY: ("system:kube-proxy", ()),
        SPEAKER: ("system:fairlead-speaker", ()),
        WORKLOADS: ("system:fairlead-workloads", ()),
    }
    for node in nodes:
        found[node.name] = (f"system:node:{node.name}", ("system:nodes",))
    return found


def make(
    directory: Path, nodes: Iterable[Node], families: Sequence[Family] = (IPV4,)
) -> tuple[Credentials, str]:
    """Writes everything below `directory`; gives where it is, and the administrator's token.

    Components are known by certificates; what runs in a pod, by the token that its node's agent gets for it.
    """
    made = Credentials(directory)
    (directory / "pki").mkdir(mode=0o700, exist_ok=True)
    (directory / "kubeconfigs").mkdir(mode=0o700, exist_ok=True)
    services = ("kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}")
    authority = make_authority(directory / "pki")
    authority.issue(
        directory / "pki",
        "apiserver",
        ("127.0.0.1", *(address for family in families for address in (family.router, family.kubernetes))),
        ("localhost", "kubernetes", "kubernetes.default", *services),
    )
    authority.introduce(directory / "pki", "apiserver-kubelet-client", KUBELET_CLIENT)
    make_signing_key(made.account_key)
    for short, (name, groups) in users(nodes).items():
        _write(made, authority, families[0], short, name, groups)
    token = secrets.token_urlsafe(32)
    kubeconfig.write(made.kubeconfig(ADMIN), url(families[0]), authority.pem, token)
    descriptor = os.open(made.tokens, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f'{token},kubernetes-admin,0,"system:masters"\n')
    return made, token


def make_node(directory: Path, node: Node, families: Sequence[Family]) -> None:
    """Writes what a node needs that comes later, below `directory`."""
    made, authority = Credentials(directory), make_authority(directory / "pki")
    name, groups = users((node,))[node.name]
    _write(made, authority, families[0], node.name, name, groups)


def _write(
    made: Credentials, authority: Authority, family: Family, short: str, name: str, groups: tuple[str, ...]
) -> None:
    known = authority.know(name, groups)
    kubeconfig.write(made.kubeconfig(short), url(family), authority.pem, certificate=known)
