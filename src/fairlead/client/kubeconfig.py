"""Where the API server is, whom to trust, who we are: kubeconfig files, read as kubectl reads them.

Source of the format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its ServiceAccount's token, authority and namespace."""


class KubeconfigError(ValueError):
    """A kubeconfig that is missing or cannot be used; says which file and which entry."""


@dataclass(frozen=True)
class Config:
    """What a client has to know. Certificates and keys are PEM; an empty `authority` means the system's.

    A `token_file` wins over `token` and is read again when it changes: ServiceAccount tokens rotate.
    """

    server: str
    authority: bytes = b""
    token: str = ""
    token_file: Path | None = None
    client_certificate: bytes = b""
    client_key: bytes = b""
    namespace: str = "default"
    server_name: str = ""
    insecure: bool = False
    disable_compression: bool = False


def load(path: Path | None = None, context: str = "") -> Config:
    """The configuration of `path`, else of $KUBECONFIG, else of ~/.kube/config, else of the pod we run in.

    $KUBECONFIG may list several files; of entries with the same name the first counts. `context` picks
    another context than the current one. Raises `KubeconfigError`.
    """
    if path is not None:
        paths = [path]
    elif os.environ.get("KUBECONFIG"):
        # kubectl passes over the missing ones of a list
        named = [Path(p) for p in os.environ["KUBECONFIG"].split(os.pathsep) if p]
        paths = [p for p in named if p.exists()] or named[:1]
    elif (home := Path("~/.kube/config").expanduser()).exists():
        paths = [home]
    elif os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster()
    else:
        raise KubeconfigError(
            f"no kubeconfig: give one with --kubeconfig, set KUBECONFIG, or put it at {home};"
            " inside a pod none is needed"
        )
    return _choose([(p, _read(p)) for p in paths], context)


def write(
    path: Path,
    server: str,
    authority: bytes,
    token: str,
    *,
    name: str = "fairlead",
    namespace: str = "default",
) -> None:
    """Writes a kubeconfig with one context, `name`, and makes it current; replaces what was there.

    Nobody but the owner can read it at any moment, and a reader sees the old file or the new one.
    """
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority).decode(),
                    # compressing for a reader on the same machine costs more than it saves
                    "disable-compression": True,
                },
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}."
    )  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(data, file, sort_keys=False)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _read(path: Path) -> Mapping[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise KubeconfigError(f"cannot read the kubeconfig {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"the kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise KubeconfigError(f"the kubeconfig {path} is empty")
    return data


def _choose(files: list[tuple[Path, Mapping[str, Any]]], context: str) -> Config:
    current = context or next((str(d["current-context"]) for _, d in files if d.get("current-context")), "")
    where = os.pathsep.join(str(p) for p, _ in files)
    if not current:
        raise KubeconfigError(
            f"the kubeconfig {where} has no current-context: choose one with kubectl config"
        )
    _, chosen = _entry(files, where, "contexts", "context", current)
    cluster_at, cluster = _entry(files, where, "clusters", "cluster", str(chosen.get("cluster", "")))
    user_at, user = (
        _entry(files, where, "users", "user", str(chosen["user"])) if chosen.get("user") else (cluster_at, {})
    )
    for unknown in ("exec", "auth-provider"):
        if user.get(unknown):
            raise KubeconfigError(
                f'user "{chosen["user"]}" of the kubeconfig {user_at} logs in by "{unknown}",'
                " which is not supported: use a token, a tokenFile or a client certificate"
            )
    if cluster.get("proxy-url"):
        raise KubeconfigError(
            f'cluster "{chosen["cluster"]}" of the kubeconfig {cluster_at} has a proxy-url: not supported'
        )
    if not cluster.get("server"):
        raise KubeconfigError(f'cluster "{chosen["cluster"]}" of the kubeconfig {cluster_at} has no server')
    token_file = user.get("tokenFile")
    return Config(
        server=str(cluster["server"]).rstrip("/"),
        authority=_material(cluster_at, cluster, "certificate-authority"),
        token=str(user.get("token") or ""),
        token_file=user_at.parent / token_file if token_file else None,
        client_certificate=_material(user_at, user, "client-certificate"),
        client_key=_material(user_at, user, "client-key"),
        namespace=str(chosen.get("namespace") or "default"),
        server_name=str(cluster.get("tls-server-name") or ""),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        disable_compression=bool(cluster.get("disable-compression")),
    )


def _entry(
    files: list[tuple[Path, Mapping[str, Any]]], where: str, plural: str, kind: str, name: str
) -> tuple[Path, Mapping[str, Any]]:
    for path, data in files:
        for entry in data.get(plural) or ():
            if isinstance(entry, dict) and entry.get("name") == name:
                return path, entry.get(kind) or {}
    raise KubeconfigError(f'the kubeconfig {where} has no {kind} named "{name}"')


def _material(path: Path, entry: Mapping[str, Any], name: str) -> bytes:
    """The PEM under NAME-data, else in the file NAME; relative names start at the kubeconfig's folder."""
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise KubeconfigError(f"{name}-data of the kubeconfig {path} is not base64") from error
    if file := entry.get(name):
        try:
            return (path.parent / str(file)).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{name} of the kubeconfig {path}: {file}: {error.strerror}") from error
    return b""


def _in_cluster() -> Config:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        return Config(
            server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
            authority=(ACCOUNT / "ca.crt").read_bytes(),
            token_file=ACCOUNT / "token",
            namespace=(ACCOUNT / "namespace").read_text().strip() or "default",
        )
    except OSError as error:
        raise KubeconfigError(
            f"this pod has no ServiceAccount to log in with: {error.filename}: {error.strerror}"
        ) from error
