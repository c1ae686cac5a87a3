"""Removes folders whatever has been written into them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, as far as this user may; without complaint, and if it is not there.

    Its owner may remove what they cannot read: an overlay leaves a folder without any permission, and programs in
    containers do the same. Symbolic links are not followed. Cost: as much as there is.
    """
    if os.geteuid() != 0:
        open_up(folder)
    shutil.rmtree(folder, ignore_errors=True)


def open_up(folder: Path) -> None:
    """Lets the owner into every folder."""
    stack = [os.fspath(folder)]
    while stack:
        path = stack.pop()
        try:
            if os.lstat(path).st_mode & 0o700 != 0o700:
                os.chmod(path, 0o700)
            with os.scandir(path) as entries:
                stack += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
