"""Names of images: their parts, and which names mean the same. Pure.

Upstream: github.com/distribution/reference (reference.go has the grammar, normalize.go the defaults).
"""

from __future__ import annotations

import re

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])"
_NAME = re.compile(
    rf"(?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
_DEFAULT_HOSTS = ("docker.io/", "index.docker.io/")


def repository(name: str) -> str:
    """An image name without tag and digest: `example.org:5000/web:1.2@sha256:...` is `example.org:5000/web`."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def familiar(name: str) -> str:
    """The shortest name for the same image: `docker.io/library/nginx:1` is `nginx:1`. Patterns stay what they are."""
    for host in _DEFAULT_HOSTS:
        name = name.removeprefix(host)
    return name.removeprefix("library/")


def problem(name: str) -> str:
    """Why a name is none (the message of InvalidImageName); nothing if it is one."""
    if _NAME.fullmatch(name) and len(repository(name)) <= 255:
        return ""
    wrong = "invalid reference format"
    path = repository(name)
    if path != path.lower() and _NAME.fullmatch(path.lower()):
        wrong += f": repository name ({path}) must be lowercase"
    return f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {wrong}'
