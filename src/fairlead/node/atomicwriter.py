"""Writes a volume's files so that a container sees all of the old ones or all of the new ones.

The files lie in a folder with a name of its own, `..data` is a symbolic link to that folder, and what the container
opens are links by way of `..data`; replacing that one link replaces everything. Upstream:
pkg/volume/util/atomic_writer.go.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from fairlead.node.payloads import File

DATA = "..data"


def write(folder: Path, files: Mapping[str, File], group: int | None = None) -> None:
    """Makes `folder` (made if missing) have exactly these files, by path. Cost: all of them; call it for a change.

    `group` may read them all (fsGroup). Raises OSError, leaving the former files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    before = os.readlink(folder / DATA) if os.path.islink(folder / DATA) else ""
    stamp = time.strftime("%Y_%m_%d_%H_%M_%S", time.gmtime())
    version = folder / f"..{stamp}.{secrets.token_hex(5)}"
    version.mkdir()
    try:
        version.chmod(0o755)
        for path, file in files.items():
            _write(version, path, file, group)
        link = folder / f"{DATA}_tmp"
        link.unlink(missing_ok=True)
        link.symlink_to(version.name)
        link.rename(folder / DATA)
    except OSError:
        shutil.rmtree(version, ignore_errors=True)
        raise
    _link(folder, {path.split("/")[0] for path in files})
    if before:
        shutil.rmtree(folder / before, ignore_errors=True)


def _write(version: Path, path: str, file: File, group: int | None) -> None:
    target = version / path
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as written:
        written.write(file.data)
        mode = file.mode
        if file.owner is not None and file.owner != os.geteuid():
            _give(descriptor, file.owner, -1)
        if group is not None:
            _give(descriptor, -1, group)
            mode |= 0o440
        os.fchmod(descriptor, mode)


def _give(descriptor: int, user: int, group: int) -> None:
    # An ordinary user's lab has no other users: there, every container's user is the lab's own on disk.
    with contextlib.suppress(OSError):
        os.fchown(descriptor, user, group)


def _link(folder: Path, names: set[str]) -> None:
    """The names that a container sees: links by way of `..data`; those of files that are no more go."""
    for entry in os.listdir(folder):
        if not entry.startswith("..") and entry not in names:
            (folder / entry).unlink()
    for name in names:
        if not os.path.islink(folder / name):
            (folder / name).symlink_to(f"{DATA}/{name}")
