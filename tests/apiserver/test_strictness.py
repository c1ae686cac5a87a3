"""Faults of bodies: the quick way finds what the walk through the text finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.apiserver.bodies import Unreadable
from fairlead.apiserver.kinds import CUSTOMRESOURCEDEFINITIONS, KINDS, LEASES, PODS
from fairlead.apiserver.strictness import faults, read_strictly, repeated_fields, unknown_fields
from fairlead.objects.core_v1 import Service

LEAVES: dict[str, st.SearchStrategy[str]] = {
    "name": st.sampled_from(['"a"', '"b\\":c"', "null"]),
    "nope": st.sampled_from(["1", "[]", '{"x":null}', "null"]),
}


def members(*options: tuple[str, st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    """A JSON object of some of the members, some of them more than once."""
    member = st.one_of([st.tuples(st.just(f'"{name}":'), value).map("".join) for name, value in options])
    return st.lists(member, max_size=4).map(lambda found: "{" + ",".join(found) + "}")


METADATA = members(*LEAVES.items(), ("labels", members(("a", st.just('"b"')), ("c", st.just('"d"')))))
PORT = members(("port", st.just("80")), ("nope", LEAVES["nope"]), ("targetPort", st.just('"http"')))
SPEC = members(
    ("selector", members(("a", st.just('"b"')))),
    ("ports", st.lists(PORT, max_size=2).map(lambda ports: f"[{','.join(ports)}]")),
    ("clusterIP", LEAVES["name"]),
    ("nope", LEAVES["nope"]),
)
SERVICE = members(
    ("metadata", METADATA), ("spec", SPEC), ("kind", st.just('"Service"')), ("status", st.just("{}"))
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(SERVICE)
def test_what_is_repeated_and_what_is_unknown(text: str) -> None:
    data = text.encode()
    slowly = repeated_fields(data, thorough=True) + unknown_fields(Service, data)
    read = read_strictly(Service, data)
    assert faults(Service, data, read) == slowly
    assert faults(Service, data, read, thorough=True) == slowly


def test_a_usual_body_is_found_good_at_once(monkeypatch: Any) -> None:
    def never(*_: Any, **__: Any) -> list[str]:
        raise AssertionError("the text was walked through")

    monkeypatch.setattr("fairlead.apiserver.strictness.repeated_fields", never)
    port = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"a": "b"}, "annotations": {}},
        "spec": {"selector": {"a": "b"}, "ports": [port, {**port, "port": 81}]},
        "status": {"loadBalancer": {}},
    }
    for text in (json.dumps(body).encode(), json.dumps(body, indent=2).encode()):
        assert faults(Service, text, read_strictly(Service, text)) == []


POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": []}}
DEFINITION = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {}}
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {}}


def created(of: dict[str, Any], moment: str, **more: Any) -> bytes:
    """The object with that moment as the time of its creation."""
    return json.dumps({**of, "metadata": {"name": "web", "creationTimestamp": moment}, **more}).encode()


WRONG = ("tomorrow", "", "2026-01-02 03:04:05Z", "2026-02-31T03:04:05Z", "2026-01-02T03:04:05")


@pytest.mark.parametrize("validation", ["", "Warn", "Strict", "Ignore"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_moment_is_refused(wrong: str, validation: str) -> None:
    for kind, data in (
        (PODS, created(POD, wrong)),
        (PODS, created(POD, wrong, nope=1)),
        (PODS, json.dumps({**POD, "status": {"conditions": [{"lastProbeTime": wrong}]}}).encode()),
        (LEASES, json.dumps({**LEASE, "spec": {"renewTime": wrong}}).encode()),
        (CUSTOMRESOURCEDEFINITIONS, created(DEFINITION, wrong)),
    ):
        with pytest.raises(Unreadable, match="parsing time"):
            kind.model.read(data, validation)


@pytest.mark.parametrize("moment", ["2026-01-02T03:04:05Z", "2026-01-02t04:04:05.7+01:00"])
def test_moments_in_any_form_are_read(moment: str) -> None:
    for kind, of in ((PODS, POD), (CUSTOMRESOURCEDEFINITIONS, DEFINITION)):
        for more in ({}, {"nope": 1}):
            obj, warnings = kind.model.read(created(of, moment, **more), "Warn")
            assert obj.metadata.creationTimestamp == "2026-01-02T03:04:05Z"
            assert warnings == tuple(f'unknown field "{name}"' for name in more)


def test_every_type_is_in_the_table_by_which_moments_are_found() -> None:
    assert [kind.plural for kind in KINDS if kind.model.schema is None] == []
