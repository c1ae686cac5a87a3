"""Kinds that are stored for others to act upon: what is filled in, what is refused, and what may change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects import (
    admissionregistration_v1,
    autoscaling_v1,
    autoscaling_v2,
    core_v1,
    events_v1,
    horizontalpodautoscalers,
    networking_v1,
    policy_v1,
    reports,
    storage_v1,
)
from fairlead.objects.rules import rules_for

DISK = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/mnt/disk"}}
WEBHOOK = {
    "name": "check.example.com",
    "clientConfig": {"service": {"namespace": "default", "name": "checker"}},
    "rules": [
        {
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods", "pods/status"],
        }
    ],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
REPORT = {
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "example.com/watcher",
    "reportingInstance": "watcher-1",
    "action": "Looking",
    "reason": "Seen",
    "type": "Normal",
    "regarding": {"kind": "Pod", "name": "web", "namespace": "default"},
    "note": "it was seen",
}

GOOD: dict[type[Any], dict[str, Any]] = {
    networking_v1.Ingress: {"spec": {"defaultBackend": BACKEND}},
    networking_v1.IngressClass: {"spec": {"controller": "example.com/ingress"}},
    networking_v1.NetworkPolicy: {"spec": {"podSelector": {}}},
    policy_v1.PodDisruptionBudget: {"spec": {"minAvailable": "50%", "selector": {}}},
    core_v1.PersistentVolumeClaim: {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    core_v1.PersistentVolume: {"spec": DISK},
    storage_v1.StorageClass: {"provisioner": "example.com/tapes"},
    autoscaling_v2.HorizontalPodAutoscaler: {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    },
    admissionregistration_v1.MutatingWebhookConfiguration: {"webhooks": [WEBHOOK]},
    admissionregistration_v1.ValidatingWebhookConfiguration: {"webhooks": [WEBHOOK]},
    core_v1.LimitRange: {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}},
    core_v1.ResourceQuota: {"spec": {"hard": {"pods": "10"}}},
    events_v1.Event: REPORT,
}
CLUSTER_WIDE = (
    networking_v1.IngressClass,
    core_v1.PersistentVolume,
    storage_v1.StorageClass,
    admissionregistration_v1.MutatingWebhookConfiguration,
    admissionregistration_v1.ValidatingWebhookConfiguration,
)


def made(of: type[Any], **fields: Any) -> Any:
    """The good one with other fields, and with defaults."""
    metadata = {"name": "web", "namespace": "" if of in CLUSTER_WIDE else "default", "resourceVersion": "1"}
    return rules_for(of).default(msgspec.convert({"metadata": metadata, **GOOD[of], **fields}, of))


def said(new: Any, old: Any = None) -> list[str]:
    return [str(error) for error in rules_for(type(new)).validate(new, old)]


@pytest.mark.parametrize("of", GOOD, ids=lambda of: of.__name__)
def test_the_good_one(of: type[Any]) -> None:
    obj = made(of)
    assert said(obj) == []
    assert said(obj, obj) == []
    assert rules_for(of).default(obj) == obj


def rule(**path: Any) -> dict[str, Any]:
    """The spec of an Ingress with one path."""
    one = {"path": "/", "pathType": "Prefix", "backend": BACKEND, **path}
    return {"rules": [{"host": "example.com", "http": {"paths": [one]}}]}


AT = "spec.rules[0].http.paths[0]"
INGRESSES: list[tuple[dict[str, Any], str]] = [
    (rule(), ""),
    (rule(pathType="ImplementationSpecific", path=""), ""),
    ({"rules": [{"host": "*.example.com"}]}, ""),
    ({}, "spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"),
    (rule(pathType=""), f"{AT}.pathType: Required value: pathType must be specified"),
    (rule(pathType="Regex"), f'{AT}.pathType: Unsupported value: "Regex": supported values: "Exact"'),
    (rule(path="a"), f'{AT}.path: Invalid value: "a": must be an absolute path'),
    (rule(path="/a//b"), f"{AT}.path: Invalid value: \"/a//b\": must not contain '//'"),
    (rule(path="/a/.."), f"{AT}.path: Invalid value: \"/a/..\": cannot end with '/..'"),
    (rule(backend={}), f'{AT}.backend: Invalid value: "": resource or service backend is required'),
    (
        rule(backend={"service": {"name": "web"}}),
        f"{AT}.backend: Required value: port name or number is required",
    ),
    (
        rule(backend={"service": {"name": "web", "port": {"name": "a", "number": 1}}}),
        f'{AT}.backend: Invalid value: "": cannot set both port name & port number',
    ),
    ({"rules": [{"host": "10.0.0.1"}]}, 'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name'),
    ({"rules": [{"host": "a.*"}]}, 'spec.rules[0].host: Invalid value: "a.*": a wildcard DNS-1123 subdomain'),
    ({"rules": [{"http": {}}]}, "spec.rules[0].http.paths: Required value"),
]


@pytest.mark.parametrize(("spec", "expected"), INGRESSES)
def test_ingresses(spec: dict[str, Any], expected: str) -> None:
    errors = said(made(networking_v1.Ingress, spec=spec))
    assert len(errors) == bool(expected), errors
    assert not expected or errors[0].startswith(expected)


def egress(**to: Any) -> dict[str, Any]:
    """The spec of a policy with one peer."""
    return {"podSelector": {}, "egress": [{"to": [to]}]}


def port(**of: Any) -> dict[str, Any]:
    """The spec of a policy with one port."""
    return {"podSelector": {}, "ingress": [{"ports": [of]}]}


POLICIES: list[tuple[dict[str, Any], str]] = [
    (egress(ipBlock={"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}), ""),
    (port(port=80, endPort=90), ""),
    (egress(), "spec.egress[0].to[0]: Required value: must specify a peer"),
    (
        egress(ipBlock={"cidr": "10.0.0.0/8"}, podSelector={}),
        "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
    ),
    (
        egress(ipBlock={"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}),
        'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
    ),
    (
        egress(ipBlock={"cidr": "10.0.0.0/8", "except": ["fd00::/64"]}),
        'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "fd00::/64": must be a strict subset of `cidr`',
    ),
    (egress(ipBlock={"cidr": "10.0.0"}), 'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0"'),
    (port(port=0), "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    (port(port=9, endPort=8), "spec.ingress[0].ports[0].endPort: Invalid value: 9: must be greater than or"),
    (port(port="web", endPort=8), "spec.ingress[0].ports[0].endPort: Invalid value: 8: may not be specified"),
    (port(protocol="ICMP"), 'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP"'),
    ({"policyTypes": ["Sideways"]}, 'spec.policyTypes[0]: Unsupported value: "Sideways"'),
]


@pytest.mark.parametrize(("spec", "expected"), POLICIES)
def test_network_policies(spec: dict[str, Any], expected: str) -> None:
    errors = said(made(networking_v1.NetworkPolicy, spec=spec))
    assert len(errors) == bool(expected), errors
    assert not expected or errors[0].startswith(expected)


def test_a_policys_directions_follow_from_its_rules() -> None:
    assert made(networking_v1.NetworkPolicy).spec.policyTypes == ("Ingress",)
    both = made(networking_v1.NetworkPolicy, spec=egress(podSelector={}))
    assert both.spec.policyTypes == ("Ingress", "Egress")
    assert made(networking_v1.NetworkPolicy, spec=port(port=1)).spec.ingress[0].ports[0].protocol == "TCP"


REFUSED: list[tuple[type[Any], dict[str, Any], str]] = [
    (
        policy_v1.PodDisruptionBudget,
        {"minAvailable": 1, "maxUnavailable": 1},
        'spec: Invalid value: {"minAvailable":1,"maxUnavailable":1}: minAvailable and maxUnavailable cannot be',
    ),
    (policy_v1.PodDisruptionBudget, {"minAvailable": "200%"}, 'spec.minAvailable: Invalid value: "200%"'),
    (
        policy_v1.PodDisruptionBudget,
        {"unhealthyPodEvictionPolicy": "Never"},
        'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never"',
    ),
    (networking_v1.IngressClass, {}, "spec.controller: Required value"),
    (
        networking_v1.IngressClass,
        {"controller": "nginx"},
        'spec.controller: Invalid value: "nginx": must be a',
    ),
    (
        networking_v1.IngressClass,
        {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}},
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
    ),
    (
        core_v1.PersistentVolumeClaim,
        {},
        "spec.accessModes: Required value: at least 1 access mode is required",
    ),
    (
        core_v1.PersistentVolumeClaim,
        {"accessModes": ["ReadWriteOnce"]},
        "spec.resources[storage]: Required value",
    ),
    (core_v1.PersistentVolumeClaim, {"volumeMode": "Tape"}, 'spec.volumeMode: Unsupported value: "Tape"'),
    (
        core_v1.PersistentVolume,
        {**DISK, "nfs": {"server": "s", "path": "/"}},
        "spec.nfs: Forbidden: may not specify more than 1 volume type",
    ),
    (
        core_v1.PersistentVolume,
        {**DISK, "hostPath": None},
        "spec: Required value: must specify a volume type",
    ),
    (core_v1.PersistentVolume, {**DISK, "capacity": {}}, "spec.capacity: Required value"),
    (
        core_v1.PersistentVolume,
        {**DISK, "hostPath": None, "local": {"path": "/mnt"}},
        "spec.nodeAffinity: Required value: Local volume requires node affinity",
    ),
    (
        autoscaling_v2.HorizontalPodAutoscaler,
        {"minReplicas": 3, "maxReplicas": 2},
        "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`",
    ),
    (
        autoscaling_v2.HorizontalPodAutoscaler,
        {"metrics": [{"type": "Pods"}]},
        "spec.metrics[0].pods: Required value: must populate information for the given metric source",
    ),
    (
        core_v1.ResourceQuota,
        {"hard": {"pods": "-1"}},
        'spec.hard[pods]: Invalid value: "-1": must be greater',
    ),
    (
        core_v1.LimitRange,
        {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]},
        'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
    ),
    (
        core_v1.LimitRange,
        {"limits": [{"type": "Pod"}, {"type": "Pod"}]},
        'spec.limits[1].type: Duplicate value: "Pod"',
    ),
]


@pytest.mark.parametrize(("of", "spec", "expected"), REFUSED)
def test_what_is_refused(of: type[Any], spec: dict[str, Any], expected: str) -> None:
    errors = said(made(of, spec=spec))
    assert [error for error in errors if error.startswith(expected)], errors


def test_limits_of_containers_follow_from_each_other() -> None:
    item = made(core_v1.LimitRange).spec.limits[0]
    assert (item.default, item.defaultRequest) == ({"cpu": "2"}, {"cpu": "2"})


def test_a_claim_stays_as_it_is_but_for_its_size_once_it_has_a_volume() -> None:
    asked = GOOD[core_v1.PersistentVolumeClaim]["spec"]
    more = {**asked, "resources": {"requests": {"storage": "2Gi"}}}
    bound = {"status": {"phase": "Bound"}}
    of = core_v1.PersistentVolumeClaim
    assert said(made(of, spec=more), made(of))[0].startswith(
        "spec: Forbidden: spec is immutable after creation"
    )
    assert said(made(of, spec=more, **bound), made(of, **bound)) == []
    assert said(made(of, spec={**asked, "volumeName": "v"}), made(of)) == []
    assert said(made(of, spec={**asked, "storageClassName": "s"}), made(of)) != []


def test_a_volume_stays_where_it_is() -> None:
    moved = made(core_v1.PersistentVolume, spec={**DISK, "hostPath": {"path": "/mnt/other"}})
    assert said(moved, made(core_v1.PersistentVolume)) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    ]


WEBHOOKS: list[tuple[dict[str, Any], str]] = [
    (
        {"name": "check.com"},
        'name: Invalid value: "check.com": should be a domain with at least three segments',
    ),
    ({"sideEffects": None}, "sideEffects: Required value: must specify one of None, NoneOnDryRun"),
    ({"sideEffects": "Some"}, 'sideEffects: Unsupported value: "Some"'),
    ({"admissionReviewVersions": []}, "admissionReviewVersions: Required value"),
    (
        {"timeoutSeconds": 31},
        "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
    ),
    ({"clientConfig": {}}, "clientConfig: Required value: exactly one of url or service is required"),
    (
        {"clientConfig": {"url": "http://a"}},
        "clientConfig.url: Invalid value: \"http://a\": 'https' is the only",
    ),
    ({"rules": [{"operations": ["READ"]}]}, "rules[0].apiGroups: Required value"),
]


@pytest.mark.parametrize(("changes", "expected"), WEBHOOKS)
def test_webhooks_that_are_refused(changes: dict[str, Any], expected: str) -> None:
    of = admissionregistration_v1.ValidatingWebhookConfiguration
    assert said(made(of, webhooks=[{**WEBHOOK, **changes}]))[0].startswith(f"webhooks[0].{expected}")


def test_a_webhook_is_filled_in() -> None:
    webhook = made(admissionregistration_v1.MutatingWebhookConfiguration).webhooks[0]
    assert webhook.clientConfig.service.port == 443
    assert (webhook.failurePolicy, webhook.matchPolicy, webhook.timeoutSeconds) == ("Fail", "Equivalent", 10)
    assert (webhook.reinvocationPolicy, webhook.rules[0].scope) == ("Never", "*")


def test_a_storage_class_keeps_its_provisioner() -> None:
    other = made(storage_v1.StorageClass, provisioner="example.com/disks")
    assert said(other, made(storage_v1.StorageClass)) == [
        "provisioner: Forbidden: updates to provisioner are forbidden."
    ]
    assert said(made(storage_v1.StorageClass, provisioner="")) == ["provisioner: Required value"]


@pytest.mark.parametrize(
    ("metrics", "target", "annotated"),
    [
        ([], 80, False),
        ([("cpu", 50)], 50, False),
        ([("memory", 70), ("cpu", 50)], 50, True),
        ([("memory", 70)], None, True),
    ],
)
def test_an_autoscaler_in_its_older_form(
    metrics: list[tuple[str, int]], target: int | None, annotated: bool
) -> None:
    given = [
        {
            "type": "Resource",
            "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": share}},
        }
        for name, share in metrics
    ]
    of = autoscaling_v2.HorizontalPodAutoscaler
    new = made(of, spec={**GOOD[of]["spec"], "metrics": given, "behavior": {"scaleDown": {"policies": []}}})
    old = horizontalpodautoscalers.read(new)
    assert old.spec.targetCPUUtilizationPercentage == target
    assert (horizontalpodautoscalers.METRICS_ANNOTATION in old.metadata.annotations) == annotated
    back = horizontalpodautoscalers.write(old)
    assert (back.metadata, back.spec.behavior) == (new.metadata, new.spec.behavior)
    assert sorted(map(str, back.spec.metrics)) == sorted(map(str, new.spec.metrics))


def test_an_autoscaler_that_comes_in_in_its_older_form_is_filled_in_and_judged() -> None:
    of = autoscaling_v1.HorizontalPodAutoscaler
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    metadata = {"name": "web", "namespace": "default"}
    made = rules_for(of).default(msgspec.convert({"metadata": metadata, "spec": spec}, of))
    assert (made.spec.minReplicas, made.spec.targetCPUUtilizationPercentage) == (1, 80)
    assert said(made) == []
    none = rules_for(of).default(
        msgspec.convert({"metadata": metadata, "spec": {**spec, "maxReplicas": 0}}, of)
    )
    assert said(none)[0].startswith("spec.maxReplicas: Invalid value: 0: must be greater than 0")


REPORTS: list[tuple[dict[str, Any], str]] = [
    ({"eventTime": None}, "eventTime: Required value"),
    ({"type": "Odd"}, 'type: Invalid value: "": has invalid value: Odd'),
    ({"deprecatedCount": 1}, 'count: Invalid value: "": needs to be unset'),
    ({"deprecatedSource": {"host": "h"}}, 'source: Invalid value: "": needs to be unset'),
    (
        {"series": {"count": 1, "lastObservedTime": None}},
        'series.count: Invalid value: "": should be at least 2',
    ),
    ({"reportingController": ""}, "reportingController: Required value"),
    ({"regarding": {"kind": "Pod"}}, ""),
]


@pytest.mark.parametrize(("fields", "expected"), REPORTS)
def test_new_events(fields: dict[str, Any], expected: str) -> None:
    errors = said(made(events_v1.Event, **fields))
    assert [error for error in errors if error.startswith(expected)] or not expected, errors


def test_an_event_only_gets_a_series() -> None:
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
    assert said(made(events_v1.Event, series=series), made(events_v1.Event)) == []
    changed = said(made(events_v1.Event, note="other"), made(events_v1.Event))
    assert changed == ['message: Invalid value: "other": field is immutable']


def test_both_forms_of_an_event_hold_the_same() -> None:
    event = made(events_v1.Event)
    stored = reports.write(event)
    assert reports.write(reports.read(stored)) == stored
    assert (stored.message, stored.involvedObject.name) == ("it was seen", "web")
