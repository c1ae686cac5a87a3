"""Tables: what kubectl prints."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.apiserver import kinds
from fairlead.apiserver.ages import human
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import ENDPOINTS, ENDPOINTSLICES, KINDS, PODS, SERVICES
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


PODS_OF = {
    "selector": {"matchLabels": {"app": "web"}},
    "template": {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}]}},
}
WIDE = ["a,b", "i:1,j:2", "app=web"]


@pytest.mark.parametrize(
    ("kind", "content", "shown"),
    [
        (
            kinds.DEPLOYMENTS,
            {"spec": {"replicas": 3, **PODS_OF}, "status": {"readyReplicas": 2, "updatedReplicas": 1}},
            ["2/3", 1, 0, "2m", *WIDE],
        ),
        (kinds.REPLICASETS, {"spec": {"replicas": 3, **PODS_OF}}, [3, 0, 0, "2m", *WIDE]),
        (kinds.STATEFULSETS, {"spec": {"replicas": 3, **PODS_OF}}, ["0/3", "2m", *WIDE[:2]]),
        (
            kinds.DAEMONSETS,
            {"spec": PODS_OF, "status": {"desiredNumberScheduled": 2, "numberReady": 1}},
            [2, 0, 1, 0, 0, "<none>", "2m", *WIDE],
        ),
        (
            kinds.JOBS,
            {"spec": {"completions": 5, **PODS_OF}, "status": {"succeeded": 2, "startTime": MADE}},
            ["Running", "2/5", "2m", "2m", *WIDE],
        ),
        (
            kinds.JOBS,
            {"spec": {"suspend": True}, "status": {"conditions": [{"type": "Suspended", "status": "True"}]}},
            ["Suspended", "0/1", "", "2m", "", "", "<none>"],
        ),
        (
            kinds.CRONJOBS,
            {"spec": {"schedule": "@hourly", "suspend": False, "jobTemplate": {"spec": PODS_OF}}},
            ["@hourly", "<none>", "False", 0, "<none>", "2m", *WIDE],
        ),
        (kinds.PODDISRUPTIONBUDGETS, {"spec": {"minAvailable": "50%"}}, ["50%", "N/A", 0, "2m"]),
        (
            kinds.INGRESSES,
            {
                "spec": {"rules": [{"host": f"{i}.a"} for i in range(5)], "tls": [{}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
            },
            ["<none>", "0.a,1.a,2.a + 2 more...", "192.0.2.1", "80, 443", "2m"],
        ),
        (kinds.INGRESSES, {"spec": {"ingressClassName": "x"}}, ["x", "*", "", "80", "2m"]),
        (
            kinds.INGRESSCLASSES,
            {"spec": {"controller": "a.b/c", "parameters": {"apiGroup": "a.b", "kind": "P", "name": "p"}}},
            ["a.b/c", "P.a.b/p", "2m"],
        ),
        (kinds.NETWORKPOLICIES, {"spec": {"podSelector": {}}}, ["<none>", "2m"]),
        (
            kinds.PERSISTENTVOLUMECLAIMS,
            {
                "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
                "status": {
                    "phase": "Bound",
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                },
            },
            ["Bound", "v", "1Gi", "RWO", "fast", "<unset>", "2m", "Filesystem"],
        ),
        (
            kinds.RESOURCEQUOTAS,
            {"status": {"hard": {"pods": "9", "limits.cpu": "2"}, "used": {"pods": "1"}}},
            ["pods: 1/9", "limits.cpu: 0/2", "2m"],
        ),
        (
            kinds.CONTROLLERREVISIONS,
            {
                "metadata": {
                    "ownerReferences": [
                        {
                            "apiVersion": "apps/v1",
                            "kind": "StatefulSet",
                            "name": "s",
                            "uid": "u",
                            "controller": True,
                        }
                    ]
                },
                "revision": 4,
            },
            ["statefulset.apps/s", 4, "2m"],
        ),
    ],
)
def test_workloads(kind: Kind, content: dict[str, Any], shown: list[Any]) -> None:
    assert cells(kind, dict(content)) == ["web", *shown]


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


@pytest.mark.parametrize(
    ("kind", "content", "shown"),
    [
        (
            kinds.PERSISTENTVOLUMES,
            {
                "spec": {
                    "capacity": {"storage": "2Gi"},
                    "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                    "claimRef": {"namespace": "shop", "name": "data"},
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": "slow",
                },
                "status": {"phase": "Bound"},
            },
            ["web", "2Gi", "RWO,ROX", "Retain", "Bound", "shop/data", "slow", "<unset>"],
        ),
        (
            kinds.STORAGECLASSES,
            {
                "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": "example.com/tapes",
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
            },
            ["web (default)", "example.com/tapes", "Delete", "Immediate", False],
        ),
        (
            kinds.HORIZONTALPODAUTOSCALERS_V1,
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "shop"},
                    "minReplicas": 1,
                    "maxReplicas": 5,
                    "targetCPUUtilizationPercentage": 50,
                }
            },
            ["web", "Deployment/shop", "cpu: <unknown>/50%", "1", 5, 0],
        ),
    ],
    ids=["PersistentVolume", "StorageClass", "HorizontalPodAutoscaler"],
)
def test_volumes_their_classes_and_autoscalers(kind: Kind, content: dict[str, Any], shown: list[Any]) -> None:
    assert cells(kind, content)[: len(shown)] == shown
