"""The table of types: its names are those that the official client knows."""

from __future__ import annotations

import kubernetes.client
import pytest

from fairlead.objects import schema

NEWER = {"resources"}
"""Fields that the client's version of Kubernetes has no more."""


def models(name: str) -> list[type]:
    """The classes of the official Python client that may be the type of that name."""
    package, _, short = name.rpartition(".")
    group, version = (part.capitalize() for part in package.split(".")[-2:])
    found = (f"{group}{version}{short}", f"{version}{short}")
    return [getattr(kubernetes.client, one) for one in found if hasattr(kubernetes.client, one)]


KNOWN = [name for name in schema.table() if schema.type_named(name) is not None and models(name)]


def test_the_client_knows_nearly_all_types() -> None:
    assert len(KNOWN) > 300


@pytest.mark.parametrize("name", KNOWN)
def test_the_names_in_json(name: str) -> None:
    of = schema.type_named(name)
    assert of is not None
    theirs = set(models(name)[0].attribute_map.values())  # type: ignore[attr-defined]
    assert set(of.fields) - NEWER <= theirs
