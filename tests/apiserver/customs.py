"""Definitions of custom resources for tests, and a way to have them served."""

from __future__ import annotations

from typing import Any

from tests.apiserver.serving import Client

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(
    plural: str = "widgets",
    group: str = "example.com",
    *,
    schema: dict[str, Any] | None = None,
    scope: str = "Namespaced",
    versions: list[dict[str, Any]] | None = None,
    **names: Any,
) -> dict[str, Any]:
    """A definition, of one version v1 unless it is given others; `schema` is that of spec."""
    kind = names.pop("kind", plural[:-1].title())
    root = {"type": "object", "properties": {"spec": schema or ANYTHING, "status": ANYTHING}}
    one = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": root}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "kind": kind, **names},
            "versions": versions or [one],
        },
    }


def version(name: str, schema: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """A version of a definition, served and not stored unless it says so; `schema` is that of spec."""
    root = {"type": "object", "properties": {"spec": schema or ANYTHING, "status": ANYTHING}}
    return {
        "name": name,
        "served": True,
        "storage": False,
        "schema": {"openAPIV3Schema": root},
        **facts,
    }


def conditions(obj: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition of a definition."""
    listed = obj.get("status", {}).get("conditions", [])
    return {one["type"]: (one["status"], one["reason"]) for one in listed}


async def establish(client: Client, obj: dict[str, Any]) -> str:
    """Creates a definition, waits until it is served, gives the path of its collection (that of `default`)."""
    await client.create(DEFINITIONS, obj)
    name = obj["metadata"]["name"]
    await client.until(
        f"{DEFINITIONS}/{name}", lambda _, found: conditions(found).get("Established", ("",))[0] == "True"
    )
    spec = obj["spec"]
    place = "namespaces/default/" if spec["scope"] == "Namespaced" else ""
    served = next(one["name"] for one in spec["versions"] if one["served"])
    return f"/apis/{spec['group']}/{served}/{place}{spec['names']['plural']}"


def widget(name: str = "a", kind: str = "Widget", api_version: str = "example.com/v1", **content: Any) -> Any:
    """A custom resource."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **content}
