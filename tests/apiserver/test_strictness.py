"""Faults of bodies: the quick way finds what the walk through the text finds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.apiserver.strictness import faults, repeated_fields, unknown_fields
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
    assert faults(Service, data) == slowly
    assert faults(Service, data, thorough=True) == slowly


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
    assert faults(Service, json.dumps(body).encode()) == []
    assert faults(Service, json.dumps(body, indent=2).encode()) == []
