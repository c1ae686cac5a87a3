"""The documents of OpenAPI: `/openapi/v2`, as JSON and in the protobuf form that kubectl before 1.27 reads, and
`/openapi/v3` with a document a group version.

They are made when they are first asked for. What is made of a kind is kept as long as the kind is, so that a definition
of custom resources that comes, changes or goes costs no more than its own part, and the joining of the parts.
Upstream: kube-openapi's pkg/{builder,builder3,handler,handler3}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from fairlead.apiserver.etags import MOVED, NOT_ACCEPTABLE, Answer, Document
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.negotiation import options
from fairlead.apiserver.openapi import elsewhere, gnostic, operations, published, rendering, schemas
from fairlead.apiserver.openapi.operations import Operations
from fairlead.apiserver.openapi.schemas import V2, V3
from fairlead.apiserver.requests import Query
from fairlead.objects import schema
from fairlead.objects.codec import encode

JSON = "application/json"
PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PROTOBUF_ASKED = (PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""Older clients ask with an `@`, which no media type may have, so it is not in the answer."""

KEPT_FOR = timedelta(days=365)
"""How long a document may be kept that was asked for by its hash: for ever, in HTTP's words."""

Json = dict[str, Any]
Raw = dict[str, msgspec.Raw]

TOKEN: Json = {
    "BearerToken": {
        "description": "A bearer token",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }
}
SECURITY = [{"BearerToken": list[str]()}]


def _raw(of: Mapping[str, Any]) -> Raw:
    return {name: msgspec.Raw(encode(value)) for name, value in of.items()}


@dataclass(frozen=True)
class Part:
    """What some operations are in one of the versions: members of the document, each as it is sent."""

    paths: Raw
    definitions: Raw
    paths_protobuf: bytes
    definitions_protobuf: Mapping[str, bytes]
    """In version 2 only."""


def _part(asked: Operations, prefix: str, own: Mapping[str, Any]) -> Part:
    paths = rendering.paths(asked, prefix)
    definitions = {**schemas.named(_types(asked, own), prefix), **own}
    if prefix == V3:
        return Part(_raw(paths), _raw(definitions), b"", {})
    encoded = {name: gnostic.definition(name, of) for name, of in definitions.items()}
    return Part(_raw(paths), _raw(definitions), gnostic.paths(paths), encoded)


def _types(asked: Operations, own: Mapping[str, Any]) -> Iterable[str]:
    """The types that operations speak of; those of custom resources have the metadata of all."""
    for of in asked.values():
        for one in of:
            yield from (one.body, *one.answers.values())
    if own:
        yield from (f"{schema.META}.ObjectMeta", f"{schema.META}.ListMeta")


PARTS: Mapping[str, WeakKeyDictionary[Kind, Part]] = {V2: WeakKeyDictionary(), V3: WeakKeyDictionary()}


def _part_of_kind(kind: Kind, prefix: str) -> Part:
    found = PARTS[prefix].get(kind)
    if found is None:
        own = published.definitions(kind, prefix)
        found = PARTS[prefix][kind] = _part(operations.of_kind(kind), prefix, own)
    return found


def _place(kind: Kind) -> str:
    """Where the document of its group version is, without slashes around it."""
    resource = kind.resource
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


Made = dict[str, tuple[tuple[Kind, ...], Document]]
"""The documents of version 3 by their place, each with the kinds that it was made of."""


