"""The documents of OpenAPI: what kubectl and client generators read of the types, and how clients keep it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from fairlead.apiserver.etags import Answer
from fairlead.apiserver.kinds import KINDS
from fairlead.apiserver.openapi.descriptions import DESCRIPTIONS, ITSELF
from fairlead.apiserver.openapi.documents import PROTOBUF, PROTOBUF_ASKED, OpenApi
from fairlead.apiserver.openapi.schemas import definition_name
from fairlead.apiserver.openapi.values import CORE, ENUMS
from fairlead.apiserver.requests import Query
from fairlead.objects import schema, services
from fairlead.objects.core_v1 import Service

OPENAPI = OpenApi(KINDS, "v1.36.2")


def asked(path: str, query: str = "", **headers: str) -> Answer:
    found = OPENAPI.answer(
        path, Query(query), {name.replace("_", "-"): value for name, value in headers.items()}
    )
    assert found is not None
    return found


def document(path: str) -> Any:
    return msgspec.json.decode(asked(path).body)


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


def test_values_are_told_where_there_are_few() -> None:
    for name, fields in ENUMS.items():
        of = schema.type_named(name)
        assert of is not None, name
        for field, values in fields.items():
            assert of.fields[field].type == "string", (name, field)
            assert list(values) == sorted(values), (name, field)
    schemas = document("/openapi/v3/api/v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]
    assert spec["type"]["enum"] == ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
    port = schemas["io.k8s.api.core.v1.ServicePort"]["properties"]["protocol"]
    assert (port["default"], port["enum"]) == ("TCP", ["SCTP", "TCP", "UDP"])
    old = document("/openapi/v2")["definitions"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]
    assert "enum" not in old["type"]


def refused(spec: dict[str, Any]) -> list[str]:
    """The values that validation has for the one that is wrong."""
    obj = {
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"ports": [{"port": 80}], "clusterIP": "10.0.0.1", **spec},
    }
    errors = services.validate(services.default(msgspec.convert(obj, Service)))
    [said] = [error.detail for error in errors if "supported values" in error.detail]
    return said.removeprefix("supported values: ").replace('"', "").split(", ")


@pytest.mark.parametrize("field", ENUMS[f"{CORE}.ServiceSpec"])
def test_the_values_of_a_service_are_those_that_validation_takes(field: str) -> None:
    more = {"type": "NodePort"} if field == "externalTrafficPolicy" else {}
    assert refused({**more, field: "x"}) == list(ENUMS[f"{CORE}.ServiceSpec"][field])


def test_ports_merge_by_their_number() -> None:
    spec = document("/openapi/v2")["definitions"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]
    assert spec["ports"]["x-kubernetes-patch-merge-key"] == "port"
    assert spec["ports"]["x-kubernetes-patch-strategy"] == "merge"
    assert spec["ports"]["x-kubernetes-list-map-keys"] == ["port", "protocol"]


def test_the_server_validates_fields_itself() -> None:
    for path in ("/openapi/v2", "/openapi/v3/api/v1"):
        patch = document(path)["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
        assert "fieldValidation" in [one["name"] for one in patch["parameters"] if "name" in one]
        assert patch["x-kubernetes-group-version-kind"]["kind"] == "Service"


def test_kinds_are_known_by_their_names() -> None:
    definition = document("/openapi/v2")["definitions"]["io.k8s.api.discovery.v1.EndpointSlice"]
    own = {"group": "discovery.k8s.io", "kind": "EndpointSlice", "version": "v1"}
    assert definition["x-kubernetes-group-version-kind"] == [own]
    assert {"apiVersion", "kind", "metadata"} <= set(definition["properties"])


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_every_field_of_what_services_are_made_of_is_described(name: str) -> None:
    of = schema.type_named(name)
    assert of is not None
    assert DESCRIPTIONS[name].keys() - {ITSELF} == of.fields.keys() - {"apiVersion", "kind"}
    for path, at in (("/openapi/v2", "definitions"), (f"/openapi/v3/{place(name)}", "components")):
        found = document(path)[at]
        fields = found.get("schemas", found)[definition_name(name)]["properties"]
        assert all(field["description"] for field in fields.values())


def place(name: str) -> str:
    """Where the document of a type is."""
    group, version = name.split(".")[-3:-1]
    return f"api/{version}" if group == "core" else f"apis/{group}.k8s.io/{version}"


HEADERS = {"ETag", "Vary"}


@pytest.mark.parametrize(
    "path", ["/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/openapi/v3/apis/apps"]
)
def test_who_has_a_document_is_told_so(path: str) -> None:
    first = asked(path)
    assert (first.status, first.headers["Vary"], set(first.headers)) == (200, "Accept", HEADERS)
    etag = first.headers["ETag"]
    assert etag == f'"{etag.strip(chr(34)).upper()}"'
    for known in (etag, f'"other", W/{etag}', "*"):
        again = asked(path, If_None_Match=known)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    assert asked(path, If_None_Match='"other"').status == 200


def test_a_document_that_is_asked_for_by_its_hash_never_changes() -> None:
    at = "/openapi/v3/apis/discovery.k8s.io/v1"
    url = document("/openapi/v3")["paths"]["apis/discovery.k8s.io/v1"]["serverRelativeURL"]
    path, _, query = url.partition("?")
    assert path == at
    found = asked(path, query)
    assert (found.status, found.headers["Cache-Control"]) == (200, "public, immutable")
    assert found.headers["Expires"].endswith(" GMT")
    assert query == f"hash={found.headers['ETag'].strip(chr(34))}"
    moved = asked(path, "hash=OLD")
    assert (moved.status, moved.headers["Location"], moved.body) == (301, url, b"")
    assert asked(path, query, If_None_Match=found.headers["ETag"]).status == 304


def test_what_is_not_served_in_a_form() -> None:
    assert asked("/openapi/v2", Accept="text/html").status == 406
    assert (
        asked(
            "/openapi/v3/api/v1", Accept="application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
        ).status
        == 406
    )
    assert OPENAPI.answer("/openapi/v3/apis/unknown.io/v1", Query(""), {}) is None


def test_both_forms_have_one_etag() -> None:
    assert asked("/openapi/v2", Accept=PROTOBUF).headers == asked("/openapi/v2").headers


def test_a_kind_more_changes_its_own_document_only() -> None:
    some, more = (OpenApi(KINDS[:-1], "v1.36.2"), OpenApi(KINDS, "v1.36.2"))
    again = OpenApi(KINDS, "v1.36.2", some)
    (was, now, fresh) = (
        msgspec.json.decode(one.answer("/openapi/v3", Query(""), {}).body)["paths"]  # type: ignore[union-attr]
        for one in (some, again, more)
    )
    assert now == fresh
    changed = {place for place in now if now[place] != was.get(place)}
    assert changed == {"apis/discovery.k8s.io", "apis/discovery.k8s.io/v1"}


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
    found = asked("/openapi/v2", Accept=accept)
    top = dict(fields(found.body))
    assert top[1] == b"2.0"
    names = [dict(fields(entry))[1].decode() for number, entry in fields(top[9]) if number == 1]
    assert names == list(document("/openapi/v2")["definitions"])
    assert "@" not in found.content_type


def typed(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a message that has booleans too."""
    at = 0
    while at < len(message):
        number, wire, size = message[at] >> 3, message[at] & 7, message[at + 1]
        yield (number, size) if wire == 0 else (number, message[at + 2 : at + 2 + size])
        at += 2 if wire == 0 else 2 + size


