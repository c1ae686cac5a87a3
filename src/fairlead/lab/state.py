"""What a lab leaves on disk while it runs: its state directory, its record, its lock.

/run/fairlead/NAME/                (root; otherwise $XDG_RUNTIME_DIR/fairlead/NAME or /tmp/fairlead-UID/NAME)
    lock              held by the keeper and the supervisor for as long as the lab lives
    state.json        the record: what the lab is made of, which processes it has; written by one process at a time
    nodes.json  links.json  nodes.lock    see `members`
    ready             there once the lab answered for the first time
    pki/  tokens.csv  kubeconfigs/  logs/  nodes/NODE/  netns/ (ordinary users)  store.sqlite
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fairlead import files
from fairlead.lab.addressing import Family, families
from fairlead.lab.network import ROOT_DIRECTORY, Network
from fairlead.lab.processes import Identity
from fairlead.node import trees


class Process(msgspec.Struct, frozen=True):
    """A process of a lab. `restarts` counts how often it came back; `since` is a Unix time in seconds.

    While it waits to be started again, `identity` is the one that ended.
    """

    name: str
    identity: Identity
    restarts: int = 0
    since: float = 0.0
    waiting: bool = False


class Record(msgspec.Struct, frozen=True):
    """All that has to be known of a lab by a process that was not there from its start."""

    name: str
    zones: tuple[str, ...]
    port: int
    kubeconfig: str
    kubeconfig_digest: str
    store: str
    images: str = ""
    proxy_mode: str = "nftables"
    loadbalancer: str = "cloud"
    loadbalancer_via: str = "vip"
    ip_families: tuple[str, ...] = ("ipv4",)
    region: str = ""
    node_monitor_grace_period: float = 50.0
    log_level: str = "info"
    stopping: bool = False
    user_namespace: int = 0
    keeper: Process | None = None
    supervisor: Process | None = None
    components: tuple[Process, ...] = ()

    @property
    def families(self) -> tuple[Family, ...]:
        """The address families of pods and Services, the first one that of the API and of nodes' names."""
        return families(self.ip_families)

    @property
    def processes(self) -> tuple[Process, ...]:
        """All processes, the keeper and the supervisor first."""
        return tuple(p for p in (self.keeper, self.supervisor, *self.components) if p is not None)

    @property
    def url(self) -> str:
        """Where the API server listens on the host."""
        return f"https://127.0.0.1:{self.port}"


class Taken(Exception):
    """There is a lab of that name already; the text is a sentence."""


class NoLab(Exception):
    """There is no lab of that name; the text is a sentence."""


def parent_directory() -> Path:
    """The directory that holds the state directories of this user's labs."""
    if os.geteuid() == 0:
        return Path("/run/fairlead")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime, "fairlead")
    return Path(f"/tmp/fairlead-{os.geteuid()}")  # noqa: S108 -- checked to be ours alone before use


@dataclass(frozen=True)
class StateDirectory:
    """The state directory of the lab `name` at `path`."""

    name: str
    path: Path

    @classmethod
    def of(cls, name: str) -> StateDirectory:
        """That of this user's lab `name`; it need not exist."""
        return cls(name, parent_directory() / name)

    @property
    def network(self) -> Network:
        """The lab's namespaces: in /run/netns for root, else in the lab's own mount namespace."""
        is_root = self.path.parent == Path("/run/fairlead")
        return Network(self.name, ROOT_DIRECTORY if is_root else self.path / "netns")

    def create_locked(self) -> int:
        """Makes the directory, 0700, and takes its lock; gives the lock's descriptor, which holds it while open.

        Raises Taken while a lab of that name lives, or when one died and left its record. OSError where the
        directory cannot be made, or is somebody else's.
        """
        while True:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            # Another lab that is removed at this moment takes their common parent along if it is empty.
            with contextlib.suppress(FileNotFoundError):
                self.path.mkdir(mode=0o700, exist_ok=True)
                break
        for directory in (self.path.parent, self.path):
            found = directory.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise OSError(f"{directory} is not a directory that only this user can write to; remove it")
        fd = self.lock()
        if fd is None:
            raise Taken(
                f"a lab named {self.name!r} is running; take another --name, or 'fairlead lab down"
                f"{self.option}' removes it"
            )
        if (self.path / "state.json").exists() or self.network.leftovers():
            os.close(fd)
            raise Taken(
                f"a lab named {self.name!r} died and left things behind; "
                f"'fairlead lab down{self.option}' removes them"
            )
        return fd

    @property
    def option(self) -> str:
        """How this lab is named on a command line: nothing for the default one."""
        return "" if self.name == "default" else f" --name {self.name}"

    def lock(self) -> int | None:
        """Takes the lock without waiting; None while another process has it. Raises FileNotFoundError."""
        path = self.path / "lock"
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            # Whoever removes a lab removes the file too, while holding the lock on it: then it is another's now.
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(fd).st_ino:
                    return fd
            os.close(fd)

    def read(self) -> Record:
        """The lab's record. Raises NoLab when there is none."""
        try:
            return msgspec.json.decode((self.path / "state.json").read_bytes(), type=Record)
        except FileNotFoundError:
            raise NoLab(
                f"there is no lab named {self.name!r}; 'fairlead lab up{self.option}' makes it"
            ) from None
        except msgspec.MsgspecError as error:
            raise NoLab(
                f"{self.path}/state.json cannot be read ({error}); 'fairlead lab down{self.option}' removes the lab"
            ) from error

    def write(self, record: Record) -> None:
        """Replaces the record at once: readers see the old or the new one."""
        files.replace(self.path / "state.json", msgspec.json.encode(record))

    def mark_ready(self) -> None:
        """Says that the lab has answered."""
        (self.path / "ready").touch()

    def is_ready(self) -> bool:
        """Whether the lab has answered once."""
        return (self.path / "ready").exists()

    def pods(self) -> Iterator[Path]:
        """The folders of the pods of all nodes. Nodes and pods may go meanwhile: those are left out."""
        for node in _entries(self.path / "nodes"):
            yield from filter(Path.is_dir, _entries(node / "pods"))

    def log(self, process: str) -> Path:
        """The log file of a process."""
        return self.path / "logs" / f"{process}.log"

    def remove(self) -> None:
        """Removes the directory with all that is in it. To be called by the lock's holder.

        The record goes last: whoever is killed before that leaves a lab that can be found, and removed, again.
        """
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.path):
                if entry.is_dir(follow_symlinks=False):
                    trees.remove(Path(entry.path))
                elif entry.name not in ("state.json", "lock"):
                    os.unlink(entry.path)
        trees.remove(self.path)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it is not there, or goes while one looks."""
    try:
        return [folder / name for name in os.listdir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def labs() -> list[StateDirectory]:
    """The state directories of this user's labs, by name."""
    try:
        names = sorted(entry.name for entry in os.scandir(parent_directory()) if entry.is_dir())
    except FileNotFoundError:
        return []
    return [StateDirectory.of(name) for name in names]


def now() -> float:
    """The clock that records use."""
    return time.time()
