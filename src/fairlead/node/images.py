"""Image names as programs: the map from what a pod calls its image to what this host runs for it."""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fairlead.node.environment import PATH
from fairlead.node.imagenames import familiar, repository

FIELDS = ("entrypoint", "command", "env", "workingDir", "root", "overlay", "user")
"""Of an entry in an image map."""


@dataclass(frozen=True)
class Image:
    """What stands behind an image name.

    `entrypoint` and `command` mean what they do in a Dockerfile: a container's `command` replaces both, its `args`
    replace `command`. `root` is a folder that becomes the container's root, or with `overlay` lies over the host's
    files; without it the host's files are seen. `user` is a number or a name, with or without `:group`.
    `files` (texts by path) and `links` (targets by path) are put into the container's root. `needs` is a program of the
    host without which the image cannot be run, unless `stand_in` is called in its place; `package` is Debian's with it.
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
    needs: str = ""
    package: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    stand_in: Callable[[], int] | None = None
    run: Callable[[], int] | None = None


class ImageError(ValueError):
    """An image map that breaks a rule. The message has the file, the entry and the rule."""


def find(name: str, images: Mapping[str, Image]) -> tuple[str, Image] | None:
    """The pattern and image for a name: the exact name first, then the first pattern in the map's order.

    A pattern is a shell glob. One without a tag or digest stands for every tag and digest of its repository. Names are
    compared as Docker does it: `nginx` is `docker.io/library/nginx`.
    """
    short = familiar(name)
    candidates = (short, short.partition("@")[0], repository(short))
    for candidate in candidates:
        if candidate in images:
            return candidate, images[candidate]
    for pattern, image in images.items():
        if any(fnmatch.fnmatchcase(candidate, pattern) for candidate in candidates):
            return pattern, image
    return None


def merge(own: Mapping[str, Image], *others: Mapping[str, Image]) -> dict[str, Image]:
    """One map of several: an entry of an earlier one wins, whether both names are patterns or not."""
    merged = dict(own)
    for more in others:
        merged |= {name: image for name, image in more.items() if find(name, own) is None}
    return merged


def missing(name: str, images: Mapping[str, Image]) -> str:
    """Why this host cannot run an image by its own entrypoint, and what to do; nothing if it can."""
    found = find(name, images)
    line = f"{quoted(repository(familiar(name)))}: {{entrypoint: [PROGRAM, ARGUMENT]}}"
    if found is None:
        return (
            f'the node\'s image map has no entry for "{name}": give the container a command, which then runs on the '
            f"host's files, or add a line to the map (--images FILE), like  {line}"
        )
    image = found[1]
    if image.run is not None or image.stand_in is not None or is_there(image):
        return ""
    if image.needs:
        what = f"this host has no {image.needs}: install the Debian package {image.package}, or"
    else:
        what = f"Debian's package {image.package} has the program, but how it is to be started, nothing here knows:"
    return f'the image "{name}" cannot be run: {what} add a line to the map (--images FILE), like  {line}'


def is_there(image: Image) -> bool:
    """Whether the host has the program of an image. What was found once is not looked for again."""
    if not image.needs:
        return not image.package
    if image.needs not in _found and shutil.which(image.needs, path=PATH) is not None:
        _found.add(image.needs)
    return image.needs in _found


def describe(image: Image) -> str:
    """In a few words, how this host runs an image."""
    if image.run is not None:
        return "built in"
    if is_there(image):
        words = " ".join(image.entrypoint or image.command).split("\n")[0]
        where = f" in {image.root}" if image.root else ""
        return f"{image.needs}, the host's" if image.needs else f"{words}{where}"
    if image.stand_in is not None:
        return f"a stand-in (Debian's package {image.package} has the program)"
    if image.needs:
        return f"not here: Debian's package {image.package} has {image.needs}"
    return f"not here: Debian's package {image.package} has it, with a line in the map"


_found: set[str] = set()


def quoted(name: str) -> str:
    """A name as a key in YAML."""
    return f'"{name}"' if ":" in name else name


def program(image: Image) -> Callable[[], int] | None:
    """What is called in the container's process in place of a program: a built-in image, a needed stand-in."""
    if image.run is not None or image.stand_in is None or is_there(image):
        return image.run
    return image.stand_in


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
    return {familiar(str(name)): _image(path, str(name), entry) for name, entry in document.items()}


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
