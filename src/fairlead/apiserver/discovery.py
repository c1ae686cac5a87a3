"""Discovery: which groups, versions, kinds the server has.

The documents follow from the table of kinds, so they are made once: one a path, and the aggregated form for clients
that ask for it (KEP-3352), which is all that kubectl reads today.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from fairlead.apiserver.etags import OK, Answer, Document
from fairlead.apiserver.kind import Kind, Subresource
from fairlead.apiserver.negotiation import options
from fairlead.objects.codec import encode

JSON = "application/json"
GROUP = "apidiscovery.k8s.io"
AGGREGATED = "APIGroupDiscoveryList"
AGGREGATED_VERSIONS = ("v2", "v2beta1")


class Discovery:
    """The documents for `kinds`; `address` is what clients in the cluster reach the server at, HOST:PORT."""

    def __init__(self, kinds: Iterable[Kind], address: str = "") -> None:
        groups: dict[str, dict[str, list[Kind]]] = {}
        for kind in kinds:
            groups.setdefault(kind.resource.group, {}).setdefault(kind.resource.version, []).append(kind)
        core = groups.pop("", {})
        where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
        versions = {"kind": "APIVersions", "versions": list(core), "serverAddressByClientCIDRs": where}
        named = [_group(name, versions) for name, versions in groups.items()]
        documents: dict[str, Any] = {
            "/api": versions,
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": named},
        }
        for group in named:
            documents[f"/apis/{group['name']}"] = {"kind": "APIGroup", "apiVersion": "v1", **group}
        for name, served in {"": core, **groups}.items():
            for version, members in served.items():
                at = f"/apis/{name}/{version}" if name else f"/api/{version}"
                documents[at] = _resources(f"{name}/{version}" if name else version, members)
        self._documents = {path: encode(document) for path, document in documents.items()}
        self._aggregated: dict[tuple[str, str], Document] = {}
        for form in AGGREGATED_VERSIONS:
            media = f"{JSON};g={GROUP};v={form};as={AGGREGATED}"
            for path, listed in (("/api", {"": core}), ("/apis", groups)):
                self._aggregated[path, form] = Document(media, encode(_aggregated(form, listed)))

    def answer(self, path: str, asked: Mapping[str, str]) -> Answer | None:
        """What is answered at a path, None where nothing is. `asked` are the headers of the request.

        Clients may keep the aggregated form; whether it is still true, its ETag says (upstream: ServeHTTPWithETag).
        """
        path = path.rstrip("/")
        for media, parameters in options(asked.get("Accept", "")):
            form = parameters.get("v", "")
            wanted = parameters.get("g") == GROUP and parameters.get("as") == AGGREGATED
            document = self._aggregated.get((path, form))
            if wanted and media == JSON and document is not None:
                return document.answer(asked, {"Cache-Control": "public"})
        body = self._documents.get(path)
        return None if body is None else Answer(OK, JSON, body)


def _group(name: str, versions: Iterable[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _parts(kind: Kind) -> list[Subresource]:
    """The parts of a kind's objects, by name."""
    status = [Subresource("status", kind.resource.kind, ("get", "patch", "update"))] if kind.status else []
    return sorted([*kind.subresources, *status], key=lambda part: part.name)


def _resources(group_version: str, kinds: Iterable[Kind]) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for kind in sorted(kinds, key=lambda one: one.plural):
        resource = kind.resource
        entry: dict[str, Any] = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": kind.verbs,
        }
        if kind.short_names:
            entry["shortNames"] = kind.short_names
        if kind.categories:
            entry["categories"] = kind.categories
        if kind.kept:
            stored = f"{resource.group}/{resource.version}/{resource.kind}"
            entry["storageVersionHash"] = b64encode(sha256(stored.encode()).digest()[:8]).decode()
        listed.append(entry)
        for part in _parts(kind):
            own = {"group": part.group, "version": part.version} if part.group or part.version else {}
            listed.append(
                {
                    "name": f"{kind.plural}/{part.name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    **own,
                    "kind": part.kind,
                    "verbs": part.verbs,
                }
            )
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _aggregated(form: str, groups: dict[str, dict[str, list[Kind]]]) -> dict[str, Any]:
    items = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {
                    "version": version,
                    "resources": [_discovered(k) for k in sorted(kinds, key=lambda one: one.plural)],
                    "freshness": "Current",
                }
                for version, kinds in versions.items()
            ],
        }
        for name, versions in groups.items()
    ]
    api_version = f"{GROUP}/{form}"
    return {"kind": AGGREGATED, "apiVersion": api_version, "metadata": {}, "items": items}


def _discovered(kind: Kind) -> dict[str, Any]:
    resource = kind.resource
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    }
    if kind.short_names:
        entry["shortNames"] = kind.short_names
    if kind.categories:
        entry["categories"] = kind.categories
    if parts := _parts(kind):
        entry["subresources"] = [
            {
                "subresource": part.name,
                "responseKind": {
                    "group": part.group or resource.group,
                    "version": part.version or resource.version,
                    "kind": part.kind,
                },
                "verbs": part.verbs,
            }
            for part in parts
        ]
    return entry
