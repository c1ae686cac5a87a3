"""Where the API server is, whom to trust, who we are: kubeconfig files, read as kubectl reads them.

Source of the format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import yaml

from fairlead import files
from fairlead.client.kubeconfigshapes import SHAPES
from fairlead.client.proxies import ProxyError, environment_proxy, proxy_address

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its ServiceAccount's token, authority and namespace."""


DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The one in C writes a kubeconfig in 0.5 ms instead of 6, where there is one."""

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
EXEC_EXTENSION = "client.authentication.k8s.io/exec"
"""The extension of a cluster that its login plugin is told about."""


class KubeconfigError(ValueError):
    """A kubeconfig that is missing or cannot be used; says which file and which entry."""


@dataclass(frozen=True)
class ExecPlugin:
    """A program that logs us in: what it prints is a token, or a certificate with its key."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    provide_cluster_info: bool = False
    install_hint: str = ""
    cluster_config: Any = None


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
    proxy: str = ""
    """The HTTP proxy on the way to the server."""
    authority_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    """Where the PEM came from; it is read again when a file changes."""
    exec: ExecPlugin | None = None
    impersonate: tuple[tuple[str, str], ...] = ()
    """Headers that ask the server to take us for somebody else."""


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


def through_proxy(config: Config, environment: Mapping[str, str]) -> Config:
    """The same by way of the proxy that the environment asks for, unless the kubeconfig names one.

    Raises `KubeconfigError`.
    """
    if config.proxy:
        return config
    try:
        return replace(config, proxy=environment_proxy(config.server, environment))
    except ProxyError as error:
        raise KubeconfigError(str(error)) from error


def write(
    path: Path,
    server: str,
    authority: bytes,
    token: str = "",
    *,
    certificate: tuple[bytes, bytes] | None = None,
    name: str = "fairlead",
    namespace: str = "default",
) -> None:
    """Writes a kubeconfig with one context, `name`, and makes it current; replaces what was there.

    Who we are is a token, or a certificate with its key (both PEM).

    Nobody but the owner can read it at any moment, and a reader sees the old file or the new one.
    """
    user = {"token": token}
    if certificate is not None:
        pem, key = (base64.b64encode(part).decode() for part in certificate)
        user = {"client-certificate-data": pem, "client-key-data": key}
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
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, yaml.dump(data, Dumper=DUMPER, sort_keys=False).encode())


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
    for unknown in ("auth-provider", "username"):
        if user.get(unknown):
            raise KubeconfigError(
                f'user "{chosen["user"]}" of the kubeconfig {user_at} logs in by "{unknown}",'
                " which is not supported: use a token, a tokenFile, a client certificate or an exec plugin"
            )
    where = f'cluster "{chosen["cluster"]}" of the kubeconfig {cluster_at}'
    authority = _material(cluster_at, cluster, "certificate-authority")
    if authority and cluster.get("insecure-skip-tls-verify"):
        raise KubeconfigError(
            f"{where} has a certificate-authority and insecure-skip-tls-verify: remove one of the two"
        )
    certificate = _material(user_at, user, "client-certificate")
    key = _material(user_at, user, "client-key")
    if bool(certificate) != bool(key):
        missing = "client-key" if certificate else "client-certificate"
        raise KubeconfigError(f'user "{chosen["user"]}" of the kubeconfig {user_at} has no {missing}')
    token_file = user.get("tokenFile")
    secure = bool(authority or certificate or cluster.get("insecure-skip-tls-verify"))
    return Config(
        server=_server(where, str(cluster.get("server") or ""), secure=secure),
        authority=authority,
        token=str(user.get("token") or "").strip(),
        token_file=user_at.parent / token_file if token_file else None,
        client_certificate=certificate,
        client_key=key,
        namespace=str(chosen.get("namespace") or "default"),
        server_name=str(cluster.get("tls-server-name") or ""),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        disable_compression=bool(cluster.get("disable-compression")),
        proxy=_proxy(where, str(cluster.get("proxy-url") or "")),
        authority_file=_file(cluster_at, cluster, "certificate-authority"),
        client_certificate_file=_file(user_at, user, "client-certificate"),
        client_key_file=_file(user_at, user, "client-key"),
        exec=_plugin(user_at, user, cluster) if user.get("exec") else None,
        impersonate=_impersonation(user),
    )


def refreshed(config: Config) -> Config:
    """The same with what its files hold now. Raises OSError."""

    def now(file: Path | None, data: bytes) -> bytes:
        return data if file is None else file.read_bytes()

    return replace(
        config,
        authority=now(config.authority_file, config.authority),
        client_certificate=now(config.client_certificate_file, config.client_certificate),
        client_key=now(config.client_key_file, config.client_key),
    )


