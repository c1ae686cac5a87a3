"""Our protobuf codec against the `protobuf` library's own reading of the same descriptors, for every kind.

Both ways: what we write is read by the library, and what it writes is read by us, with fields that we do not know.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.objects import protobuf, schema
from tests.objects import descriptors
from tests.objects.test_protobuf import KINDS, values

OPTIONS = f"{schema.META}.DeleteOptions"
ENVELOPE, EVENT = protobuf.UNKNOWN, f"{schema.META}.WatchEvent"

SAMPLES: dict[str, Any] = {
    "string": "é",
    "bool": True,
    "int32": -2,
    "int64": 1 << 40,
    "bytes": "AP8=",
    descriptors.TIME: "1969-12-31T23:59:59Z",
    descriptors.MICRO_TIME: "2026-11-23T09:00:00.000123Z",
    descriptors.QUANTITY: "500m",
    descriptors.INT_OR_STRING: "25%",
    **{key: ["a", ""] for key in schema.STRINGS},
    **{key: {"any": [1, {"b": None}]} for key in schema.FREE},
}


def complete(name: str) -> Any:
    """A value of a type in which everything that it can have is set."""
    if name in SAMPLES:
        return SAMPLES[name]
    found: dict[str, Any] = {}
    for field, of in schema.unfolded(name).items():
        one = complete(of["type"])
        found[field] = {"k": one, "": one} if "map" in of else [one, one] if of.get("repeated") else one
    return found


def written(name: str, value: Any, *, future: bool = False) -> bytes:
    """The value as the library writes it."""
    message = descriptors.new(name, future=future)
    descriptors.fill(message, name, value)
    data: bytes = message.SerializeToString()
    return data


def parsed(name: str, data: bytes) -> Any:
    """The value as the library reads it."""
    message = descriptors.new(name)
    assert message.ParseFromString(data) == len(data)
    return descriptors.read(message, name)


def check(name: str, value: Any) -> None:
    """Both ways, also with unknown fields in every message."""
    codec = protobuf.message(name)
    assert parsed(name, codec.write(value)) == value
    assert codec.read(written(name, value), {}, 0) == value
    assert codec.read(written(name, value, future=True), {}, 0) == value


@pytest.mark.parametrize("name", [*KINDS, OPTIONS])
def test_a_complete_object(name: str) -> None:
    check(name, complete(name))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from([*KINDS, OPTIONS]).flatmap(lambda name: st.tuples(st.just(name), values(name))))
def test_any_object(case: tuple[str, Any]) -> None:
    check(*case)


def opened(data: bytes) -> tuple[str, str, Any]:
    """Version, kind and value in an envelope, as the library reads it."""
    assert data.startswith(b"k8s\0")
    envelope = descriptors.new(ENVELOPE)
    envelope.ParseFromString(data[4:])
    api_version, kind = envelope.typeMeta.apiVersion, envelope.typeMeta.kind
    return api_version, kind, parsed(protobuf.type_of(api_version, kind), envelope.raw)


def sealed(api_version: str, kind: str, value: Any) -> bytes:
    """An object in an envelope, as the library writes it."""
    envelope = descriptors.new(ENVELOPE)
    envelope.typeMeta.apiVersion, envelope.typeMeta.kind = api_version, kind
    envelope.raw = written(protobuf.type_of(api_version, kind), value)
    data: bytes = envelope.SerializeToString()
    return b"k8s\0" + data


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("v1", "Status"),
        ("v1", "DeleteOptions"),
        ("policy/v1", "Eviction"),
    ],
)
def test_envelopes(api_version: str, kind: str) -> None:
    value = complete(protobuf.type_of(api_version, kind))
    of = {"kind": kind, "apiVersion": api_version, **value}
    assert opened(protobuf.encode(of)) == (api_version, kind, value)
    assert protobuf.decode(sealed(api_version, kind, value)) == of


def test_lists() -> None:
    pod = complete("k8s.io.api.core.v1.Pod")
    data = protobuf.encode_list("v1", "PodList", {"resourceVersion": "7"}, [pod, {}, pod])
    listed = {"metadata": {"resourceVersion": "7"}, "items": [pod, {}, pod]}
    assert opened(data) == ("v1", "PodList", listed)


@pytest.mark.parametrize("change", ["ADDED", "BOOKMARK", "ERROR"])
def test_frames_of_a_watch(change: str) -> None:
    of = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "v"}}
    frame = protobuf.frame(change, protobuf.encode(of))
    event = descriptors.new(EVENT)
    event.ParseFromString(frame[4:])
    assert (int.from_bytes(frame[:4], "big"), event.type) == (len(frame) - 4, change)
    assert opened(event.object.raw) == ("v1", "ConfigMap", {"metadata": {"name": "a"}, "data": {"k": "v"}})
