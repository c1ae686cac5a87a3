"""Who we are to the API server at the moment: tokens that rotate, certificates, exec plugins.

Exec plugins: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import ssl
import time
from asyncio import subprocess
from dataclasses import dataclass
from datetime import datetime
from errno import EINVAL
from pathlib import Path
from typing import Any

import msgspec

from fairlead.client.kubeconfig import Config, ExecPlugin, KubeconfigError, refreshed
from fairlead.client.outage import Unreachable

log = logging.getLogger("fairlead.client")

EXEC_TIMEOUT = 60.0
"""Seconds after which a plugin is taken for stuck; nobody is there to answer its questions."""

EXEC_OUTPUT = 1 << 20
"""Bytes that a plugin may print."""


LOOK = 1.0
"""Seconds between two looks at the files of certificates and keys."""

Stamp = tuple[int, int, int]


class LoginFailed(Unreachable):
    """We have no credentials to ask the API server with; says why."""


@dataclass(frozen=True)
class Identity:
    """What a request is sent with. `tls` is True for the defaults, where there is no TLS at all."""

    token: str = ""
    tls: ssl.SSLContext | bool = True


class Credentials:
    """The identity of the moment."""

    def __init__(self, config: Config) -> None:
        """Raises `KubeconfigError` for certificates that cannot be used."""
        self._config = config
        self._identity = Identity(config.token, tls_context(config))
        self._pair = (b"", b"")  # the plugin's
        self._seen: Stamp | None = None
        files = (config.authority_file, config.client_certificate_file, config.client_key_file)
        self._files = [file for file in files if file is not None]
        self._stamps = self._stamps_now()
        self._look_again = 0.0
        self._expires = 0.0
        self._lock = asyncio.Lock()

    async def current(self) -> Identity:
        """What to send now. A file is read again when it is another one, a plugin asked when time is up.

        Raises `LoginFailed`. Cost: one `stat` where there is a token file; once a second one for each certificate.
        """
        if self._files and time.monotonic() >= self._look_again:
            self._look_again = time.monotonic() + LOOK
            self._follow_files()
        if self._config.exec is not None:
            if time.time() >= self._expires:
                await self._renew(self._identity)
        elif self._config.token_file is not None:
            self._read(self._config.token_file)
        return self._identity

    async def renew(self, refused: Identity) -> bool:
        """The server refused this identity (401): whether there is another one now."""
        self._follow_files()
        if self._config.exec is not None:
            await self._renew(refused)
        elif self._config.token_file is not None:
            self._seen = None
            self._read(self._config.token_file)
        return self._identity != refused

    def _follow_files(self) -> None:
        """Takes over certificates and keys whose files changed; of a pair that is half written so far the old one."""
        stamps = self._stamps_now()
        if stamps == self._stamps:
            return
        try:
            config = refreshed(self._config)
            tls = tls_context(config, *self._pair)
        except (OSError, KubeconfigError) as error:
            log.info("certificates for %s changed, but cannot be used yet: %s", self._config.server, error)
            return
        self._config, self._stamps = config, stamps
        self._identity = Identity(self._identity.token, tls)

    def _stamps_now(self) -> list[Stamp | None]:
        stamps: list[Stamp | None] = []
        for file in self._files:
            try:
                stamps.append(_stamp(file))
            except OSError:
                stamps.append(None)
        return stamps

    def _read(self, path: Path) -> None:
        try:
            seen = _stamp(path)
            if seen != self._seen:
                token = path.read_text().strip()
                if not token:
                    raise OSError(EINVAL, "it is empty")
                self._identity = Identity(token, self._identity.tls)
                self._seen = seen
        except OSError as error:
            if not self._identity.token:
                raise LoginFailed(f"cannot read the token file {path}: {error.strerror}") from error

    async def _renew(self, known: Identity) -> None:
        """Asks the plugin, unless somebody else did while we waited for our turn."""
        async with self._lock:
            if self._identity is not known and time.time() < self._expires:
                return
            plugin = self._config.exec
            assert plugin is not None
            status = await _ask(plugin, self._config)
            tls = self._identity.tls
            if status.clientCertificateData:
                self._pair = (status.clientCertificateData.encode(), status.clientKeyData.encode())
                tls = tls_context(self._config, *self._pair)
            self._expires = _moment(plugin, status.expirationTimestamp)
            self._identity = Identity(status.token, tls)


def _stamp(path: Path) -> Stamp:
    """What tells one content of a file from another. Raises OSError."""
    found = os.stat(path)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


class _Status(msgspec.Struct, frozen=True):
    token: str = ""
    clientCertificateData: str = ""
    clientKeyData: str = ""
    expirationTimestamp: str | None = None


class _Credential(msgspec.Struct, frozen=True):
    kind: str = ""
    apiVersion: str = ""
    status: _Status | None = None


async def _ask(plugin: ExecPlugin, config: Config) -> _Status:
    """Runs the plugin and reads what it prints; its standard error is ours."""
    environment = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": _question(plugin, config)}
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *plugin.args,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
    except OSError as error:
        hint = f"\n{plugin.install_hint}" if plugin.install_hint else ""
        raise LoginFailed(f"the login plugin {plugin.command} cannot run: {error.strerror}{hint}") from error
    try:
        async with asyncio.timeout(EXEC_TIMEOUT):
            assert process.stdout is not None
            output = b""
            while chunk := await process.stdout.read(1 << 16):
                output += chunk
                if len(output) > EXEC_OUTPUT:
                    raise LoginFailed(f"the login plugin {plugin.command} printed over {EXEC_OUTPUT} bytes")
            code = await process.wait()
    except TimeoutError:
        raise LoginFailed(
            f"the login plugin {plugin.command} did not end within {EXEC_TIMEOUT:.0f} s"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    if code:
        raise LoginFailed(f"the login plugin {plugin.command} failed with exit status {code}")
    return _answer(plugin, output)


def _question(plugin: ExecPlugin, config: Config) -> str:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.provide_cluster_info:
        cluster = {
            "server": config.server,
            "tls-server-name": config.server_name,
            "insecure-skip-tls-verify": config.insecure,
            "certificate-authority-data": base64.b64encode(config.authority).decode(),
            "disable-compression": config.disable_compression,
            "proxy-url": config.proxy,
            "config": plugin.cluster_config,
        }
        spec["cluster"] = {name: value for name, value in cluster.items() if value}
    question = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
    return msgspec.json.encode(question).decode()


def _answer(plugin: ExecPlugin, output: bytes) -> _Status:
    """What the plugin says. The secrets in it must not get into an error's text."""
    who = f"the login plugin {plugin.command}"
    try:
        credential = msgspec.json.decode(output, type=_Credential)
    except msgspec.DecodeError:
        raise LoginFailed(f"{who} printed no ExecCredential") from None
    if credential.kind != "ExecCredential" or credential.apiVersion != plugin.api_version:
        raise LoginFailed(
            f"{who} is configured to use API version {plugin.api_version},"
            f" it returned {credential.kind or 'no kind'} of version {credential.apiVersion or 'none'}"
        )
    status = credential.status
    if status is None:
        raise LoginFailed(f"{who} returned no status")
    if bool(status.clientCertificateData) != bool(status.clientKeyData):
        raise LoginFailed(f"{who} returned only a certificate or only a key, not both")
    if not status.token and not status.clientCertificateData:
        raise LoginFailed(f"{who} returned neither a token nor a certificate with its key")
    return status


