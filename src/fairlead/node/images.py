"""Image names as programs: the map from what a pod calls its image to what this host runs for it."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FIELDS = ("entrypoint", "command", "env", "workingDir", "root", "overlay", "user")
"""Of an entry in an image map."""


@dataclass(frozen=True)
class Image:
    """What stands behind an image name.

    `entrypoint` and `command` mean what they do in a Dockerfile: a container's `command` replaces both, its `args`
    replace `command`. `root` is a folder that becomes the container's root, or with `overlay` lies over the host's
    files; without it the host's files are seen. `user` is a number or a name, with or without `:group`.
    `run` makes a built-in image: it is called in the container's process, without exec, with `sys.argv` set, and
    returns the exit status.
    """

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    root: Path | None = None
    overlay: bool = False
    user: str = ""
    run: Callable[[], int] | None = None


class ImageError(ValueError):
    """An image map that breaks a rule. The message has the file, the entry and the rule."""


def builtin() -> dict[str, Image]:
    """The images that are part of this package."""
    from fairlead.node import echo

    return {"fairlead/echo": Image(entrypoint=("echo",), run=echo.main)}


def find(name: str, images: Mapping[str, Image]) -> tuple[str, Image] | None:
    """The pattern and image for a name: the exact name first, then the first pattern in the map's order.

    A pattern is a shell glob. One without a tag or digest stands for every tag and digest of its repository.
    """
    for candidate in (name, repository(name)):
        if candidate in images:
            return candidate, images[candidate]
    for pattern, image in images.items():
        if any(fnmatch.fnmatchcase(candidate, pattern) for candidate in (name, repository(name))):
            return pattern, image
    return None


def repository(name: str) -> str:
    """An image name without tag and digest: `example.org:5000/web:1.2@sha256:...` is `example.org:5000/web`."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def identifier(name: str, image: Image | None) -> str:
    """The `imageID` of a container's status: the same for the same entry of the map."""
    said = "host" if image is None else repr((image.entrypoint, image.command, image.directory, image.root))
    return f"{repository(name) or 'host'}@sha256:{hashlib.sha256(said.encode()).hexdigest()}"


def load_images(path: Path) -> dict[str, Image]:
    """Reads a map in YAML: name pattern to an object with `FIELDS`.

    `entrypoint` and `command` are lists; `env` is an object of strings; `root` is a folder, relative to the file;
    `overlay` is a truth value.
    Raises `ImageError` for anything else, and `OSError` where the file cannot be read.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ImageError(f"{path}: not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ImageError(f"{path}: expected an object from image names to programs")
    return {str(name): _image(path, str(name), entry) for name, entry in document.items()}


def _image(path: Path, name: str, entry: Any) -> Image:
    def refuse(what: str) -> ImageError:
        return ImageError(f"{path}: {name}: {what}")

    if not isinstance(entry, dict):
        raise refuse("expected an object with " + ", ".join(FIELDS))
    unknown = entry.keys() - set(FIELDS)
    if unknown:
        raise refuse(f"unknown field {', '.join(sorted(map(str, unknown)))}")
    words = {}
    for part in ("entrypoint", "command"):
        given = entry.get(part) or []
        if not isinstance(given, list):
            raise refuse(f"{part}: expected a list of strings")
        words[part] = tuple(str(word) for word in given)
    if not words["entrypoint"] and not words["command"]:
        raise refuse("needs an entrypoint or a command")
    environment = entry.get("env") or {}
    if not isinstance(environment, dict):
        raise refuse("env: expected an object of names and values")
    root = (path.parent / str(entry["root"])).resolve() if entry.get("root") else None
    if root is not None and not root.is_dir():
        raise refuse(f"root: {root} is not a folder")
    overlay = entry.get("overlay", False)
    if not isinstance(overlay, bool) or (overlay and root is None):
        raise refuse("overlay: expected true or false, and true only with a root")
    return Image(
        entrypoint=words["entrypoint"],
        command=words["command"],
        environment={str(k): str(v) for k, v in environment.items()},
        directory=str(entry.get("workingDir") or ""),
        root=root,
        overlay=overlay,
        user=str(entry.get("user") or ""),
    )
