"""Runs a command as an ordinary user, even where its folders let only root in.

    python ordinary.py UID COMMAND ARGUMENT...

A checkout or an interpreter below a folder of root's (mode 0700) cannot be reached by anybody else. In a mount
namespace of its own, each such folder is covered by an empty one that everybody may enter, with what tests need
standing in it at its place. The machine's own folders and their modes stay as they are.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fairlead.node import namespaces

FOLDERS = (Path(__file__).parents[1], Path(sys.prefix), Path(sys.base_prefix))
"""What every test needs to reach: this tree, the virtual environment, the interpreter."""


def barrier(folder: Path) -> Path | None:
    """The outermost folder above it, or itself, that others may not enter."""
    for place in (*reversed(folder.parents), folder):
        if not stat.S_IMODE(place.stat().st_mode) & stat.S_IXOTH:
            return place
    return None


def uncover() -> None:
    """Makes FOLDERS reachable for everybody, in this process's mount namespace, which has to be its own."""
    here = Path.cwd()
    behind: dict[Path, list[Path]] = {}
    for folder in sorted({folder.resolve() for folder in FOLDERS}):
        place = barrier(folder)
        if place == folder:
            raise SystemExit(f"{folder} is closed to others itself")
        if place is not None and folder not in behind.setdefault(place, []):
            behind[place].append(folder)
    for place, hidden in behind.items():
        with tempfile.TemporaryDirectory() as aside:
            held = [Path(aside, str(number)) for number in range(len(hidden))]
            for folder, held_at in zip(hidden, held, strict=True):
                held_at.mkdir()
                mount("--rbind", str(folder), str(held_at))
            mount("-t", "tmpfs", "-o", "mode=0755", "fairlead-test", str(place))
            for folder, held_at in zip(hidden, held, strict=True):
                folder.mkdir(parents=True, exist_ok=True)
                mount("--move", str(held_at), str(folder))
    os.chdir(here)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def may_have_user_namespaces() -> bool:
    """Whether the kernel lets this process make a user namespace; it never does in a chroot."""
    pid = os.fork()
    if pid == 0:
        try:
            namespaces.unshare(namespaces.CLONE_NEWUSER)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


user_namespaces = pytest.mark.skipif(
    not may_have_user_namespaces(),
    reason="user namespaces are forbidden here (always so in a chroot): run it outside of one",
)


def main() -> None:
    user, command = int(sys.argv[1]), sys.argv[2:]
    namespaces.unshare(namespaces.CLONE_NEWNS)
    namespaces.keep_mounts(namespaces.MS_PRIVATE)
    uncover()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
