"""iptables-save and iptables-restore, as programs that are told what to do on their standard input.

Debian and others have two of each. The ones of nf_tables are taken: they need no lock, change a table of any size
without reading it, and are what the system's own `iptables` is. The legacy ones are taken where the legacy tables hold
chains of Kubernetes already, a kubelet's or another kube-proxy's, for rules in both would contradict each other; and
where there are no others.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead.proxy.dataplane import Refused, Unusable
from fairlead.proxy.family import Family
from fairlead.proxy.iptables.difference import Difference
from fairlead.proxy.iptables.saved import Saved
from fairlead.proxy.netlink import NETLINK_NETFILTER, SO_SNDBUFFORCE

WAIT = ("-w", "5")
"""Seconds for which the lock of the legacy programs is waited for; the others have none."""
SECTION = 200
"""Lines of a section. iptables-nft's time grows with the square of the chains that one names (1.8.9: 52 seconds for
30,000 chains, less than 3 in sections of 200 or 1,000 lines), and in a user namespace a section's messages, up to
800 octets a line, have to fit into net.core.wmem_default, which is 208 KiB. Others may go beyond."""
UNLIMITED = 1 << 40
"""The legacy programs write a whole table for every section."""

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
_LISTED = {
    4: Path("/proc/thread-self/net/ip_tables_names"),
    16: Path("/proc/thread-self/net/ip6_tables_names"),
}
_LINE = re.compile(r"line:? (\d+)")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs for one family."""

    family: Family
    legacy: bool
    saver: str
    restorer: str

    def tell(self, todo: Difference) -> None:
        """Does it, in as few transactions as is wise. Raises `Refused`; those before the refused one stay."""
        limit = UNLIMITED if self.legacy else SECTION
        most = UNLIMITED if self.legacy or _may_send_much() else SECTION
        self.restore(todo.text(limit, most))

    def save(self) -> Saved:
        """What all tables hold: asked for one, iptables-nft reads the others too. Raises `Refused`."""
        saved = Saved()
        saved.read(_run((self.saver,), ""))
        return saved

    def restore(self, text: str) -> None:
        """Brings the sections in, one after the other. Raises `Refused`; those before the refused one stay."""
        _run((self.restorer, *WAIT, "--noflush"), text)


def find(family: Family) -> Tools:
    """The programs to use. Raises `Unusable` where there are none."""
    legacy, modern = (_named(family, variant) for variant in ("legacy", "nft"))
    if legacy is not None and legacy_tables(legacy):
        return legacy
    found = modern or _named(family, "") or legacy
    if found is None:
        raise Unusable(
            f"{_word(family)}-restore was not found: install the package iptables, or use another proxy mode"
        )
    return found


def check(family: Family) -> None:
    """Raises `Unusable` or `Refused` where the programs are not there, or may not do it."""
    find(family).save()


def every(family: Family) -> list[Tools]:
    """All programs whose tables may hold something: for cleaning up."""
    legacy = _named(family, "legacy")
    modern = _named(family, "nft") or _named(family, "")
    return [tools for tools in (modern, legacy if legacy and _listed(family) else None) if tools is not None]


def legacy_tables(tools: Tools) -> bool:
    """Whether Kubernetes has chains in the legacy tables."""
    if not _listed(tools.family):
        return False
    saved = tools.save()
    return any(chain.name.startswith("KUBE-") for chain in (*saved.ours, *saved.foreign))


def _listed(family: Family) -> bool:
    """Whether there are legacy tables. They are not made by looking."""
    try:
        return bool(_LISTED[family.size].read_text())
    except OSError:
        return False


def _may_send_much() -> bool:
    """Whether iptables-nft may send batches of any size."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as link:
        try:
            link.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20)
        except PermissionError:
            return False
    return True


def _word(family: Family) -> str:
    return "iptables" if family.size == 4 else "ip6tables"


def _named(family: Family, variant: str) -> Tools | None:
    word = f"{_word(family)}-{variant}" if variant else _word(family)
    saver, restorer = (shutil.which(f"{word}-{verb}", path=_PATH) for verb in ("save", "restore"))
    if saver is None or restorer is None:
        return None
    legacy = variant == "legacy" or (not variant and "legacy" in _run((restorer, "--version"), ""))
    return Tools(family, legacy, saver, restorer)


def _run(command: Sequence[str], text: str) -> str:
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    except OSError as error:
        raise Unusable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split()) or f"exit status {done.returncode}"
        raise Refused(f"{os.path.basename(command[0])}: {said}{_quoted(said, text)}")
    return done.stdout.decode(errors="replace")


def _quoted(said: str, text: str) -> str:
    """The line of the input that a complaint names."""
    found = _LINE.search(said)
    lines = text.splitlines()
    number = int(found.group(1)) if found else 0
    return f": {lines[number - 1]}" if 0 < number <= len(lines) else ""
