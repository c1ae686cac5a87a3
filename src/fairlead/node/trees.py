"""Removes folders whatever has been written into them."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, as far as this user may; without complaint, and if it is not there.

    Its owner may remove what they cannot read: an overlay leaves a folder without any permission, and programs in
    containers do the same. They also make folders deeper than a path can be long, than we have descriptors, and than
    Python recurses: so those in a folder move up before it goes, and no path gets longer. Symbolic links are not
    followed. Cost: as much as there is, and one rename(2) for each folder that lies deeper.
    """
    top = os.fspath(folder)
    if os.path.islink(top):
        return
    pending, names = _emptied(top, None), itertools.count()
    while pending:
        path = pending.pop()
        pending += _emptied(path, (os.path.join(top, f".gone-{number}") for number in names))
        with contextlib.suppress(OSError):
            os.rmdir(path)
    with contextlib.suppress(OSError):
        os.rmdir(top)


def _emptied(path: str, places: Iterator[str] | None) -> list[str]:
    """Removes the files of a folder and moves its folders to `places`, if there are any; gives where they are then."""
    left = []
    try:
        if os.geteuid() != 0:
            os.chmod(path, 0o700)
        with os.scandir(path) as found:
            entries = list(found)
    except OSError:
        return []
    for entry in entries:
        with contextlib.suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif places is None:
                left.append(entry.path)
            else:
                left.append(_moved(entry.path, places))
    return left


def _moved(path: str, places: Iterator[str]) -> str:
    """Moves a folder; where that cannot be, as on a disk without room for its name, it goes here and now."""
    place = next(places)
    try:
        if os.geteuid() != 0:
            os.chmod(path, 0o700)  # its entry for the folder above changes
        os.rename(path, place)
    except OSError:
        with contextlib.suppress(RecursionError):
            shutil.rmtree(path, ignore_errors=True)
    return place
