"""What the agent and a pod's sandbox tell each other, on disk or over the sandbox's socket.

Messages are JSON, one a line, each with its `type`. Times are seconds since the epoch.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from fairlead import files


class Address(msgspec.Struct, frozen=True):
    """An address of a pod, with the prefix length of its only neighbour: the node. Always /32 or /128."""

    ip: str

    @property
    def bits(self) -> int:
        """128 for IPv6, 32 for IPv4."""
        return 128 if ":" in self.ip else 32


class MemoryVolume(msgspec.Struct, frozen=True, omit_defaults=True):
    """An emptyDir in memory: a tmpfs of at most `size` bytes, for the group `group`."""

    name: str
    size: int = 0
    """0: as much as a tmpfs has by default, half of the machine's memory."""
    group: int | None = None


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a sandbox has to know of its pod when it starts."""

    uid: str
    namespace: str
    name: str
    hostname: str
    addresses: tuple[Address, ...] = ()
    host_network: bool = False
    share_processes: bool = False
    shared: tuple[str, ...] = ()
    """Host paths that containers see even where their private /tmp would hide them."""
    host_processes: bool = False
    host_ipc: bool = False
    sysctls: dict[str, str] = {}
    memory: tuple[MemoryVolume, ...] = ()
    hosts: str = ""
    resolv_conf: str = ""


class SandboxRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`sandbox.json` in a pod's state directory, written by the sandbox itself as its first act.

    `pid` is as the node sees it; together with `ticks`, the process's start time in clock ticks since boot, it names
    a process for good.
    """

    pid: int
    ticks: int
    created_at: float
    spec: SandboxSpec


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of one container. It runs from `started_at` until `finished_at`, 0 where that has not happened."""

    name: str
    id: str
    attempt: int
    image: str = ""
    pid: int = 0
    """As the sandbox sees it."""
    started_at: float = 0
    finished_at: float = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""

    @property
    def running(self) -> bool:
        """Whether its process has not ended yet."""
        return self.finished_at == 0


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """`containers/NAME.json`: a container's present or last run, and the one before it."""

    current: ContainerRecord
    previous: ContainerRecord | None = None


class Mount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something of the host that a container sees at `place`: a folder or a file, or a `sub_path` of a folder."""

    source: str
    place: str
    name: str = ""
    """The volume's, for messages."""
    sub_path: str = ""
    read_only: bool = False
    propagated: bool = False
    """Whether what is mounted at the source later is seen, too."""


class Start(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Start a container: `argv` is executed, or the built-in image `builtin` is called with it as `sys.argv`.

    With `target`, the id of another container's run, it sees the processes of that.
    """

    request: int = 0
    name: str
    attempt: int
    image: str
    argv: tuple[str, ...]
    builtin: str = ""
    target: str = ""
    message_policy: str = ""
    """As `terminationMessagePolicy`."""
    environment: dict[str, str]
    directory: str = ""
    root: str = ""
    """The image's folder; the container's root is this folder alone, or over the host's files with `over_host`."""
    over_host: bool = False
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    """Texts, and targets of symbolic links, by their paths in the root."""
    mounts: tuple[Mount, ...] = ()
    stdin: bool = False
    """Whether its standard input stays open for those who attach; otherwise there is nothing to read."""
    stdin_once: bool = False
    """Whether it ends with the first of those."""
    tty: bool = False
    """Whether its streams are a terminal."""
    user: int | None = None
    image_user: str = ""
    """As a Dockerfile writes it; where `user` is None."""
    group: int | None = None
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    unmasked_proc: bool = False


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Send a signal to the first process of a container, if that run of it is still there."""

    request: int = 0
    id: str
    number: int


class Exec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Run a command in a running container, for at most `timeout` seconds."""

    request: int = 0
    id: str
    argv: tuple[str, ...]
    timeout: float


Stream = Literal["stdin", "stdout", "stderr"]


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Run a command in a running container, until its process or this connection ends.

    Its streams are descriptors that come along (SCM_RIGHTS), in the order of `streams`; with `tty` one, a socket at
    which its terminal is handed out.
    """

    request: int = 0
    id: str
    argv: tuple[str, ...]
    streams: tuple[Stream, ...] = ()
    tty: bool = False


class Attach(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Copy a running container's output to the descriptors that come along, in the order of `streams`.

    With `stdin` the answer brings a descriptor of its input, if the container has one; of its terminal in any case.
    """

    request: int = 0
    id: str
    streams: tuple[Stream, ...] = ()
    stdin: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """The answer to a request. `error` is a sentence where the request could not be carried out."""

    request: int
    error: str = ""
    exit_code: int = 0
    output: str = ""
    timed_out: bool = False
    tty: bool = False
    """Of `Attach`: whether the container's streams are a terminal."""


class Changed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A container's history has changed; sent for each container when the agent connects, too."""

    name: str
    history: History


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """All containers' histories: the first message on a connection."""

    containers: dict[str, History]


Request = Start | Signal | Exec | Run | Attach
Message = Done | Changed | Snapshot

decode_request = msgspec.json.Decoder(Request).decode
decode_message = msgspec.json.Decoder(Message).decode
encode = msgspec.json.Encoder().encode


def write(path: Path, record: SandboxRecord | History) -> None:
    """Replaces the file at once."""
    files.replace(path, encode(record))


def read_sandbox(directory: Path) -> SandboxRecord | None:
    """The record in a pod's state directory; None if there is none that can be read."""
    try:
        return msgspec.json.decode((directory / "sandbox.json").read_bytes(), type=SandboxRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def read_histories(directory: Path) -> dict[str, History]:
    """The containers' histories in a pod's state directory; those that are removed meanwhile are not among them."""
    found = {}
    for path in sorted((directory / "containers").glob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            history = msgspec.json.decode(path.read_bytes(), type=History)
            found[history.current.name] = history
    return found


def settle(directory: Path, known: Mapping[str, History] | None = None) -> dict[str, History]:
    """The histories of a pod whose sandbox is gone: what ran then was killed with it, and is recorded so.

    `known` is what its last words were, where they are known better than by what is on disk. A full disk changes
    nothing of the answer, but the next agent will have to find out for itself.
    """
    written = read_histories(directory)
    found = dict(written if known is None else known)
    for name, history in found.items():
        if history.current.running:
            killed = msgspec.structs.replace(
                history.current, pid=0, finished_at=time.time(), exit_code=137, reason="Error"
            )
            found[name] = History(killed, history.previous)
        if found[name] != written.get(name):
            with contextlib.suppress(OSError):
                write(directory / "containers" / f"{name}.json", found[name])
    return found


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if there is none (a zombie counts as none)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields: Sequence[bytes] = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def open_process(record: SandboxRecord) -> int | None:
    """A pidfd of exactly the process that the record names, or None if that has ended; close it."""
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    if start_ticks(record.pid) == record.ticks:
        return pidfd
    os.close(pidfd)
    return None
