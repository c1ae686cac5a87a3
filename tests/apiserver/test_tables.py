"""Tables: what kubectl prints."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.apiserver.ages import human
from fairlead.apiserver.kinds import ENDPOINTS, ENDPOINTSLICES, KINDS, PODS, SERVICES, Kind
from fairlead.apiserver.tables import ANY, TABLES, table

NOW = 1_800_000_000.0
MADE = "2027-01-15T07:58:00Z"


def cells(kind: Kind, content: dict[str, Any]) -> list[Any]:
    metadata = {"name": "web", "creationTimestamp": MADE} | content.pop("metadata", {})
    obj = msgspec.convert({"metadata": metadata, **content}, kind.resource.type)
    return table(kind, [obj], "None", NOW).rows[0].cells


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (3600, "60m"),
        (4 * 3600 + 60, "4h1m"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (100 * 86400, "100d"),
        (3 * 365 * 86400, "3y"),
    ],
)
def test_ages(seconds: int, shown: str) -> None:
    assert human(seconds) == shown


RUNNING = {"name": "c", "ready": True, "restartCount": 0, "state": {"running": {}}, "lastState": {}}
CRASHING = RUNNING | {"ready": False, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
DONE = RUNNING | {"ready": False, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}


@pytest.mark.parametrize(
    ("metadata", "status", "shown"),
    [
        ({}, {"phase": "Pending"}, ["0/1", "Pending", "0"]),
        ({}, {"phase": "Running", "containerStatuses": [RUNNING]}, ["1/1", "Running", "0"]),
        ({}, {"phase": "Running", "containerStatuses": [CRASHING]}, ["0/1", "CrashLoopBackOff", "3"]),
        ({}, {"phase": "Succeeded", "containerStatuses": [DONE]}, ["0/1", "Completed", "0"]),
        ({}, {"phase": "Pending", "initContainerStatuses": [RUNNING]}, ["0/1", "Init:0/1", "0"]),
        (
            {"deletionTimestamp": MADE},
            {"phase": "Running", "containerStatuses": [RUNNING]},
            ["1/1", "Terminating", "0"],
        ),
    ],
)
def test_pods(metadata: dict[str, Any], status: dict[str, Any], shown: list[str]) -> None:
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}], "nodeName": "node1"}
    found = cells(PODS, {"metadata": metadata, "spec": spec, "status": {"podIP": "10.244.1.2", **status}})
    assert found == ["web", *shown, "2m", "10.244.1.2", "node1", "<none>", "<none>"]


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.96.0.9"}, ["ClusterIP", "10.96.0.9", "<none>"]),
        ({"type": "LoadBalancer", "clusterIP": "10.96.0.9"}, ["LoadBalancer", "10.96.0.9", "<pending>"]),
        ({"type": "ExternalName", "externalName": "a.b"}, ["ExternalName", "<none>", "a.b"]),
    ],
)
def test_services(spec: dict[str, Any], shown: list[str]) -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    found = cells(SERVICES, {"spec": {"ports": ports, "selector": {"b": "2", "a": "1"}, **spec}})
    assert found == ["web", *shown, "80:30080/TCP,53/UDP", "2m", "a=1,b=2"]


def test_endpoints_are_counted_beyond_the_third() -> None:
    addresses = [{"ip": f"10.0.0.{i}"} for i in range(1, 6)]
    found = cells(ENDPOINTS, {"subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]})
    assert found[1] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    assert cells(ENDPOINTS, {})[1] == "<none>"


def test_slices_without_ports_say_so() -> None:
    found = cells(ENDPOINTSLICES, {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]})
    assert found == ["web", "IPv4", "<unset>", "10.0.0.1", "2m"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
def test_every_kind_has_a_cell_for_each_column(kind: Kind) -> None:
    obj = msgspec.convert({"metadata": {"name": "a", "creationTimestamp": MADE}}, kind.resource.type)
    answer = table(kind, [obj], "Metadata", NOW)
    assert answer.columnDefinitions == TABLES.get(kind.resource.type, (ANY,))[0]
    assert len(answer.rows[0].cells) == len(answer.columnDefinitions)
    assert answer.rows[0].object.kind == "PartialObjectMetadata"
    assert table(kind, [obj], "None", NOW, columns=False).columnDefinitions is None
