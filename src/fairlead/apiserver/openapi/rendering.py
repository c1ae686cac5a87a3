"""Operations as OpenAPI writes them down, in either of its versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fairlead.apiserver.openapi.operations import ANY_TYPE, JSON, Operation, Operations, Parameter
from fairlead.apiserver.openapi.published import GVK
from fairlead.apiserver.openapi.schemas import V3, reference

Json = dict[str, Any]

REASONS = {200: "OK", 201: "Created", 202: "Accepted", 401: "Unauthorized"}


def paths(operations: Operations, prefix: str) -> Json:
    """The path items. Parameters that all methods of a path have stand beside these."""
    write = _operation_v3 if prefix == V3 else _operation_v2
    return {path: _path(of, prefix, write) for path, of in operations.items()}


Write = Callable[[Operation, list[Json]], Json]


def _path(operations: Iterable[Operation], prefix: str, write: Write) -> Json:
    operations = list(operations)
    shared = set.intersection(*(set(one.parameters) for one in operations))
    item: Json = {
        one.method: write(one, _parameters(set(one.parameters) - shared, prefix)) for one in operations
    }
    if shared:
        item["parameters"] = _parameters(shared, prefix)
    return item


def _parameters(of: Iterable[Parameter], prefix: str) -> list[Json]:
    return [_parameter(one, prefix) for one in sorted(of, key=lambda one: one.name)]


def _parameter(of: Parameter, prefix: str) -> Json:
    found: Json = {"name": of.name, "in": of.where, "description": of.about}
    if of.where == "path":
        found["required"] = True
    return {**found, "schema": {"type": of.type}} if prefix == V3 else {**found, "type": of.type}


def _head(of: Operation) -> Json:
    return {"description": of.about, "operationId": of.name, "tags": [of.tag]}


def _tail(of: Operation) -> Json:
    return {"x-kubernetes-action": of.action, GVK: dict(of.kind)} if of.action else {}


def _schema(of: str, prefix: str) -> Json:
    return {"type": "string"} if of == "string" else reference(of, prefix)


def _operation_v2(of: Operation, parameters: list[Json]) -> Json:
    if of.body:
        body: Json = {"name": "body", "in": "body", "schema": _schema(of.body, "#/definitions/")}
        parameters = [body | ({"required": True} if of.body_required else {}), *parameters]
    answers: Json = {
        str(code): {"description": REASONS[code], "schema": _schema(name, "#/definitions/")}
        for code, name in of.answers.items()
    }
    return {
        **_head(of),
        "consumes": list(of.consumes),
        "produces": list(of.produces),
        "schemes": ["https"],
        **({"parameters": parameters} if parameters else {}),
        "responses": {**answers, "401": {"description": REASONS[401]}},
        **_tail(of),
    }


def _operation_v3(of: Operation, parameters: list[Json]) -> Json:
    found = _head(of)
    if parameters:
        found["parameters"] = parameters
    if of.body:
        # Upstream says */* alone, which some generators cannot write.
        forms = (JSON, *ANY_TYPE) if of.consumes == ANY_TYPE else of.consumes
        content = {media: {"schema": _schema(of.body, V3)} for media in forms}
        found["requestBody"] = {"content": content} | ({"required": True} if of.body_required else {})
    answers: Json = {
        str(code): {
            "description": REASONS[code],
            "content": {media: {"schema": _schema(name, V3)} for media in of.produces},
        }
        for code, name in of.answers.items()
    }
    return {**found, "responses": {**answers, "401": {"description": REASONS[401]}}, **_tail(of)}
