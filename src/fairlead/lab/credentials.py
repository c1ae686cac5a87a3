"""Who may speak to a lab's API server, under which name: certificates, tokens, kubeconfigs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fairlead.apiserver.access.users import account_groups, account_name
from fairlead.apiserver.certificates import make_authority, make_signing_key
from fairlead.client import kubeconfig
from fairlead.lab.topology import API_PORT, CLUSTER_DOMAIN, KUBERNETES_ADDRESS, ROUTER, Node

ADMIN = "admin"
CONTROLLERS = "controllers"
DNS = "dns"
PROXY = "proxy"


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
        ADMIN: ("kubernetes-admin", ("system:masters",)),
        CONTROLLERS: _account("fairlead-endpoints"),
        "scheduler": ("system:kube-scheduler", ()),
        PROXY: ("system:kube-proxy", ()),
        DNS: _account("fairlead-dns"),
    }
    for node in nodes:
        found[node.name] = (f"system:node:{node.name}", ("system:nodes",))
    return found


def _account(name: str) -> tuple[str, tuple[str, ...]]:
    """The user name and groups of a ServiceAccount in kube-system."""
    return account_name("kube-system", name), account_groups("kube-system")


def make(directory: Path, nodes: Iterable[Node]) -> tuple[Credentials, str]:
    """Writes everything below `directory`; gives where it is, and the administrator's token."""
    made = Credentials(directory)
    (directory / "pki").mkdir(mode=0o700, exist_ok=True)
    (directory / "kubeconfigs").mkdir(mode=0o700, exist_ok=True)
    services = ("kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}")
    make_authority(directory / "pki").issue(
        directory / "pki",
        "apiserver",
        ("127.0.0.1", ROUTER, KUBERNETES_ADDRESS),
        ("localhost", "kubernetes", "kubernetes.default", *services),
    )
    make_signing_key(made.account_key)
    authority = made.authority.read_bytes()
    lines, tokens = [], {}
    for number, (short, (name, groups)) in enumerate(users(nodes).items()):
        tokens[short] = secrets.token_urlsafe(32)
        lines.append(f'{tokens[short]},{name},{number},"{",".join(groups)}"\n')
        kubeconfig.write(made.kubeconfig(short), f"https://{ROUTER}:{API_PORT}", authority, tokens[short])
    descriptor = os.open(made.tokens, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(lines)
    return made, tokens[ADMIN]