def _moment(plugin: ExecPlugin, text: str | None) -> float:
    """Seconds since 1970; without a time the credentials do not expire."""
    if text is None:
        return float("inf")
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise LoginFailed(
            f"the expirationTimestamp of the login plugin {plugin.command}, {text!r}, is no time"
        ) from None


def tls_context(config: Config, certificate: bytes = b"", key: bytes = b"") -> ssl.SSLContext | bool:
    """How to speak TLS to the server, with this client certificate, else with the configuration's."""
    if not config.server.startswith("https://"):
        return True
    try:
        context = ssl.create_default_context(cadata=config.authority.decode() or None)
    except (ssl.SSLError, ValueError) as error:
        raise KubeconfigError(f"the certificate authority of {config.server} is not PEM: {error}") from error
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    pair = (certificate, key) if certificate else (config.client_certificate, config.client_key)
    if pair[0]:
        # OpenSSL reads the pair from a file only: one in memory, so that the key never reaches a disk
        descriptor = os.memfd_create("fairlead-client")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(pair[0] + b"\n" + pair[1])
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        except ssl.SSLError as error:
            raise KubeconfigError(
                f"the client certificate or key for {config.server} cannot be used: {error.reason or error}"
            ) from error
        finally:
            os.close(descriptor)
    return context
