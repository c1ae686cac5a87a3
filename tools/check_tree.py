"""The check that the tree works everywhere: no file names a package registry's address or a path of one machine.

    python tools/check_tree.py [FOLDER]    exit status 1, with file and line, where one does

Where packages come from is the user's configuration of pip and apt, never the project's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN = {
    "the address of a package registry": re.compile(
        r"https?://[\w.@:-]*\b(pypi|pythonhosted|npmjs)\.(org|com)\b|https?://(deb|security|ftp)\.debian\.org\b"
    ),
    "a place for pip to look": re.compile(
        r"^\s*(--index-url|--extra-index-url|--find-links|-i|-f)[\s=]\s*\S*/"
    ),
    "a path of one machine": re.compile(
        r"((?<=file://)|(?<![\w.}~*/-]))/(work|opt/wheels|opt/pypi[\w-]*)(?![\w.-])"
    ),
}
MADE = (".git", ".venv", "__pycache__", "build", "dist")


def committed(root: Path) -> Iterator[Path]:
    """The files that git knows of; those of an unpacked archive are all but the ones that are made."""
    if (root / ".git").exists():
        command = ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z"]
        try:
            listing = subprocess.run(command, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            pass  # no git here
        else:
            yield from (root / name for name in listing.decode().split("\0") if name)
            return
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name for name in folders if name not in MADE and not name.endswith(("_cache", ".egg-info"))
        ]
        yield from (Path(folder, name) for name in files)


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers, from 1, with what is forbidden there."""
    for what, pattern in FORBIDDEN.items():
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield number, what


def main() -> int:
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    found = False
    for path in committed(root):
        if not path.is_file():
            continue  # deleted, and not committed yet
        for number, what in findings(path.read_text(errors="replace")):
            print(f"{path.relative_to(root)}:{number}: {what}")
            found = True
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
