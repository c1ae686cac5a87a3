"""Objects on the wire as protobuf."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.objects import protobuf, schema

META = {"name": "web", "namespace": "default", "uid": "u-1", "creationTimestamp": "2026-11-23T09:00:00Z"}
CORE = "k8s.io.api.core.v1"


def obj(kind: str, api_version: str = "v1", **members: Any) -> dict[str, Any]:
    """An object in its JSON form."""
    return {"kind": kind, "apiVersion": api_version, "metadata": META, **members}


OBJECTS = [
    obj(
        "Pod",
        spec={
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "args": ["", "-v"],
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}],
                    "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 10},
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "failureThreshold": 3},
                    "startupProbe": {"exec": {"command": ["true"]}},
                    "securityContext": {"runAsUser": 0, "privileged": False},
                }
            ],
            "ephemeralContainers": [{"name": "e", "image": "i", "targetContainerName": "c"}],
            "volumes": [
                {"name": "v", "emptyDir": {}},
                {"name": "m", "configMap": {"name": "m", "optional": True, "defaultMode": 420}},
            ],
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists", "tolerationSeconds": -1}],
            "securityContext": {"supplementalGroups": [1, 1 << 40]},
        },
        status={"phase": "Running", "podIPs": [{"ip": "10.244.1.2"}], "startTime": "1969-12-31T23:59:59Z"},
    ),
    obj(
        "Service",
        spec={
            "clusterIPs": ["10.96.0.9", "fd00::9"],
            "selector": {"app": "web", "tier": ""},
            "ports": [{"name": "a", "port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}],
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            "allocateLoadBalancerNodePorts": False,
        },
        status={
            "loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ports": [{"port": 80, "protocol": "TCP"}]}]}
        },
    ),
    obj("Endpoints", subsets=[{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]),
    obj(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        addressType="IPv4",
        endpoints=[
            {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": False, "serving": True},
                "hints": {"forZones": [{"name": "z"}]},
                "targetRef": {"kind": "Pod", "name": "p"},
            }
        ],
        ports=[{"name": "", "port": 80}],
    ),
    obj(
        "Lease",
        "coordination.k8s.io/v1",
        spec={"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-11-23T09:00:00.000123Z"},
    ),
    obj(
        "Event",
        involvedObject={"kind": "Pod", "name": "p"},
        count=3,
        eventTime="2026-11-23T09:00:00.500000Z",
        lastTimestamp="2026-11-23T09:00:00Z",
    ),
    obj(
        "Event",
        "events.k8s.io/v1",
        regarding={"kind": "Pod"},
        note="n",
        eventTime="0001-01-01T00:00:01.000000Z",
    ),
    obj("ConfigMap", data={"a": "1", "": "é"}, binaryData={"b": base64.b64encode(b"\0\xff").decode()}),
    obj("Secret", data={"p": "dw==", "empty": ""}, type="Opaque", immutable=True),
    obj("ServiceAccount", automountServiceAccountToken=False, secrets=[{"name": "t"}]),
    obj("Namespace", spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"}),
    obj(
        "Node",
        spec={"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"], "unschedulable": True},
        status={
            "capacity": {"pods": "110"},
            "addresses": [{"type": "InternalIP", "address": "192.168.1.10"}],
        },
    ),
    obj("IPAddress", "networking.k8s.io/v1", spec={"parentRef": {"resource": "services", "name": "web"}}),
    obj("ServiceCIDR", "networking.k8s.io/v1", spec={"cidrs": ["10.96.0.0/16"]}),
    obj(
        "Deployment",
        "apps/v1",
        spec={"replicas": 0, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}},
    ),
    obj("ControllerRevision", "apps/v1", revision=-1, data={"spec": {"any": [1, None]}}),
]


@pytest.mark.parametrize("of", OBJECTS, ids=lambda of: f"{of['apiVersion']}-{of['kind']}")
def test_an_object_comes_back(of: dict[str, Any]) -> None:
    assert protobuf.decode(protobuf.encode(of)) == of


def test_managed_fields_keep_their_json() -> None:
    entry = {"manager": "m", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:a": {}}}}
    of = {**obj("ConfigMap"), "metadata": {"name": "a", "managedFields": [entry]}}
    assert protobuf.decode(protobuf.encode(of)) == of


@pytest.mark.parametrize(
    ("name", "value", "wire"),
    [
        (f"{CORE}.LocalObjectReference", {"name": "ab"}, "0a026162"),
        (f"{CORE}.ObjectReference", {"kind": ""}, "0a00"),
        (f"{CORE}.NodeAddress", {"type": "A", "address": "b"}, "0a0141120162"),
        (f"{CORE}.Toleration", {"tolerationSeconds": -1}, "28" + "ff" * 9 + "01"),
        (f"{CORE}.ServicePort", {"port": 300, "targetPort": 80}, "18ac02" + "2206" + "080010501a00"),
        (f"{CORE}.ServicePort", {"targetPort": "a"}, "2207" + "080110001a0161"),
        (f"{CORE}.ConfigMap", {"data": {"k": "v"}}, "1206" + "0a016b120176"),
        (f"{CORE}.ConfigMap", {"binaryData": {"k": "AP8="}}, "1a07" + "0a016b120200ff"),
        (f"{CORE}.Volume", {"name": "v", "emptyDir": {}}, "0a0176" + "1202" + "1200"),
        (f"{schema.META}.ObjectMeta", {"creationTimestamp": "1970-01-01T00:00:01Z"}, "4204" + "08011000"),
        (f"{schema.META}.ObjectMeta", {"generation": 0}, "3800"),
        (f"{CORE}.ResourceRequirements", {"limits": {"cpu": "1"}}, "0a0a" + "0a03637075" + "1203" + "0a0131"),
    ],
)
def test_the_bytes_of_a_message(name: str, value: dict[str, Any], wire: str) -> None:
    of = protobuf.message(name)
    assert of.write(value).hex() == wire
    assert of.read(bytes.fromhex(wire), {}, 0) == value


def test_the_bytes_of_an_envelope_and_of_a_frame() -> None:
    of = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a"}}
    wire = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x05\x0a\x03\x0a\x01a\x1a\x00\x22\x00"
    assert protobuf.encode(of) == wire
    assert protobuf.decode(wire) == of
    event = b"\x0a\x05ADDED\x12" + bytes((len(wire) + 2,)) + b"\x0a" + bytes((len(wire),)) + wire
    assert protobuf.frame("ADDED", wire) == bytes((0, 0, 0, len(event))) + event


def test_what_go_writes_of_an_object_with_little_in_it() -> None:
    # Its zero values: empty texts, an empty Time, an empty spec.
    metadata = b"\x0a\x01a\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00"
    raw = b"\x0a" + bytes((len(metadata),)) + metadata + b"\x12\x00\x1a\x02\x0a\x00"
    found = protobuf.decode(protobuf.envelope("v1", "Namespace", raw))
    assert found["spec"] == {}
    assert found["status"] == {"phase": ""}
    assert found["metadata"]["generation"] == 0
    assert "creationTimestamp" not in found["metadata"]


def test_a_message_in_pieces_and_packed_numbers() -> None:
    of = protobuf.message(f"{CORE}.Namespace")
    assert of.read(bytes.fromhex("0a030a0161" + "0a031a0162"), {}, 0) == {
        "metadata": {"name": "a", "namespace": "b"}
    }
    number = schema.table()[f"{CORE}.PodSecurityContext"]["fields"]["supplementalGroups"]["number"]
    packed = protobuf.delimited(number, b"\x01\xac\x02")
    read = protobuf.message(f"{CORE}.PodSecurityContext").read(packed, {}, 0)
    assert read == {"supplementalGroups": [1, 300]}


def test_unknown_fields_are_skipped() -> None:
    unknown = bytes.fromhex("fa3e0161" + "f83e05" + "f93e0000000000000000" + "fd3e00000000")
    of = protobuf.message(f"{CORE}.LocalObjectReference")
    assert of.read(unknown + b"\x0a\x01a", {}, 0) == {"name": "a"}
    assert of.write({"name": "a", "unheardOf": 1, "none": None}) == b"\x0a\x01a"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{}", "does not begin"),
        (protobuf.envelope("v1", "Nothing", b""), 'no kind "Nothing" is registered for version "v1"'),
        (protobuf.envelope("v1", "Pod", b"\x0a\x05a"), "longer than the message"),
        (protobuf.envelope("v1", "Pod", b"\x0a"), "ends within a number"),
        (protobuf.envelope("v1", "Pod", b"\xff" * 11), "more than 10 bytes"),
        (protobuf.envelope("v1", "Pod", b"\x08\x01"), "wire type 0"),
        (protobuf.envelope("v1", "Pod", b"\x0b"), "wire type 3"),
        (protobuf.envelope("v1", "Pod", b"\x02\x00"), "number 0"),
        (protobuf.envelope("v1", "Pod", b"\x0a\x03\x0a\x01\xff"), "not UTF-8"),
        (protobuf.envelope("v1", "Pod", b"\x0a\x0d\x42\x0b\x08" + b"\xff" * 8 + b"\x7f\x10"), "ends within"),
        (protobuf.envelope("v1", "Pod", b"\x0a\x0c\x42\x0a\x08" + b"\xff" * 8 + b"\x7f"), "in no year"),
        (protobuf.envelope("apps/v1", "ControllerRevision", b"\x12\x03\x0a\x01{"), "not JSON"),
    ],
)
def test_what_cannot_be_read(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        protobuf.decode(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in ("Pod", "Service"):
        try:
            protobuf.decode(protobuf.envelope("v1", kind, data))
        except ValueError:
            continue


def test_every_type_of_the_table_can_be_written() -> None:
    for name in schema.table():
        if name not in protobuf.SPECIAL:
            protobuf.message(name)


WHOLE = st.integers(-(1 << 31), (1 << 31) - 1)
TEXT = st.text(max_size=5)
TIMES = st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat() + "Z")
SCHEMAS = st.fixed_dictionaries({}, optional={"type": TEXT, "nullable": st.booleans(), "maximum": WHOLE})
"""Small ones, where a schema stands in the place of something else."""

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "bytes": st.binary(max_size=5).map(lambda data: base64.b64encode(data).decode()),
    "bool": st.booleans(),
    "int32": WHOLE,
    "int64": st.integers(-(1 << 63), (1 << 63) - 1),
    f"{schema.META}.Time": TIMES,
    f"{schema.META}.MicroTime": st.datetimes().map(lambda at: at.isoformat(timespec="microseconds") + "Z"),
    protobuf.INT_OR_STRING: WHOLE | TEXT,
    protobuf.QUANTITY: st.sampled_from(["1", "500m", "1Gi"]),
    **dict.fromkeys(schema.STRINGS, st.lists(TEXT, max_size=2)),
    **dict.fromkeys(schema.FREE, st.dictionaries(TEXT, st.integers(0, 9) | TEXT, max_size=2)),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    schema.ANY: st.integers(0, 9) | TEXT | st.lists(TEXT, max_size=2),
    f"{schema.APIEXTENSIONS}.JSONSchemaPropsOrArray": SCHEMAS | st.lists(SCHEMAS, min_size=1, max_size=2),
    f"{schema.APIEXTENSIONS}.JSONSchemaPropsOrBool": SCHEMAS | st.booleans(),
    f"{schema.APIEXTENSIONS}.JSONSchemaPropsOrStringArray": SCHEMAS | st.lists(TEXT, max_size=2),
}


def values(name: str) -> st.SearchStrategy[Any]:
    """Values of a type in the JSON form, with a few of its fields."""
    if name in SCALARS:
        return SCALARS[name]

    @st.composite
    def draw_value(draw: st.DrawFn) -> dict[str, Any]:
        facts = schema.unfolded(name)
        if not facts:
            return {}
        found: dict[str, Any] = {}
        for field in draw(st.lists(st.sampled_from(sorted(facts)), unique=True, max_size=3)):
            of = values(facts[field]["type"])
            if "map" in facts[field]:
                of = st.dictionaries(TEXT, of, min_size=1, max_size=2)
            elif facts[field].get("repeated"):
                of = st.lists(of, min_size=1, max_size=2)
            found[field] = draw(of)
        return found

    return draw_value()


KINDS = sorted(name for name, facts in schema.table().items() if "gvk" in facts)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(KINDS).flatmap(lambda name: st.tuples(st.just(name), values(name))))
def test_any_object_comes_back(case: tuple[str, dict[str, Any]]) -> None:
    name, value = case
    of = protobuf.message(name)
    assert of.read(of.write(value), {}, 0) == value
