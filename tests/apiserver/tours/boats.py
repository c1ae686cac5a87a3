"""Boats: custom resources on the tour, from their definition to its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.apiserver.tours.guide import Guide

MANIFEST = Path(__file__).parent / "boats.yaml"
GROUP = "tour.example.com"


def definition(group: str = GROUP) -> Any:
    """The definition, in a group."""
    return yaml.safe_load(MANIFEST.read_text().replace(GROUP, group))


def boat(name: str, group: str = GROUP, version: str = "v1", **spec: Any) -> dict[str, Any]:
    """A boat, of 12 metres if nothing is said."""
    return {
        "apiVersion": f"{group}/{version}",
        "kind": "Boat",
        "metadata": {"name": name, "labels": {"fleet": "tour"}},
        "spec": {"length": 12, **spec},
    }


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "enum": (
        {"rig": "schooner"},
        'Unsupported value: "schooner": supported values: "ketch", "sloop", "yawl"',
    ),
    "pattern": ({"sail": "7"}, "should match '^[A-Z]{1,3}-[0-9]+$'"),
    "maximum": ({"crew": 100}, "should be less than or equal to 99"),
    "oneOf": ({"engine": {"diesel": "a", "electric": "b"}}, "must validate one and only one schema (oneOf)"),
    "type": ({"length": True}, 'must be of type integer,string: "boolean"'),
    "keys": ({"lines": [{"name": "a"}, {"name": "a"}]}, "Duplicate value"),
    "required": ({"lines": [{"metres": 3}]}, "Required value"),
}
"""What is refused, with a part of what is said."""


class Yard:
    """Where one tour builds its boats: in a group of its own."""

    def __init__(self, tour: Guide) -> None:
        self.tour = tour
        self.group = f"{tour.namespace}.example.com"
        self.boats = f"boats.v1.{self.group}"

    async def apply(self, obj: Any, *more: str, fails: bool = False) -> str:
        """Applies an object."""
        return await self.tour("apply -f -", *more, stdin=json.dumps(obj), fails=fails)

    async def get(self, name: str, *paths: str) -> str:
        """Parts of a boat."""
        wanted = " ".join(f"{{{path}}}" for path in paths)
        return await self.tour(f"get {self.boats} {name}", "-o", f"jsonpath={wanted}")


async def defines(yard: Yard) -> None:
    tour = yard.tour
    name = f"crd/boats.{yard.group}"
    assert "created" in await yard.apply(definition(yard.group))
    assert "condition met" in await tour(f"wait --for=condition=Established {name} --timeout=120s")
    assert "unchanged" in await yard.apply(definition(yard.group))
    shown = await tour(f"api-resources --api-group={yard.group} --no-headers")
    assert shown.split() == ["boats", "bt", f"{yard.group}/v1", "true", "Boat"]
    explained = await tour(
        "explain", f"boats.{yard.group}" if tour.version >= (1, 27) else "boats.spec.lines"
    )
    assert "A boat of the tour." in explained or "The lines on board." in explained
    said = f"explain boats.spec.length --api-version={yard.group}/v1"
    assert "In metres, or with a unit." in await tour(said)


async def makes(yard: Yard) -> None:
    assert "created" in await yard.apply(boat("swan", yard.group, extra={"paint": {"hull": "blue"}}))
    assert "unchanged" in await yard.apply(boat("swan", yard.group, extra={"paint": {"hull": "blue"}}))
    rig, paint = (await yard.get("swan", ".spec.rig", ".spec.extra.paint.hull")).split()
    assert rig == "sloop", "a default"
    assert paint == "blue", "what is unknown may be preserved"
    tried = await yard.apply(boat("tern", yard.group, length="12m"), "--dry-run=server", "-o", "yaml")
    assert "length: 12m" in tried
    assert "crew: 1" in tried


async def is_refused(yard: Yard) -> None:
    wrecks = [boat(name.lower(), yard.group, **spec) for name, (spec, _) in MISTAKES.items()]
    listed = {"apiVersion": "v1", "kind": "List", "items": wrecks}
    answers = await yard.tour("create --validate=false -f -", stdin=json.dumps(listed), fails=True)
    for name, (_, said) in MISTAKES.items():
        assert f'"{name.lower()}" is invalid' in answers
        assert said in answers, answers
    assert "keel" in await yard.apply(boat("wreck", yard.group, keel="deep"), fails=True)


async def shows(yard: Yard) -> None:
    tour = yard.tour
    ready = {"status": {"aboard": 2, "conditions": [{"type": "Ready", "status": "True"}], "selector": "a=b"}}
    if tour.version >= (1, 24):
        await tour(f"patch {yard.boats} swan --subresource=status --type=merge -p", json.dumps(ready))
    else:
        path = f"/apis/{yard.group}/v1/namespaces/{tour.namespace}/boats/swan/status"
        assert (await tour.client.patch(path, ready))[0] == 200
    rows = [line.split() for line in (await tour(f"get {yard.boats} -o wide")).splitlines()]
    assert rows[0] == ["NAME", "RIG", "CREW", "ABOARD", "READY", "AGE"]
    assert rows[1][:5] == ["swan", "sloop", "1", "2", "True"]
    assert "condition met" in await tour(f"wait --for=condition=Ready {yard.boats}/swan --timeout=120s")
    assert "scaled" in await tour(f"scale {yard.boats}/swan --replicas=7")
    assert await yard.get("swan", ".spec.crew", ".status.aboard") == "7 2"
    assert "swan" in await tour("describe", f"boats.{yard.group}", "swan")


async def shares(yard: Yard) -> None:
    """A list that is a map has several owners."""
    tour = yard.tour
    for owner, line in (("mate", "sheet"), ("master", "halyard")):
        obj = boat("heron", yard.group, lines=[{"name": line}])
        said = await tour(f"apply --server-side --field-manager={owner} -f -", stdin=json.dumps(obj))
        assert "serverside-applied" in said
    shown = await yard.get("heron", ".spec.lines[*].name", ".spec.lines[*].metres")
    assert shown == "sheet halyard 10 10"
    obj = boat("heron", yard.group, length=13)
    said = await tour("apply --server-side --field-manager=thief -f -", stdin=json.dumps(obj), fails=True)
    assert ".spec.length" in said
    obj = boat("heron", yard.group)
    await tour("apply --server-side --field-manager=mate -f -", stdin=json.dumps(obj))
    assert await yard.get("heron", ".spec.lines[*].name") == "halyard"


async def has_versions(yard: Yard) -> None:
    tour = yard.tour
    older = f"boats.v1beta1.{yard.group}"
    shown = await tour(f"get {older} swan -o yaml")
    assert f"apiVersion: {yard.group}/v1beta1" in shown
    assert f"Warning: {yard.group}/v1beta1 Boat is deprecated; use {yard.group}/v1 Boat" in shown
    assert "created" in await yard.apply(boat("old", yard.group, "v1beta1"))
    assert await yard.get("old", ".apiVersion") == f"{yard.group}/v1"


async def sinks(yard: Yard) -> None:
    tour = yard.tour
    assert "deleted" in await tour(f"delete {yard.boats} -l fleet=tour --field-selector=metadata.name=old")
    assert "deleted" in await tour(f"delete crd boats.{yard.group} --timeout=120s")
    said = await tour(f"get {yard.boats}", fails=True)
    assert "doesn't have a resource type" in said or "could not find the requested resource" in said
    path = f"/apis/{yard.group}/v1/namespaces/{tour.namespace}/boats"
    assert (await tour.client.ask("GET", path))[0] == 404


async def builds(tour: Guide) -> None:
    """All of it."""
    yard = Yard(tour)
    for chapter in (defines, makes, is_refused, shows, shares, has_versions, sinks):
        await chapter(yard)
