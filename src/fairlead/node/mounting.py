"""Mounts in a container: what is held open of the world outside while the root changes, and then put at its place.

A source is opened before the container enters its root, since it may not be there afterwards; a place is looked up
inside, so that its symbolic links lead nowhere else. Upstream: pkg/volume/util/subpath, and runc's rootfs_linux.go.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fairlead.node import namespaces
from fairlead.node.records import Mount


class Held:
    """Sources of mounts, open until `place` has mounted them. Raises OSError for one that is not there."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        # Outer places first, as containerd does it.
        ordered = sorted(mounts, key=lambda mount: len(Path(mount.place).parts))
        self._held = [(mount, os.open(source(mount), os.O_PATH | os.O_CLOEXEC)) for mount in ordered]

    def place(self) -> set[str]:
        """Mounts all of them in the root of this process, on files or folders made for that; gives where."""
        places = set()
        for mount, fd in self._held:
            target = os.path.realpath(mount.place)
            try:
                _make_place(target, is_folder=os.path.isdir(f"/proc/self/fd/{fd}"))
                flags = namespaces.MS_BIND | namespaces.MS_REC
                namespaces.mount(f"/proc/self/fd/{fd}", target, flags=flags)
            except OSError as error:
                raise OSError(error.errno, f"cannot mount at {mount.place}: {error.strerror}") from error
            finally:
                os.close(fd)
            if not mount.propagated:
                namespaces.mount(None, target, flags=namespaces.MS_PRIVATE | namespaces.MS_REC)
            if mount.read_only:
                namespaces.make_read_only(target)
            places.add(target)
        return places


def source(mount: Mount) -> str:
    """The path of what is mounted; a `sub_path` that does not exist is made, as a folder.

    Raises OSError where the sub-path leads out of the volume, by way of symbolic links.
    """
    if not mount.sub_path:
        return mount.source
    volume = os.path.realpath(mount.source)
    path = os.path.realpath(os.path.join(volume, mount.sub_path))
    if path != volume and not path.startswith(volume + "/"):
        raise OSError(
            f'failed to prepare subPath for volumeMount "{mount.name}": {mount.sub_path} leads out of the volume'
        )
    if not os.path.lexists(path):
        os.makedirs(path, 0o750, exist_ok=True)
        owner = os.stat(volume)
        if owner.st_mode & 0o2000:  # the volume is for a group of the pod's: so is what is in it
            os.chmod(path, 0o2770)  # noqa: S103
    return path


def _make_place(target: str, *, is_folder: bool) -> None:
    if is_folder:
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
