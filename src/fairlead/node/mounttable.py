"""The mounts of a process as the kernel lists them. Pure.

Format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_VIRTUAL = (
    "proc sysfs devtmpfs devpts mqueue cgroup cgroup2 nsfs tracefs debugfs bpf securityfs pstore configfs efivarfs"
    " hugetlbfs binfmt_misc fusectl autofs rpc_pipefs selinuxfs"
)
VIRTUAL = frozenset(_VIRTUAL.split())
"""Types of file systems that are windows into the kernel, not files."""

NOT_ABOVE = frozenset(("overlay", "nfs", "nfs4", "cifs", "9p", "fuse", "virtiofs", "vboxsf", "ecryptfs"))
"""Types on which no overlay can keep what is written: they lack what it needs (overlayfs, "Upper and Lower")."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A place where something is mounted, and the type of its file system."""

    place: str
    kind: str


def parse(text: str) -> tuple[Mount, ...]:
    """The mounts in the order in which they were made; lines that are no mounts are left out."""
    found = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if separator and len(fields) > 4:
            found.append(Mount(_unescaped(fields[4]), after.split(" ")[0]))
    return tuple(found)


def below(mounts: Sequence[Mount], place: str, hidden: Sequence[str] = ()) -> tuple[Mount, ...]:
    """Those with files, below `place` but not at or below one of `hidden`; each place once, outer ones first."""
    found: dict[str, Mount] = {}
    for mount in mounts:
        inside = mount.place != place and is_below(mount.place, place)
        if inside and mount.kind not in VIRTUAL and not any(is_below(mount.place, one) for one in hidden):
            found[mount.place] = mount
    return tuple(sorted(found.values(), key=lambda mount: mount.place.count("/")))


def kind_at(mounts: Sequence[Mount], place: str) -> str:
    """The type of the file system that a file at `place` (absolute, without symbolic links) is on."""
    best = Mount("", "")
    for mount in mounts:
        if is_below(place, mount.place) and len(mount.place) >= len(best.place):
            best = mount
    return best.kind


def is_below(place: str, folder: str) -> bool:
    """Whether an absolute path is `folder`, or in it."""
    return folder == "/" or place == folder or place.startswith(folder + "/")


def _unescaped(field: str) -> str:
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
    return raw.encode("latin-1", "ignore").decode(errors="surrogateescape") if raw != field else field