class OpenApi:
    """The documents for `kinds`; `version` is the server's. What has not changed is taken from `before`."""

    def __init__(self, kinds: Iterable[Kind], version: str, before: OpenApi | None = None) -> None:
        self._kinds = tuple(kinds)
        self._version = version
        self._made: Made = {}
        self._before: Made = (before._made or before._before) if before is not None else {}

    def answer(self, path: str, query: Query, asked: Mapping[str, str]) -> Answer | None:
        """What is answered at a path, None where nothing is. `asked` are the headers of the request."""
        path = path.rstrip("/")
        accepted = [media for media, _ in options(asked.get("Accept", ""))]
        if path == "/openapi/v2":
            for media in accepted:
                if media in PROTOBUF_ASKED:
                    return self._v2_protobuf.answer(asked, {})
                if media in (JSON, "application/*", "*/*"):
                    return self._v2_json.answer(asked, {})
            return _not_acceptable()
        if path == "/openapi/v3":
            return self._v3_index.answer(asked, {})
        at = path.removeprefix("/openapi/v3/")
        if at == path or (document := self._v3.get(at)) is None:
            return None
        if not {JSON, "application/*", "*/*"} & set(accepted):
            return _not_acceptable()
        wanted = query.text("hash")
        if not wanted:
            return document.answer(asked, {})
        if wanted != document.hash:
            return Answer(MOVED, JSON, b"", {"Location": _by_hash(at, document), "Vary": "Accept"})
        expires = format_datetime(datetime.now(UTC) + KEPT_FOR, usegmt=True)
        return document.answer(asked, {"Cache-Control": "public, immutable", "Expires": expires})

    @property
    def _info(self) -> Json:
        return {"title": "Kubernetes", "version": self._version}

    @cached_property
    def _groups(self) -> Mapping[str, tuple[Kind, ...]]:
        """The kinds by the place of their document, and the places of all discovery that they need."""
        found: dict[str, list[Kind]] = {"api": [], "apis": []}
        for kind in self._kinds:
            place = _place(kind)
            found.setdefault(place.rpartition("/")[0], [])
            found.setdefault(place, []).append(kind)
        return {place: tuple(kinds) for place, kinds in found.items()}

    def _parts(self, prefix: str) -> Iterable[Part]:
        for place, kinds in self._groups.items():
            yield _part(elsewhere.of_discovery(place), prefix, {})
            yield from (_part_of_kind(kind, prefix) for kind in kinds)
        yield from (_part(of, prefix, {}) for of in elsewhere.OTHERS.values())

    @cached_property
    def _v2_json(self) -> Document:
        paths, definitions = _joined(self._parts(V2))
        return Document(
            JSON,
            encode(
                {
                    "swagger": "2.0",
                    "info": self._info,
                    "paths": paths,
                    "definitions": definitions,
                    "securityDefinitions": TOKEN,
                    "security": SECURITY,
                }
            ),
        )

    @cached_property
    def _v2_protobuf(self) -> Document:
        paths: list[bytes] = []
        definitions: dict[str, bytes] = {}
        for part in self._parts(V2):
            paths.append(part.paths_protobuf)
            definitions.update(part.definitions_protobuf)
        body = gnostic.document(
            self._info,
            b"".join(paths),
            b"".join(of for _, of in sorted(definitions.items())),
            TOKEN,
            SECURITY,
        )
        return Document(PROTOBUF, body, self._v2_json.body)

    @cached_property
    def _v3(self) -> Mapping[str, Document]:
        found = {place: self._of_place(place, kinds) for place, kinds in self._groups.items()}
        self._before = {}
        found |= {place: self._of_operations([_part(of, V3, {})]) for place, of in elsewhere.OTHERS.items()}
        return dict(sorted(found.items()))

    def _of_place(self, place: str, kinds: tuple[Kind, ...]) -> Document:
        made = self._before.get(place)
        if made is None or made[0] != kinds:
            discovery = _part(elsewhere.of_discovery(place), V3, {})
            made = kinds, self._of_operations([discovery, *(_part_of_kind(kind, V3) for kind in kinds)])
        self._made[place] = made
        return made[1]

    def _of_operations(self, parts: Iterable[Part]) -> Document:
        paths, definitions = _joined(parts)
        return Document(
            JSON,
            encode(
                {
                    "openapi": "3.0.0",
                    "info": self._info,
                    "paths": paths,
                    "components": {"schemas": definitions, "securitySchemes": TOKEN},
                    "security": SECURITY,
                }
            ),
        )

    @cached_property
    def _v3_index(self) -> Document:
        """Where the documents are, each by the hash of what it says, so that clients may keep it for ever."""
        found = {at: {"serverRelativeURL": _by_hash(at, document)} for at, document in self._v3.items()}
        return Document(JSON, encode({"paths": found}))


def _joined(parts: Iterable[Part]) -> tuple[Raw, Raw]:
    paths: Raw = {}
    definitions: Raw = {}
    for part in parts:
        paths |= part.paths
        definitions |= part.definitions
    return dict(sorted(paths.items())), dict(sorted(definitions.items()))


def _by_hash(at: str, document: Document) -> str:
    return f"/openapi/v3/{at}?hash={document.hash}"


def _not_acceptable() -> Answer:
    return Answer(NOT_ACCEPTABLE, "text/plain; charset=utf-8", b"", {"Vary": "Accept"})