def _server(where: str, server: str, *, secure: bool) -> str:
    """The server's URL; one without a scheme is https where there is anything about TLS, as in client-go."""
    if not server:
        raise KubeconfigError(f"{where} has no server")
    if "://" not in server:
        server = f"{'https' if secure else 'http'}://{server}"
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable:
        raise KubeconfigError(f"the server of {where} is {server!r}: use https://ADDRESS:PORT")
    return server.rstrip("/")


def _proxy(where: str, text: str) -> str:
    try:
        return proxy_address(text)
    except ProxyError as error:
        raise KubeconfigError(f"{where}: {error}") from error


def _plugin(path: Path, user: Mapping[str, Any], cluster: Mapping[str, Any]) -> ExecPlugin:
    """The login plugin; one named by a relative path is looked for beside the kubeconfig."""
    said = user["exec"]
    command = str(said.get("command") or "")
    version = str(said.get("apiVersion") or "")
    if not command:
        raise KubeconfigError(f"an exec plugin of the kubeconfig {path} has no command")
    if version not in EXEC_VERSIONS:
        raise KubeconfigError(
            f'the exec plugin {command} of the kubeconfig {path} has the apiVersion "{version}":'
            f" use {' or '.join(EXEC_VERSIONS)}"
        )
    mode = said.get("interactiveMode") or ("" if version == EXEC_VERSIONS[0] else "IfAvailable")
    if mode not in ("Never", "IfAvailable"):
        why = "nobody is here to answer it" if mode == "Always" else "use Never or IfAvailable"
        raise KubeconfigError(
            f'the exec plugin {command} of the kubeconfig {path} has the interactiveMode "{mode}": {why}'
        )
    config = None
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == EXEC_EXTENSION:
            config = extension.get("extension")
    return ExecPlugin(
        command=str(path.parent.absolute() / command) if os.sep in command else command,
        args=tuple(map(str, said.get("args") or ())),
        env=tuple((str(pair["name"]), str(pair.get("value", ""))) for pair in said.get("env") or ()),
        api_version=version,
        provide_cluster_info=bool(said.get("provideClusterInfo")),
        install_hint=str(said.get("installHint") or ""),
        cluster_config=config,
    )


def _impersonation(user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    named = (("Impersonate-User", "as"), ("Impersonate-Uid", "as-uid"))
    headers = [(header, str(user[field])) for header, field in named if user.get(field)]
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or ()]
    for key, values in (user.get("as-user-extra") or {}).items():
        headers += [(f"Impersonate-Extra-{quote(str(key), safe='')}", str(value)) for value in values]
    return tuple(headers)


def _entry(
    files: list[tuple[Path, Mapping[str, Any]]], where: str, plural: str, kind: str, name: str
) -> tuple[Path, Mapping[str, Any]]:
    for path, data in files:
        entries = data.get(plural) or []
        if not isinstance(entries, list):
            raise KubeconfigError(f"{plural} of the kubeconfig {path} is no list")
        for entry in entries:
            if isinstance(entry, dict) and entry.get("name") == name:
                content = entry.get(kind) or {}
                try:
                    msgspec.convert(content, SHAPES[kind])
                except msgspec.ValidationError as error:
                    raise KubeconfigError(f'{kind} "{name}" of the kubeconfig {path}: {error}') from error
                return path, content
    raise KubeconfigError(f'the kubeconfig {where} has no {kind} named "{name}"')


def _material(path: Path, entry: Mapping[str, Any], name: str) -> bytes:
    """The PEM under NAME-data, else in the file NAME; relative names start at the kubeconfig's folder."""
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode("".join(str(data).split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise KubeconfigError(f"{name}-data of the kubeconfig {path} is not base64") from error
    if file := _file(path, entry, name):
        try:
            return file.read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{name} of the kubeconfig {path}: {file}: {error.strerror}") from error
    return b""


def _file(path: Path, entry: Mapping[str, Any], name: str) -> Path | None:
    """The file NAME, unless NAME-data says it all."""
    if entry.get(name) and not entry.get(f"{name}-data"):
        return path.parent / str(entry[name])
    return None


def _in_cluster() -> Config:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        return Config(
            server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
            authority=(ACCOUNT / "ca.crt").read_bytes(),
            authority_file=ACCOUNT / "ca.crt",
            token_file=ACCOUNT / "token",
            namespace=(ACCOUNT / "namespace").read_text().strip() or "default",
        )
    except OSError as error:
        raise KubeconfigError(
            f"this pod has no ServiceAccount to log in with: {error.filename}: {error.strerror}"
        ) from error
