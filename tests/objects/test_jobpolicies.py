"""What may be said in a Job of pods that failed and of successes that are enough; in a CronJob's template, too."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fairlead.objects.jobpolicies import count_indexes
from tests.objects.workloads import made, said

CODES = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 42]}}
CONDITION = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
INDEXED: dict[str, Any] = {"completionMode": "Indexed", "completions": 10}


def failing(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": list(rules)}, **more}


def codes(**more: Any) -> dict[str, Any]:
    return failing({"action": "Count", "onExitCodes": {"operator": "In", "values": [1], **more}})


def enough(*rules: dict[str, Any]) -> dict[str, Any]:
    return {**INDEXED, "successPolicy": {"rules": list(rules)}}


@pytest.mark.parametrize(
    "spec",
    [
        failing(CODES, CONDITION),
        codes(containerName="c"),
        codes(operator="NotIn", values=[0]),
        {**failing({**CODES, "action": "FailIndex"}), **INDEXED, "backoffLimitPerIndex": 1},
        enough({"succeededIndexes": "0-2,5", "succeededCount": 4}, {"succeededCount": 10}),
        {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 10},
    ],
)
def test_what_may_be_said(spec: dict[str, Any]) -> None:
    assert said(made("Job", spec)) == []
    assert said(made("CronJob", {f"jobTemplate.spec.{field}": value for field, value in spec.items()})) == []


BACKOFF = {**INDEXED, "completions": 100_001, "backoffLimitPerIndex": 1}
FEW = "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"
POD, RULE = "podFailurePolicy.rules", "podFailurePolicy.rules[0]"
DONE = "successPolicy.rules[0]"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (failing(*[CODES] * 21), f"{POD}: Too many: 21: must have at most 20 items"),
        (failing({**CODES, "action": ""}), f'{RULE}.action: Required value: valid values: ["Count" '),
        (
            failing({**CODES, "action": "Cry"}),
            f'{RULE}.action: Unsupported value: "Cry": supported values: "Count"',
        ),
        (
            failing({**CODES, "action": "FailIndex"}),
            f'{RULE}.action: Invalid value: "FailIndex": requires the back',
        ),
        (failing({**CODES, **CONDITION}), f"{RULE}: Invalid value: "),
        (failing({"action": "Count"}), f"{RULE}: Invalid value: "),
        (codes(operator=""), f'{RULE}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]'),
        (codes(operator="Is"), f'{RULE}.onExitCodes.operator: Unsupported value: "Is"'),
        (
            codes(containerName="x"),
            f'{RULE}.onExitCodes.containerName: Invalid value: "x": must be one of the cont',
        ),
        (codes(values=[]), f"{RULE}.onExitCodes.values: Invalid value: []: at least one value is required"),
        (
            codes(values=list(range(1, 257))),
            f"{RULE}.onExitCodes.values: Too many: 256: must have at most 255",
        ),
        (
            codes(values=[0, 1]),
            f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
        (codes(values=[1, 1]), f"{RULE}.onExitCodes.values[1]: Duplicate value: 1"),
        (codes(values=[2, 1]), f"{RULE}.onExitCodes.values: Invalid value: [2,1]: must be ordered"),
        (
            failing({"action": "Count", "onPodConditions": [{"type": "a b"}]}),
            f'{RULE}.onPodConditions[0].type: Invalid value: "a b"',
        ),
        (
            failing({"action": "Count", "onPodConditions": [{"type": "Ready", "status": "Maybe"}]}),
            f'{RULE}.onPodConditions[0].status: Unsupported value: "Maybe"',
        ),
        (
            failing({"action": "Count", "onPodConditions": [{"type": "Ready"}] * 21}),
            f"{RULE}.onPodConditions: Too many: 21: must have at most 20 items",
        ),
        (enough(), "successPolicy.rules: Required value: at least one rules must be specified"),
        (
            enough(*[{"succeededCount": 1}] * 21),
            "successPolicy.rules: Too many: 21: must have at most 20 items",
        ),
        (enough({}), f"{DONE}: Required value: at least one of succeededCount or succeededIndexes"),
        (
            enough({"succeededCount": 11}),
            f"{DONE}.succeededCount: Invalid value: 11: must be less than or equal to 10",
        ),
        (
            enough({"succeededCount": 3, "succeededIndexes": "1,4"}),
            f"{DONE}.succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in",
        ),
        (
            enough({"succeededCount": -1}),
            f"{DONE}.succeededCount: Invalid value: -1: must be greater than or equal",
        ),
        (
            enough({"succeededIndexes": "1,x"}),
            f'{DONE}.succeededIndexes: Invalid value: "1,x": error parsing succeededIndexes: cannot convert string',
        ),
        (
            enough({"succeededIndexes": "1," * 40_000}),
            f"{DONE}.succeededIndexes: Too long: may not be more than 65536 bytes",
        ),
        (
            {**INDEXED, "completions": 200_000, "backoffLimitPerIndex": 1, "maxFailedIndexes": 100_001},
            "maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000",
        ),
        (BACKOFF, "maxFailedIndexes: Required value: must be specified when completions is above 100000"),
        ({**BACKOFF, "parallelism": 10_001}, f"parallelism: Invalid value: 10001: {FEW}"),
        ({**BACKOFF, "maxFailedIndexes": 10_001}, f"maxFailedIndexes: Invalid value: 10001: {FEW}"),
        ({"managedBy": "example.org/" + "x" * 60}, "managedBy: Too long: may not be more than 63 bytes"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_what_is_refused(spec: dict[str, Any], error: str) -> None:
    for kind, path in (("Job", ""), ("CronJob", "jobTemplate.spec.")):
        errors = said(made(kind, {f"{path}{field}": value for field, value in spec.items()}))
        assert [each for each in errors if each.startswith(f"spec.{path}{error}")], errors


@pytest.mark.parametrize(("text", "count"), [("", 0), ("3", 1), ("0-2,5", 4), ("0-9", 10), ("1,3,5-6", 4)])
def test_how_many_indexes_a_text_names(text: str, count: int) -> None:
    assert count_indexes(text, 10) == count


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("10", 'too large index: "10"'),
        ("1-10", 'too large index: "10"'),
        ("3,3", "non-increasing order, previous: 3, current: 3"),
        ("1-4,4", "non-increasing order, previous: 4, current: 4"),
        ("4-4", "non-increasing order, previous: 4, current: 4"),
        (
            "1-2-3",
            'the fragment "1-2-3" violates the requirement that an index interval can have at most two',
        ),
        ("1,,2", 'cannot convert string to integer for index: ""'),
        ("-1", 'cannot convert string to integer for index: ""'),
    ],
)
def test_what_names_no_indexes(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        count_indexes(text, 10)
