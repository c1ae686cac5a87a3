"""What a request asks for, read from its method and path.

Upstream: apiserver/pkg/endpoints/request RequestInfo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from fairlead.objects.status import bad_request

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMESPACE_PARTS = ("status", "finalize")
"""After `/namespaces/NAME/` these are parts of the namespace; everything else is a resource in it."""

METHODS = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
"""The method of each verb; watches are lists."""

OF_OBJECTS = ("get", "update", "patch", "delete")
OF_COLLECTIONS = ("list", "create", "deletecollection")

WHOLE = re.compile(r"[+-]?[0-9]+")


class RequestInfo(msgspec.Struct, frozen=True, gc=False):
    """A request for a resource, or for another path (`resource` is then empty)."""

    method: str
    path: str
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: tuple[str, ...] = ()
    """What follows the subresource."""


def request_info(method: str, path: str, watch: bool = False) -> RequestInfo:
    """The verb and the object that a request is about. `path` is still percent-encoded, without its query.

    It is decoded before it is taken apart, as upstream does, so that who may ask and what is answered cannot differ;
    what has an empty part is no resource, unless that follows a proxy.
    """
    if "%" in path:
        path = unquote(path)
    parts = path[1:].removesuffix("/").split("/")
    hollow = "" in parts
    if hollow and "proxy" not in parts:
        return RequestInfo(method, path)
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(method, path)
    namespace = ""
    # Deprecated, and served by upstream still: /api/v1/watch/pods, /api/v1/watch/namespaces/default/pods/web.
    watched = rest[0] == "watch" and len(rest) > 1
    if watched:
        rest = rest[1:]
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_PARTS:
            rest = rest[2:]
    resource, name, subresource = (*rest[:3], "", "")[:3]
    # What follows a proxy is somebody else's path.
    if hollow and (subresource != "proxy" or "" in parts[: len(parts) - len(rest) + 3]):
        return RequestInfo(method, path)
    if method in ("GET", "HEAD"):
        verb = "get" if name else "watch" if watch else "list"
        if watched and not subresource:
            verb = "watch"
    else:
        verb = VERBS.get(method, "")
        if verb == "delete" and not name:
            verb = "deletecollection"
    return RequestInfo(
        method, path, verb, group, version, resource, namespace, name, subresource, tuple(rest[3:])
    )


class Query(Mapping[str, str]):
    """The query of a URL; where a name is given twice, the first counts."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        if text:
            for name, value in parse_qsl(text, keep_blank_values=True):
                self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
        return self._values[name][0]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """The first value of a parameter, as of any mapping."""
        values = self._values.get(name)
        return default if values is None else values[0]

    def text(self, name: str) -> str:
        """A parameter, "" where it is absent."""
        values = self._values.get(name)
        return values[0] if values is not None else ""

    def all(self, name: str) -> list[str]:
        """Every value of a parameter that may be given several times."""
        return self._values.get(name, [])

    def flag(self, name: str) -> bool:
        """A boolean parameter: everything but `0` and `false` is true (upstream: Convert_Slice_string_To_bool)."""
        values = self._values.get(name)
        return values is not None and values[0].lower() not in ("0", "false")

    def number(self, name: str) -> int | None:
        """A whole number of 64 bits. Raises 400 for anything else."""
        value = self.text(name)
        if not value:
            return None
        if not WHOLE.fullmatch(value):
            raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        if len(value) > 20 or not -(2**63) <= int(value) < 2**63:
            raise bad_request(f'strconv.ParseInt: parsing "{value}": value out of range')
        return int(value)
