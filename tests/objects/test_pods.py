"""Pods: what is filled in, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.objects.containers import is_latest
from fairlead.objects.core_v1 import Pod
from fairlead.objects.rules import rules_for

RULES = rules_for(Pod)


def pod(*containers: dict[str, Any], **spec: Any) -> Pod:
    listed = [{"name": f"c{i}", "image": "fairlead/echo"} | one for i, one in enumerate(containers)]
    metadata = {"name": "web-0", "namespace": "default", "resourceVersion": "1"}
    return RULES.default(msgspec.convert({"metadata": metadata, "spec": {"containers": listed, **spec}}, Pod))


def said(new: Pod, old: Pod | None = None) -> list[str]:
    return [str(error) for error in RULES.validate(new, old)]


def test_defaults() -> None:
    filled = pod({"ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}}})
    spec, container = filled.spec, filled.spec.containers[0]
    assert (spec.restartPolicy, spec.dnsPolicy, spec.terminationGracePeriodSeconds) == (
        "Always",
        "ClusterFirst",
        30,
    )
    assert (spec.serviceAccountName, spec.enableServiceLinks) == ("default", True)
    assert (container.imagePullPolicy, container.ports[0].protocol) == ("Always", "TCP")
    probe = container.readinessProbe
    assert probe is not None
    assert (probe.timeoutSeconds, probe.periodSeconds, probe.failureThreshold) == (1, 10, 3)
    assert probe.httpGet is not None
    assert (probe.httpGet.path, probe.httpGet.scheme) == ("/", "HTTP")
    assert (filled.status.phase, filled.status.qosClass) == ("Pending", "BestEffort")
    assert said(filled) == []
    assert RULES.default(filled) == filled


def test_what_is_remembered_of_a_spec() -> None:
    """A spec that was judged before is judged alike, and only by what is in it."""
    for _ in range(2):
        good, bad = pod({"name": "web"}), pod({"name": "Web"})
        assert said(good) == []
        assert [line.partition(":")[0] for line in said(bad)] == ["spec.containers[0].name"]
    assert pod({"name": "web"}).spec is good.spec
    other = pod({"name": "web"}, nodeName="node-1")
    assert (other.spec.nodeName, good.spec.nodeName) == ("node-1", "")
    late = msgspec.structs.replace(good, spec=msgspec.structs.replace(good.spec, restartPolicy="Sometimes"))
    assert said(late)


@pytest.mark.parametrize(
    ("image", "latest"),
    [
        ("a", True),
        ("a:latest", True),
        ("a:1", False),
        ("r:5000/a", True),
        ("r:5000/a:1", False),
        ("a@sha256:0", False),
    ],
)
def test_images_that_may_change_behind_their_name(image: str, latest: bool) -> None:
    assert is_latest(image) is latest


RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}


@pytest.mark.parametrize(
    ("containers", "spec", "expected"),
    [
        ([], {}, ["spec.containers: Required value"]),
        ([{"image": ""}], {}, ["spec.containers[0].image: Required value"]),
        ([{"name": "a"}, {"name": "a"}], {}, ['spec.containers[1].name: Duplicate value: "a"']),
        (
            [{"ports": [{"containerPort": 0}]}],
            {},
            ["spec.containers[0].ports[0].containerPort: Required value"],
        ),
        (
            [{}],
            {"restartPolicy": "Sometimes"},
            [
                'spec.restartPolicy: Unsupported value: "Sometimes": '
                'supported values: "Always", "Never", "OnFailure"'
            ],
        ),
        (
            [{"livenessProbe": {}}],
            {},
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            [{"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}}],
            {},
            ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            {},
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (
            [{"env": [{"name": "A=B", "value": "1"}]}],
            {},
            [
                'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name '
                "must consist only of printable ASCII characters other than '='"
            ],
        ),
        (
            [{"restartPolicyRules": [RULE]}],
            {},
            [
                "spec.containers[0].restartPolicy: Required value: "
                "must specify restartPolicy when restart rules are used"
            ],
        ),
        (
            [{"restartPolicy": "Never", "restartPolicyRules": [RULE, {"action": "Stop"}]}],
            {},
            [
                'spec.containers[0].restartPolicyRules[1].action: Unsupported value: "Stop": '
                'supported values: "Restart", "RestartAllContainers"',
                "spec.containers[0].restartPolicyRules[1].exitCodes: Required value: must be specified",
            ],
        ),
        (
            [
                {
                    "restartPolicy": "Never",
                    "restartPolicyRules": [{**RULE, "exitCodes": {"values": [1] * 256}}] * 21,
                }
            ],
            {},
            [
                "spec.containers[0].restartPolicyRules: Too many: 21: must have at most 20 items",
                *(
                    problem
                    for i in range(21)
                    for problem in (
                        f'spec.containers[0].restartPolicyRules[{i}].exitCodes.operator: Unsupported value: "": '
                        'supported values: "In", "NotIn"',
                        f"spec.containers[0].restartPolicyRules[{i}].exitCodes.values: Too many: 256: "
                        "must have at most 255 items",
                    )
                ),
            ],
        ),
        (
            [{}],
            {"dnsPolicy": "None"},
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            [{"resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "1"}}}],
            {},
            [
                'spec.containers[0].resources.requests: Invalid value: "1": '
                "must be less than or equal to cpu limit of 500m"
            ],
        ),
    ],
)
def test_what_is_said_of_a_spec(
    containers: list[dict[str, Any]], spec: dict[str, Any], expected: list[str]
) -> None:
    assert said(pod(*containers, **spec)) == expected


def test_only_the_image_of_a_container_may_change() -> None:
    old = pod({"image": "a:1"})
    assert said(pod({"image": "a:2"}), old) == []
    [refusal] = said(pod({"image": "a:1"}, nodeName="node1"), old)
    assert refusal.startswith("spec: Forbidden: pod updates may not change fields other than")
    assert said(pod({}, {}), old) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]