def first(message: bytes, *path: int) -> bytes:
    """The first field at a path of numbers."""
    for number in path:
        message = next(value for found, value in fields(message) if found == number)
    return message


def test_the_protobuf_form_has_parameters_bodies_and_answers() -> None:
    top = dict(fields(asked("/openapi/v2", Accept=PROTOBUF).body))
    entries = (dict(fields(entry)) for number, entry in fields(top[8]) if number == 2)
    item = next(
        entry[2] for entry in entries if entry[1] == b"/api/v1/namespaces/{namespace}/services/{name}"
    )
    # Beside the methods: a ParametersItem, its Parameter, NonBodyParameter, that of paths; its name and type.
    shared = [first(value, 1, 2) for number, value in fields(item) if number == 9]
    placed = [dict(typed(first(one, 4))) for one in shared if one.startswith(b"\x22")]
    assert [(one[4], one[5]) for one in placed] == [(b"name", b"string"), (b"namespace", b"string")]
    put = dict(fields(first(item, 3)))
    assert put[5] == b"replaceCoreV1NamespacedService"
    bodies = [first(value, 1) for number, value in fields(first(item, 3)) if number == 8]
    (body,) = [dict(typed(first(one, 1))) for one in bodies if one.startswith(b"\x0a")]
    assert (body[2], body[4]) == (b"body", 1)
    assert b"#/definitions/io.k8s.api.core.v1.Service" in body[5]  # type: ignore[operator]
