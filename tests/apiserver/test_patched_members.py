"""Patches of some members of an object: what comes out is what a patch of the whole object gives."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import DEPLOYMENTS, PODDISRUPTIONBUDGETS, PODS, SERVICES
from fairlead.apiserver.patching import patched, patched_members
from fairlead.objects.codec import encode

POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {
        "name": "web-0",
        "namespace": "default",
        "uid": "1",
        "resourceVersion": "7",
        "labels": {"app": "web", "tier": "front"},
        "finalizers": ["a/b"],
    },
    "spec": {"containers": [{"name": "web", "image": "web:1"}, {"name": "side", "image": "side:1"}]},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Initialized", "status": "True"},
        ],
    },
}
BARE = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web-1", "namespace": "default"}}
SERVICE = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"ports": [{"port": 80}, {"port": 443, "name": "tls"}], "selector": {"app": "web"}},
}
DEPLOYMENT = {
    "kind": "Deployment",
    "apiVersion": "apps/v1",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": POD},
}
BUDGET = {
    "kind": "PodDisruptionBudget",
    "apiVersion": "policy/v1",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"matchLabels": {"app": "web"}}},
}
READY = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T00:00:00+01:00"}

PATCHES: list[tuple[Kind, dict[str, Any], dict[str, Any]]] = [
    (PODS, POD, {"status": {"phase": "Failed"}}),
    (PODS, POD, {"status": {"conditions": [READY]}}),
    (PODS, POD, {"status": {"conditions": [{"type": "Ready", "$patch": "delete"}]}}),
    (PODS, POD, {"status": {"conditions": [{"type": "Ready", "reason": None}], "podIP": None}}),
    (PODS, POD, {"status": {"$setElementOrder/conditions": [{"type": "Initialized"}, {"type": "Ready"}]}}),
    (PODS, POD, {"status": {"$patch": "replace", "phase": "Failed"}}),
    (PODS, POD, {"status": None}),
    (PODS, POD, {"status": {"initContainerStatuses": [{"name": "a", "image": "b", "imageID": None}]}}),
    (
        PODS,
        POD,
        {"metadata": {"labels": {"app": None, "new": "one"}, "uid": "1"}, "status": {"phase": "Failed"}},
    ),
    (PODS, POD, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}),
    (PODS, POD, {"metadata": {"finalizers": ["c/d"], "resourceVersion": None}}),
    (PODS, POD, {"spec": {"containers": [{"name": "side", "image": "side:2"}]}}),
    (
        PODS,
        POD,
        {
            "status": {
                "podIP": "10.0.0.2",
                "podIPs": [{"ip": "10.0.0.2"}],
                "startTime": "2026-01-01t00:00:00.5Z",
            }
        },
    ),
    (
        PODS,
        POD,
        {"status": {"initContainerStatuses": [{"name": "a", "state": {"running": {}}}], "reason": "null"}},
    ),
    (PODS, POD, {"spec": {"nodeName": "node-1", "securityContext": {"runAsUser": 0}}}),
    (PODS, POD, {"metadata": {"annotations": {"a": "b"}, "generation": 3}}),
    (PODS, BARE, {"status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}}),
    (
        PODS,
        BARE,
        {"spec": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpu": 1}}}]}},
    ),
    (SERVICES, SERVICE, {"spec": {"clusterIP": "10.0.0.1", "sessionAffinityConfig": {"clientIP": {}}}}),
    (SERVICES, SERVICE, {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
    (SERVICES, SERVICE, {"spec": {"ports": [{"port": 80, "targetPort": "http"}]}}),
    (SERVICES, SERVICE, {"spec": {"selector": None, "type": "NodePort"}}),
    (DEPLOYMENTS, DEPLOYMENT, {"spec": {"replicas": 5}}),
    (DEPLOYMENTS, DEPLOYMENT, {}),
    (
        PODDISRUPTIONBUDGETS,
        BUDGET,
        {"spec": {"selector": {"matchLabels": {"tier": "front"}}, "minAvailable": 1}},
    ),
]


@pytest.mark.parametrize("form", ["merge", "strategic"])
@pytest.mark.parametrize(("kind", "document", "change"), PATCHES)
def test_members(kind: Kind, document: dict[str, Any], change: dict[str, Any], form: str) -> None:
    old = kind.model.decode(encode(document))
    try:
        expected = patched(kind, form, kind.model.document(old), change, [], "Ignore")[0]
    except Exception:  # refused: the whole object says why
        expected = None
    found = patched_members(kind, form, old, change, encode(change))
    assert found == expected
    if found is not None:
        assert all(
            getattr(found, name) is getattr(old, name) for name in ("metadata", "spec") if name not in change
        )


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Service"},
        {"apiVersion": "v1"},
        {"$patch": "replace", "status": {}},
        {"unheard": {"of": 1}},
        {"status": {"phase": 1}},
        {"status": {"conditions": [{"status": "True"}]}, "spec": 1},
        [],
        None,
    ],
)
def test_what_is_left_to_the_whole_object(change: Any) -> None:
    assert patched_members(PODS, "strategic", PODS.model.decode(encode(POD)), change, encode(change)) is None
