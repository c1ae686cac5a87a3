"""etcd clusters for tests: Debian's etcd-server on loopback, each member in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from fairlead.apiserver.certificates import (
    LIFE,
    Authority,
    common_name,
    make_authority,
    starting,
    write,
)
from tests.loopback import free_ports, own_address
from tests.waiting import LIMIT

needs_etcd = pytest.mark.skipif(
    shutil.which("etcd") is None, reason="etcd is not installed (Debian: etcd-server)"
)


def client_certificate(authority: Authority, directory: Path) -> tuple[Path, Path]:
    """A certificate that is good for clients alone, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        starting(authority.certificate.subject, common_name("apiserver"), key.public_key(), LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return write(directory, "client", certificate, key)


def listens(url: str) -> bool:
    """Whether a connection to a member is taken; etcdctl that finds none waits for a second before it tries again."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


class Member:
    """One etcd process."""

    def __init__(self, name: str, directory: Path, arguments: list[str], url: str) -> None:
        self.name = name
        self.url = url
        self.directory = directory
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Runs it, again after it was killed."""
        log = (self.directory / f"{self.name}.log").open("ab")
        self.process = subprocess.Popen(
            ["etcd", "--name", self.name, "--data-dir", str(self.directory / self.name), *self.arguments],
            stdout=log,
            stderr=log,
        )
        log.close()

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; after SIGKILL or SIGTERM waits for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait()


class Cluster:
    """Some members, at most one of them down at any time if writes are to go on."""

    def __init__(
        self, directory: Path, size: int = 1, *, tls: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        host, ports = own_address(), free_ports(2 * size)
        scheme = "https" if tls else "http"
        clients = [f"{scheme}://{host}:{port}" for port in ports[:size]]
        peers = [f"http://{host}:{port}" for port in ports[size:]]
        self.options = ""
        patience = ["--dial-timeout", f"{LIMIT:.0f}s", "--command-timeout", f"{LIMIT:.0f}s"]
        self.ctl = ["etcdctl", "--endpoints", ",".join(clients), *patience]
        security: list[str] = []
        if tls:
            authority = make_authority(directory)
            server, server_key = authority.issue(directory, "etcd", (host,))
            client, client_key = client_certificate(authority, directory)
            self.options = f"cafile={authority.path}&certfile={client}&keyfile={client_key}"
            self.ctl += ["--cacert", str(authority.path), "--cert", str(client), "--key", str(client_key)]
            security = ["--cert-file", str(server), "--key-file", str(server_key)]
            security += ["--client-cert-auth", "--trusted-ca-file", str(authority.path)]
        members = ",".join(f"m{i}={peer}" for i, peer in enumerate(peers))
        self.members = [
            Member(
                f"m{i}",
                directory,
                [
                    *("--listen-client-urls", clients[i], "--advertise-client-urls", clients[i]),
                    *("--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i]),
                    *("--initial-cluster", members, "--initial-cluster-token", directory.name),
                    *("--heartbeat-interval", "100", "--election-timeout", "1000", "--logger", "zap"),
                    *security,
                    *options,
                ],
                clients[i],
            )
            for i in range(size)
        ]
        for member in self.members:
            member.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def address(self, prefix: str = "") -> str:
        """What `--store` says of it."""
        options = "&".join(filter(None, (self.options, prefix and f"prefix={prefix}")))
        return f"etcd:{','.join(member.url for member in self.members)}" + (f"?{options}" if options else "")

    def control(self, *arguments: str, check: bool = True) -> str:
        """What etcdctl says."""
        done = subprocess.run(
            [*self.ctl, *arguments],
            env=os.environ | {"ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            check=check,
        )
        return done.stdout

    def restore(self, snapshot: Path) -> None:
        """Kills the one member and starts it from a snapshot."""
        (member,) = self.members
        member.signal(signal.SIGKILL)
        peer = member.arguments[member.arguments.index("--listen-peer-urls") + 1]
        directory = member.directory / f"{member.name}.restored"
        self.control(
            *("snapshot", "restore", str(snapshot), "--name", member.name, "--data-dir", str(directory)),
            *("--initial-cluster", f"{member.name}={peer}", "--initial-advertise-peer-urls", peer),
        )
        shutil.rmtree(member.directory / member.name)
        directory.rename(member.directory / member.name)
        member.start()
        self.wait()

    def wait(self) -> None:
        """Returns when all members take writes: one that has only begun to start is none to do without another for."""
        deadline = time.monotonic() + LIMIT
        for member in self.members:
            while not listens(member.url):
                assert time.monotonic() < deadline, f"etcd does not listen at {member.url}"
                time.sleep(0.02)
        while True:
            done = subprocess.run(
                [*self.ctl, "--dial-timeout", "2s", "--command-timeout", "5s", "endpoint", "health"],
                env=os.environ | {"ETCDCTL_API": "3"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                return
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.05)

    def stop(self) -> None:
        """Kills all members."""
        for member in self.members:
            if member.process is not None and member.process.poll() is None:
                member.process.kill()
                member.process.wait()
