"""Definitions and custom resources that nobody would write: refused or taken, never an error of the server."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from fairlead.objects.jsonvalues import copied
from tests.apiserver.customs import DEFINITIONS, conditions, definition, establish, widget
from tests.apiserver.serving import Client, with_server

AT_ONCE = 20
ODD_PATHS = ("x", "", "a[", "[?(@", "a..b", "x[0]", "\\", "{}", "size", "a b")
TABLE = {
    "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "Content-Type": "application/json",
}
JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1e300,
    2**63,
    -(2**70),
    "",
    "x",
    "(",
    ".spec.x",
    ".spec[?(@",
    "ä\ud83d\ude00",
    [],
    {},
    [None],
    [[1, "a"], {"b": None}],
    {"a": {"b": [1, None]}},
    "x" * 300,
    {"type": "object"},
    {"$ref": "#"},
    {"type": "string", "default": 1, "pattern": "(?=a)"},
    [{"name": "v1", "served": True, "storage": True}],
]

SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 2, "format": "int32"},
        "text": {
            "type": "string",
            "pattern": "^[a-z]+$",
            "maxLength": 5,
            "format": "hostname",
            "default": "x",
        },
        "either": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "maxProperties": 2},
        "map": {"type": "object", "additionalProperties": {"type": "number", "nullable": True}},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {
                "type": "object",
                "required": ["k"],
                "properties": {"k": {"type": "string"}, "v": {"type": "boolean"}},
                "oneOf": [{"required": ["v"]}, {"properties": {"k": {"enum": ["only"]}}}],
            },
        },
        "pod": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
    "not": {"required": ["never"]},
}


def full() -> dict[str, Any]:
    """A definition that says something of everything."""
    obj = definition(schema=SPEC, shortNames=["wd"], categories=["all"])
    obj["spec"]["versions"][0] |= {
        "deprecated": True,
        "deprecationWarning": "old",
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.size",
                "statusReplicasPath": ".status.size",
                "labelSelectorPath": ".status.text",
            },
        },
        "additionalPrinterColumns": [{"name": "A", "type": "date", "jsonPath": ".spec.text"}],
        "selectableFields": [{"jsonPath": ".spec.text"}],
    }
    return obj


GOOD = widget(
    spec={
        "size": 2,
        "text": "abc",
        "either": "5%",
        "free": {"a": {"b": 1}},
        "map": {"a": 1.5, "b": None},
        "set": ["a", "b"],
        "items": [{"k": "a", "v": True}, {"k": "only"}],
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}}},
    },
    status={"size": 1, "text": "a=b"},
)
OTHER = {**GOOD, "metadata": {"name": "b"}}


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every member and item of a value, by what holds it."""
    found: list[tuple[Any, Any]] = []
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for at, inner in entries:
        found += [(value, at), *places(inner)]
    return found


def mutated(dice: random.Random, value: Any) -> Any:
    """The value with one or two of its parts replaced, removed or moved."""
    value = copied(value)
    for _ in range(dice.choice((1, 1, 2))):
        holder, at = dice.choice(places(value))
        match dice.choice(("junk", "junk", "junk", "gone", "moved")):
            case "junk":
                holder[at] = copied(dice.choice(JUNK))
            case "gone":
                del holder[at]
            case _:
                holder[at] = copied(dice.choice([inner[key] for inner, key in places(value)]))
        if not places(value):
            break
    return value


async def all_answered(client: Client, requests: list[tuple[str, str, Any, str]]) -> set[int]:
    """The codes of the answers; a fault of the server fails the test."""
    codes: set[int] = set()

    async def one(method: str, path: str, body: Any, form: str) -> None:
        status, answer = await client.ask(method, path, body, headers={"Content-Type": form})
        assert status < 500, (answer["message"], method, path, body)
        codes.add(status)

    for start in range(0, len(requests), AT_ONCE):
        await asyncio.gather(*(one(*request) for request in requests[start : start + AT_ONCE]))
    return codes


@pytest.mark.parametrize("seed", [1, 2])
def test_definitions(tmp_path: Path, seed: int) -> None:
    async def test(client: Client) -> None:
        dice = random.Random(seed)
        path = f"{DEFINITIONS}?dryRun=All"
        requests = [("POST", path, mutated(dice, full()), "application/json") for _ in range(400)]
        codes = await all_answered(client, requests)
        assert {201, 422, 400} <= codes

    with_server(tmp_path, test)


def test_odd_definitions_are_served(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        dice = random.Random(3)
        one, taken = f"{DEFINITIONS}/widgets.example.com", 0
        while taken < 25:
            obj = mutated(dice, full())
            for path in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath"):
                scale = full()["spec"]["versions"][0]["subresources"]["scale"]
                scale[path] = dice.choice((".spec.", ".status.")) + dice.choice(ODD_PATHS)
                if dice.random() < 0.3 and isinstance(obj.get("spec"), dict):
                    obj["spec"]["versions"] = [
                        {**full()["spec"]["versions"][0], "subresources": {"scale": scale}}
                    ]
            status, _ = await client.ask("POST", DEFINITIONS, obj)
            assert status < 500
            if status != 201:
                continue
            taken += 1
            found = await client.until(one, lambda _, crd: "NamesAccepted" in conditions(crd))
            spec = found["spec"]
            place = "namespaces/default/" if spec["scope"] == "Namespaced" else ""
            version = spec["versions"][0]["name"]
            path = f"/apis/example.com/{version}/{place}widgets"
            body = {**GOOD, "kind": spec["names"]["kind"], "apiVersion": f"example.com/{version}"}
            for method, at in (("POST", path), ("GET", path), ("GET", f"{path}/a/scale")):
                status, answer = await client.ask(
                    method, at, body if method == "POST" else None, headers=TABLE
                )
                assert status < 500, (answer, obj)
            await client.ask("DELETE", one)
            await client.until(one, lambda code, _: code == 404)

    with_server(tmp_path, test)


@pytest.mark.parametrize("seed", [1, 2])
def test_custom_resources(tmp_path: Path, seed: int) -> None:
    async def test(client: Client) -> None:
        dice = random.Random(seed)
        path = await establish(client, full())
        await client.create(path, GOOD)
        requests: list[tuple[str, str, Any, str]] = []
        for _ in range(250):
            body = mutated(dice, GOOD)
            merge, apply = "application/merge-patch+json", "application/apply-patch+yaml"
            requests += [
                ("POST", f"{path}?dryRun=All", mutated(dice, OTHER), "application/json"),
                ("PATCH", f"{path}/a{dice.choice(('', '/status', '/scale'))}", body, merge),
                ("PATCH", f"{path}/a?fieldManager=f&force=true", body, apply),
                ("PUT", f"{path}/a", body, "application/json"),
            ]
        assert {200, 201, 422, 400} <= await all_answered(client, requests)
        assert (await client.get(f"{path}/a"))["kind"] == "Widget"

    with_server(tmp_path, test)
