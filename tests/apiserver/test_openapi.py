"""OpenAPI: what kubectl reads of the types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fairlead.apiserver.kinds import KINDS
from fairlead.apiserver.openapi import PROTOBUF_ASKED, OpenApi

OPENAPI = OpenApi(KINDS, "v1.36.2")


def document(path: str) -> Any:
    found = OPENAPI.document(path, "application/json")
    assert found is not None
    return msgspec.json.decode(found[1])


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_leads_somewhere() -> None:
    v2 = document("/openapi/v2")
    assert {name.removeprefix("#/definitions/") for name in references(v2)} <= set(v2["definitions"])
    for path in document("/openapi/v3")["paths"]:
        v3 = document(f"/openapi/v3/{path}")
        known = set(v3["components"]["schemas"])
        assert {name.removeprefix("#/components/schemas/") for name in references(v3)} <= known


def test_ports_merge_by_their_number() -> None:
    spec = document("/openapi/v2")["definitions"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]
    assert spec["ports"]["x-kubernetes-patch-merge-key"] == "port"
    assert spec["ports"]["x-kubernetes-patch-strategy"] == "merge"
    assert spec["ports"]["x-kubernetes-list-map-keys"] == ["port", "protocol"]


def test_the_server_validates_fields_itself() -> None:
    for path in ("/openapi/v2", "/openapi/v3/api/v1"):
        patch = document(path)["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
        assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
        assert patch["x-kubernetes-group-version-kind"]["kind"] == "Service"


def test_kinds_are_known_by_their_names() -> None:
    definition = document("/openapi/v2")["definitions"]["io.k8s.api.discovery.v1.EndpointSlice"]
    own = {"group": "discovery.k8s.io", "kind": "EndpointSlice", "version": "v1"}
    assert definition["x-kubernetes-group-version-kind"] == [own]
    assert {"apiVersion", "kind", "metadata"} <= set(definition["properties"])


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message, the only ones above the leaves."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            octet = message[at]
            at += 1
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return value

    while at < len(message):
        key = varint()
        assert key & 7 == 2
        size = varint()
        yield key >> 3, message[at : at + size]
        at += size


@pytest.mark.parametrize("accept", PROTOBUF_ASKED)
def test_the_protobuf_form_has_the_same_definitions(accept: str) -> None:
    found = OPENAPI.document("/openapi/v2", accept)
    assert found is not None
    top = dict(fields(found[1]))
    assert top[1] == b"2.0"
    names = [dict(fields(entry))[1].decode() for number, entry in fields(top[9]) if number == 1]
    assert names == list(document("/openapi/v2")["definitions"])
    assert "@" not in found[0]
