"""A directory of manifests as the objects that the proxy follows, for previews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from fairlead.objects import services as service_rules
from fairlead.objects.codec import decode
from fairlead.objects.core_v1 import Node, Service
from fairlead.proxy.resources import EndpointSlice

T = TypeVar("T")

SUFFIXES = (".yaml", ".yml", ".json")


class ManifestError(ValueError):
    """A file cannot be read as manifests. The text says which, and why."""


@dataclass(slots=True)
class Manifests:
    """What the files hold, by `namespace/name`; nodes by name. Objects of other kinds are passed over."""

    services: dict[str, Service] = field(default_factory=dict)
    slices: dict[str, EndpointSlice] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)


def read(directory: Path) -> Manifests:
    """All files of YAML or JSON in the directory, in the order of their names. Raises ManifestError."""
    found = Manifests()
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix in SUFFIXES)
    except OSError as error:
        raise ManifestError(f"{directory}: {error.strerror}") from error
    if not paths:
        raise ManifestError(f"{directory}: there is no manifest in it ({', '.join(SUFFIXES)})")
    for path in paths:
        try:
            for number, document in enumerate(_documents(path), 1):
                _enter(document, found, f"{path}: object {number}")
        except OSError as error:
            raise ManifestError(f"{path}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}: {' '.join(str(error).split())}") from error
    return found


def _documents(path: Path) -> Iterator[Any]:
    for document in yaml.load_all(path.read_text(), yaml.CSafeLoader):
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List"):
            yield from document.get("items") or ()
        elif document is not None:
            yield document


def _enter(document: Any, found: Manifests, where: str) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ManifestError(f"{where} has no kind")
    kind = document["kind"]
    if kind == "Service":
        service = service_rules.default(_typed(Service, _placed(document, where), where))
        found.services[_key(service)] = service
    elif kind == "EndpointSlice":
        piece = _typed(EndpointSlice, _placed(document, where), where)
        found.slices[_key(piece)] = piece
    elif kind == "Node":
        node = _typed(Node, document, where)
        found.nodes[node.metadata.name] = node


def _placed(document: dict[str, Any], where: str) -> dict[str, Any]:
    """The object in a namespace: where it names none, kubectl puts it into `default`."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise ManifestError(f"{where} has no metadata")
    return document | {"metadata": metadata | {"namespace": metadata.get("namespace") or "default"}}


def _typed(kind: type[T], document: dict[str, Any], where: str) -> T:
    try:
        return decode(kind, msgspec.json.encode(document))
    except (msgspec.MsgspecError, TypeError) as error:
        raise ManifestError(f"{where}: {error}") from error


def _key(thing: Service | EndpointSlice) -> str:
    return f"{thing.metadata.namespace}/{thing.metadata.name}"
