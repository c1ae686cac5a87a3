"""Workload kinds: what is filled in, what is refused, and what may change. Words and paths are upstream's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects import apps_v1
from fairlead.objects.rules import rules_for
from tests.objects.workloads import KINDS, LABELS, made, said

RESTART = "template.spec.restartPolicy"
UNSELECTED = 'Invalid value: {"app":"shop"}: `selector` does not match template `labels`'


@pytest.mark.parametrize("kind", KINDS)
def test_the_usual_one_is_fine_and_complete(kind: str) -> None:
    obj = made(kind, {})
    assert said(obj) == []
    assert said(obj, obj) == []
    assert rules_for(type(obj)).default(obj) == obj


DEFAULTS: list[tuple[str, dict[str, Any], str, Any]] = [
    ("Deployment", {}, "replicas", 1),
    ("Deployment", {"replicas": 0}, "replicas", 0),
    ("Deployment", {}, "strategy.type", "RollingUpdate"),
    ("Deployment", {}, "strategy.rollingUpdate.maxSurge", "25%"),
    ("Deployment", {"strategy.rollingUpdate": {"maxSurge": 0}}, "strategy.rollingUpdate.maxSurge", 0),
    ("Deployment", {"strategy.type": "Recreate"}, "strategy.rollingUpdate", None),
    ("Deployment", {}, "revisionHistoryLimit", 10),
    ("Deployment", {}, "progressDeadlineSeconds", 600),
    ("Deployment", {}, "template.spec.dnsPolicy", "ClusterFirst"),
    # What admission gives to pods is not in their templates.
    ("Deployment", {}, "template.spec.serviceAccountName", ""),
    ("Deployment", {}, "template.spec.enableServiceLinks", None),
    ("Deployment", {}, "template.spec.tolerations", ()),
    (
        "Deployment",
        {"template.spec.serviceAccount": "shop"},
        "template.spec.serviceAccountName",
        "shop",
    ),
    ("ReplicaSet", {}, "replicas", 1),
    ("StatefulSet", {}, "podManagementPolicy", "OrderedReady"),
    ("StatefulSet", {}, "updateStrategy.rollingUpdate.partition", 0),
    ("StatefulSet", {"updateStrategy.type": "OnDelete"}, "updateStrategy.rollingUpdate", None),
    ("StatefulSet", {}, "persistentVolumeClaimRetentionPolicy.whenScaled", "Retain"),
    ("DaemonSet", {}, "updateStrategy.rollingUpdate.maxUnavailable", 1),
    ("ReplicationController", {"selector": None}, "selector", LABELS),
    ("Job", {}, "completions", 1),
    ("Job", {"parallelism": 3}, "completions", None),
    ("Job", {}, "backoffLimit", 6),
    ("Job", {"backoffLimitPerIndex": 1}, "backoffLimit", 2**31 - 1),
    ("Job", {}, "completionMode", "NonIndexed"),
    ("Job", {}, "podReplacementPolicy", "TerminatingOrFailed"),
    ("Job", {"podFailurePolicy.rules": []}, "podReplacementPolicy", "Failed"),
    ("Job", {}, "selector.matchLabels", {"batch.kubernetes.io/controller-uid": "u"}),
    ("CronJob", {}, "concurrencyPolicy", "Allow"),
    ("CronJob", {}, "successfulJobsHistoryLimit", 3),
    ("CronJob", {}, "jobTemplate.spec.backoffLimit", None),
    ("CronJob", {}, "jobTemplate.spec.template.spec.schedulerName", "default-scheduler"),
]


@pytest.mark.parametrize(("kind", "changes", "path", "value"), DEFAULTS)
def test_defaults(kind: str, changes: dict[str, Any], path: str, value: Any) -> None:
    found = made(kind, changes).spec
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((kind, {"replicas": -1}, "replicas: Invalid value: -1") for kind in ("Deployment", "ReplicaSet")),
    ("StatefulSet", {"replicas": -1}, "replicas: Invalid value: -1: must be greater than or equal to 0"),
    ("ReplicationController", {"replicas": -1}, "replicas: Invalid value: -1"),
    *(
        (kind, {"template.metadata.labels": {"app": "shop"}}, f"template.metadata.labels: {UNSELECTED}")
        for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController")
    ),
    *((kind, {"selector": None}, "selector: Required value") for kind in ("Deployment", "StatefulSet")),
    ("Deployment", {"selector": {}}, "selector: Invalid value: {}: empty selector is invalid for deployment"),
    ("DaemonSet", {"selector": {}}, "selector: Invalid value: {}: empty selector is invalid for daemonset"),
    (
        "StatefulSet",
        {"selector": {}},
        "selector: Invalid value: {}: empty selector is invalid for statefulset",
    ),
    (
        "Deployment",
        {"selector.matchExpressions": [{"key": "a", "operator": "In"}]},
        "selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or",
    ),
    (
        "ReplicaSet",
        {"selector.matchExpressions": [{"key": "a", "operator": "Near"}]},
        'selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
    ),
    *(
        (kind, {RESTART: "Never"}, f'{RESTART}: Unsupported value: "Never": supported values: "Always"')
        for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController")
    ),
    (
        "Deployment",
        {"template.spec.activeDeadlineSeconds": 5},
        "template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
    ),
    (
        "Deployment",
        {"template.spec.containers": []},
        "template.spec.containers: Required value",
    ),
    (
        "Deployment",
        {"template.spec.ephemeralContainers": [{"name": "d", "image": "i"}]},
        "template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
    ),
    (
        "Deployment",
        {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
        "strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    (
        "Deployment",
        {"strategy.type": "Slow"},
        'strategy: Unsupported value: {"type":"Slow"}: supported values: "Recreate", "RollingUpdate"',
    ),
    (
        "Deployment",
        {"strategy.rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
        'strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
    ),
    (
        "Deployment",
        {"strategy.rollingUpdate": {"maxUnavailable": "101%"}},
        'strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
    ),
    (
        "Deployment",
        {"strategy.rollingUpdate": {"maxSurge": "many"}},
        'strategy.rollingUpdate.maxSurge: Invalid value: "many": a valid percent string must be a numeric',
    ),
    (
        "Deployment",
        {"minReadySeconds": 600},
        "progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
    ),
    (
        "DaemonSet",
        {"updateStrategy.rollingUpdate": {"maxSurge": 1}},
        "updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is",
    ),
    (
        "DaemonSet",
        {"updateStrategy.rollingUpdate": {"maxUnavailable": 0}},
        "updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
    ),
    (
        "StatefulSet",
        {"podManagementPolicy": "Random"},
        "podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
    ),
    (
        "StatefulSet",
        {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
        'updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy',
    ),
    ("StatefulSet", {"ordinals": {"start": -1}}, "ordinals.start: Invalid value: -1"),
    (
        "StatefulSet",
        {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Burn"}},
        'persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Burn"',
    ),
    ("ReplicationController", {"template": None}, "template: Required value"),
    ("Job", {RESTART: "Always"}, f'{RESTART}: Required value: valid values: "OnFailure", "Never"'),
    ("Job", {"parallelism": -1}, "parallelism: Invalid value: -1: must be greater than or equal to 0"),
    ("Job", {"completionMode": "Random"}, 'completionMode: Unsupported value: "Random"'),
    ("Job", {"completionMode": "Indexed", "parallelism": 2}, "completions: Required value: when completion"),
    ("Job", {"maxFailedIndexes": 1}, "backoffLimitPerIndex: Required value: when maxFailedIndexes is"),
    (
        "Job",
        {"successPolicy.rules": [{"succeededCount": 1}]},
        "successPolicy: Invalid value: ",
    ),
    (
        "Job",
        {"selector": {"matchLabels": {"a": "b"}}},
        'selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"u","a":"b"}}: `sel',
    ),
    ("Job", {"manualSelector": True}, "selector: Required value"),
    ("CronJob", {"schedule": None}, "schedule: Required value"),
    (
        "CronJob",
        {"schedule": "* * * *"},
        'schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4',
    ),
    ("CronJob", {"schedule": "61 * * * *"}, 'schedule: Invalid value: "61 * * * *": end of range (61) above'),
    (
        "CronJob",
        {"schedule": "TZ=UTC 0 * * * *"},
        'schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field',
    ),
    ("CronJob", {"timeZone": "Mars/Olympus"}, 'timeZone: Invalid value: "Mars/Olympus": unknown time zone'),
    ("CronJob", {"timeZone": "../etc/passwd"}, 'timeZone: Invalid value: "../etc/passwd": unknown time zone'),
    ("CronJob", {"concurrencyPolicy": "Maybe"}, 'concurrencyPolicy: Unsupported value: "Maybe"'),
    (
        "CronJob",
        {"jobTemplate.spec.selector": {"matchLabels": {"a": "b"}}},
        'jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-gen',
    ),
]


@pytest.mark.parametrize(("kind", "changes", "expected"), REFUSED)
def test_what_is_refused(kind: str, changes: dict[str, Any], expected: str) -> None:
    errors = said(made(kind, changes))
    assert [error for error in errors if error.startswith(f"spec.{expected}")], errors


IMMUTABLE: list[tuple[str, dict[str, Any], str]] = [
    *(
        (
            kind,
            {"selector": {"matchLabels": {"app": "shop"}}, "template.metadata.labels": {"app": "shop"}},
            'spec.selector: Invalid value: {"matchLabels":{"app":"shop"}}: field is immutable',
        )
        for kind in ("Deployment", "ReplicaSet", "DaemonSet")
    ),
    (
        "StatefulSet",
        {"serviceName": "web"},
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template'",
    ),
    ("Job", {"completions": 2}, "spec.completions: Invalid value: 2: field is immutable"),
    ("Job", {"template.spec.hostname": "a"}, "spec.template: Invalid value: "),
]


@pytest.mark.parametrize(("kind", "changes", "expected"), IMMUTABLE)
def test_what_may_not_change(kind: str, changes: dict[str, Any], expected: str) -> None:
    errors = said(made(kind, changes), made(kind, {}))
    assert [error for error in errors if error.startswith(expected)], errors


CHANGEABLE: list[tuple[str, dict[str, Any]]] = [
    ("Deployment", {"replicas": 5}),
    ("Deployment", {"template.spec.hostname": "a"}),
    ("StatefulSet", {"replicas": 5, "minReadySeconds": 1, "revisionHistoryLimit": 2}),
    ("ReplicationController", {"selector": {"app": "shop"}, "template.metadata.labels": {"app": "shop"}}),
    ("Job", {"completions": 1, "parallelism": 2, "activeDeadlineSeconds": 5}),
    ("CronJob", {"schedule": "@hourly", "suspend": True}),
]


@pytest.mark.parametrize(("kind", "changes"), CHANGEABLE)
def test_what_may_change(kind: str, changes: dict[str, Any]) -> None:
    assert said(made(kind, changes), made(kind, {})) == []


def test_a_suspended_job_may_still_be_steered_to_nodes() -> None:
    steered = {"suspend": True, "template.spec.nodeSelector": {"zone": "a"}}
    assert said(made("Job", steered), made("Job", {"suspend": True})) == []
    assert said(made("Job", steered), made("Job", {})) != []


@pytest.mark.parametrize(
    ("kind", "name", "good"),
    [
        ("Deployment", "web.v1", True),
        ("StatefulSet", "web.v1", False),
        ("CronJob", "a" * 52, True),
        ("CronJob", "a" * 53, False),
    ],
)
def test_names(kind: str, name: str, good: bool) -> None:
    assert (said(made(kind, {}, name)) == []) is good


STATUS: list[tuple[str, dict[str, Any], str]] = [
    ("Deployment", {"readyReplicas": 1}, "status.readyReplicas: Invalid value: 1: cannot be greater than"),
    (
        "Deployment",
        {"replicas": 2, "availableReplicas": 2, "readyReplicas": 1},
        "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
    ),
    ("ReplicaSet", {"fullyLabeledReplicas": 1}, "status.fullyLabeledReplicas: Invalid value: 1: cannot be"),
    ("StatefulSet", {"currentReplicas": 1}, "status.currentReplicas: Invalid value: 1: cannot be greater"),
    ("DaemonSet", {"numberReady": -1}, "status.numberReady: Invalid value: -1: must be greater than or"),
    ("Job", {"active": -1}, "status.active: Invalid value: -1: must be greater than or equal to 0"),
    ("Deployment", {"collisionCount": 1}, "status.collisionCount: Invalid value: 1: cannot be decremented"),
]


@pytest.mark.parametrize(("kind", "status", "expected"), STATUS)
def test_what_a_status_may_not_say(kind: str, status: dict[str, Any], expected: str) -> None:
    obj = made(kind, {})
    new = msgspec.structs.replace(obj, status=msgspec.convert(status, type(obj.status)))
    if kind == "Deployment":
        obj = msgspec.structs.replace(obj, status=apps_v1.DeploymentStatus(collisionCount=2))
    errors = [str(error) for error in rules_for(type(obj)).validate_status(new, obj)]
    assert [error for error in errors if error.startswith(expected)], errors
