"""What a Job's pods want and when a Job is over: tables, and histories in which pods succeed, fail and vanish."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.objects.batch_v1 import (
    Job,
    JobSpec,
    JobStatus,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
    SuccessPolicy,
    SuccessPolicyRule,
    UncountedTerminatedPods,
)
from fairlead.objects.core_v1 import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodCondition,
    PodStatus,
)
from fairlead.objects.jobs import default
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scalars import timestamp
from fairlead.workloads.job import accounting, backoff, indexes
from fairlead.workloads.job.plan import Plan, plan
from fairlead.workloads.job.pods import VARIABLE, pod_for
from fairlead.workloads.job.policies import meaning, satisfied
from fairlead.workloads.job.survey import FAILURES, FINALIZER, survey
from fairlead.workloads.job.ttl import left
from fairlead.workloads.job.verdict import is_finished
from tests.workloads.objects import NOW, reference, template


def job(
    completions: int | None = 3, parallelism: int | None = 2, *, of: JobStatus | None = None, **spec: Any
) -> Job:
    policy = spec.pop("restartPolicy", "Never")
    return default(
        Job(
            metadata=ObjectMeta(name="pi", namespace="default", uid="pi"),
            spec=JobSpec(
                completions=completions,
                parallelism=parallelism,
                template=template({"job": "pi"}, restartPolicy=policy),
                **spec,
            ),
            status=of or JobStatus(),
        )
    )


def indexed(completions: int = 3, parallelism: int = 2, **spec: Any) -> Job:
    return job(completions, parallelism, completionMode="Indexed", **spec)


def pod(
    name: str,
    phase: str = "Running",
    *,
    index: int | None = None,
    code: int = 0,
    deleted: bool = False,
    counted: bool = False,
    failures: int | None = None,
    condition: str = "",
    restarts: int = 0,
    ended: float = NOW,
) -> Pod:
    annotations = {} if index is None else {indexes.ANNOTATION: str(index)}
    if failures is not None:
        annotations[FAILURES] = str(failures)
    state = ContainerState()
    if phase in ("Succeeded", "Failed"):
        state = ContainerState(
            terminated=ContainerStateTerminated(exitCode=code, finishedAt=timestamp(ended))
        )
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=name,
            annotations=annotations,
            finalizers=() if counted else (FINALIZER,),
            ownerReferences=(reference("pi", "Job", "pi"),),
            creationTimestamp=timestamp(NOW - 100),
            deletionTimestamp=timestamp(NOW) if deleted else None,
        ),
        status=PodStatus(
            phase=phase,
            containerStatuses=(ContainerStatus(name="main", restartCount=restarts, state=state),),
            conditions=(PodCondition(type=condition, status="True"),) if condition else (),
        ),
    )


def step(of: Job, *pods: Pod, delay: float = 0.0) -> Plan:
    return plan(of, survey(of, pods), pods, NOW, lambda _: delay)


RULES = PodFailurePolicy(
    rules=(
        PodFailurePolicyRule(
            action="FailJob", onExitCodes=PodFailurePolicyOnExitCodesRequirement(operator="In", values=(42,))
        ),
        PodFailurePolicyRule(
            action="Ignore",
            onPodConditions=(PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget"),),
        ),
        PodFailurePolicyRule(
            action="FailIndex",
            onExitCodes=PodFailurePolicyOnExitCodesRequirement(
                operator="NotIn", values=(1, 2), containerName="main"
            ),
        ),
    )
)

CREATES = {
    "as many as may run at a time": (job(), (), (None, None)),
    "no more than are left": (job(of=JobStatus(succeeded=2)), (), (None,)),
    "one that succeeded is counted at once": (job(), (pod("a", "Succeeded"), pod("b")), (None,)),
    "one that failed is made anew": (job(), (pod("a", "Failed"), pod("b")), (None,)),
    "one that goes away is made anew": (job(), (pod("a", deleted=True), pod("b")), (None,)),
    "unless it is to have failed first": (
        job(podReplacementPolicy="Failed"),
        (pod("a", deleted=True), pod("b")),
        (),
    ),
    "one counted before is not counted again": (
        job(of=JobStatus(succeeded=1)),
        (pod("a", "Succeeded", counted=True),),
        (None, None),
    ),
    "nor one that the status names": (
        job(of=JobStatus(uncountedTerminatedPods=UncountedTerminatedPods(succeeded=("a",)))),
        (pod("a", "Succeeded"),),
        (None, None),
    ),
    "a queue of work": (job(None, 2), (), (None, None)),
    "a queue of work that somebody has emptied": (job(None, 2), (pod("a", "Succeeded"), pod("b")), ()),
    "none at a time": (job(parallelism=0), (), ()),
    "by index": (indexed(), (), (0, 1)),
    "the first that is missing": (indexed(4, 3), (pod("a", "Succeeded", index=1), pod("b", index=0)), (2, 3)),
    "an index that failed": (indexed(), (pod("a", "Failed", index=0), pod("b", index=1)), (0,)),
    "an index that failed for good": (
        indexed(backoffLimitPerIndex=1),
        (pod("a", "Failed", index=0, failures=1), pod("b", index=1)),
        (2,),
    ),
    "an index that may fail once more": (
        indexed(backoffLimitPerIndex=1),
        (pod("a", "Failed", index=0, failures=0), pod("b", index=1)),
        (0,),
    ),
}


@pytest.mark.parametrize(("of", "pods", "expected"), CREATES.values(), ids=CREATES)
def test_which_pods_are_made(of: Job, pods: tuple[Pod, ...], expected: tuple[int | None, ...]) -> None:
    found = step(of, *pods)
    assert found.verdict is None
    assert found.create == expected
    assert found.delete == ()
    assert found.status.active == sum(
        p.status.phase == "Running" and not p.metadata.deletionTimestamp for p in pods
    ) + len(expected)


VERDICTS = {
    "all have succeeded": (
        job(2),
        (pod("a", "Succeeded"), pod("b", "Succeeded")),
        "Complete",
        "CompletionsReached",
    ),
    "a queue of work is empty": (job(None), (pod("a", "Succeeded"),), "Complete", "CompletionsReached"),
    "none was wanted": (job(0), (), "Complete", "CompletionsReached"),
    "too many have failed": (
        job(backoffLimit=1),
        (pod("a", "Failed"), pod("b", "Failed")),
        "Failed",
        "BackoffLimitExceeded",
    ),
    "too many restarts": (
        job(backoffLimit=3, restartPolicy="OnFailure"),
        (pod("a", restarts=3),),
        "Failed",
        "BackoffLimitExceeded",
    ),
    "too late": (
        job(activeDeadlineSeconds=10, of=JobStatus(startTime=timestamp(NOW - 10))),
        (pod("a"),),
        "Failed",
        "DeadlineExceeded",
    ),
    "a rule says so": (
        job(podFailurePolicy=RULES),
        (pod("a", "Failed", code=42),),
        "Failed",
        "PodFailurePolicy",
    ),
    "every index has ended, one has failed": (
        indexed(2, backoffLimitPerIndex=0),
        (pod("a", "Failed", index=0, failures=0), pod("b", "Succeeded", index=1)),
        "Failed",
        "FailedIndexes",
    ),
    "too many indexes have failed": (
        indexed(3, backoffLimitPerIndex=0, maxFailedIndexes=0),
        (pod("a", "Failed", index=0, failures=0),),
        "Failed",
        "MaxFailedIndexesExceeded",
    ),
    "some indexes are enough": (
        indexed(
            3,
            successPolicy=SuccessPolicy(rules=(SuccessPolicyRule(succeededIndexes="1-2", succeededCount=1),)),
        ),
        (pod("a", "Succeeded", index=2), pod("b", index=0)),
        "Complete",
        "SuccessPolicy",
    ),
}


@pytest.mark.parametrize(("of", "pods", "type", "reason"), VERDICTS.values(), ids=VERDICTS)
def test_when_a_job_is_over(of: Job, pods: tuple[Pod, ...], type: str, reason: str) -> None:
    found = step(of, *pods)
    assert found.verdict is not None
    assert (found.verdict.type, found.verdict.reason) == (type, reason)
    assert found.create == ()
    assert [p.metadata.name for p in found.delete] == [
        p.metadata.name for p in pods if p.status.phase == "Running"
    ]
    said = [(c.type, c.reason) for c in found.status.conditions]
    assert said == [({"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[type], reason)]
    # what was once said stays, whatever becomes of the pods
    later = plan(replace(of, status=found.status), survey(of, ()), (), NOW)
    assert later.verdict == found.verdict


CODE = "Container main for pod default/a failed with exit code"
ACTIONS = [
    (pod("a", "Failed", code=42), "FailJob", f"{CODE} 42 matching FailJob rule at index 0"),
    (
        pod("a", "Failed", code=1, condition="DisruptionTarget"),
        "Ignore",
        "Pod default/a has condition DisruptionTarget matching Ignore rule at index 1",
    ),
    (pod("a", "Failed", code=7), "FailIndex", f"{CODE} 7 matching FailIndex rule at index 2"),
    (pod("a", "Failed", code=1), "Count", ""),
]


@pytest.mark.parametrize(("of", "action", "message"), ACTIONS, ids=[a[1] for a in ACTIONS])
def test_what_a_failed_pod_means(of: Pod, action: str, message: str) -> None:
    found = meaning(job(podFailurePolicy=RULES), of)
    assert (found.action, found.message) == (action, message)


def test_a_failure_that_is_ignored_is_not_counted() -> None:
    pods = (pod("a", "Failed", code=1, condition="DisruptionTarget"),)
    found = survey(job(podFailurePolicy=RULES, backoffLimit=0), pods)
    assert (found.failed, found.bad, found.ignored) == (0, (), pods)


@pytest.mark.parametrize(
    ("rule", "completed", "enough"),
    [
        (SuccessPolicyRule(succeededIndexes="0-1"), {0, 1}, True),
        (SuccessPolicyRule(succeededIndexes="0-1"), {0, 2}, False),
        (SuccessPolicyRule(succeededCount=2), {0, 2}, True),
        (SuccessPolicyRule(succeededCount=2), {2}, False),
        (SuccessPolicyRule(succeededIndexes="0,2", succeededCount=1), {1}, False),
        (SuccessPolicyRule(succeededIndexes="0,2", succeededCount=1), {2}, True),
    ],
)
def test_when_some_successes_are_enough(rule: SuccessPolicyRule, completed: set[int], enough: bool) -> None:
    assert bool(satisfied(indexed(successPolicy=SuccessPolicy(rules=(rule,))), completed)) is enough


@given(st.sets(st.integers(0, 50)))
def test_indexes_are_written_and_read(found: set[int]) -> None:
    assert indexes.parse(indexes.text_of(found), 51) == found
    assert indexes.parse(indexes.text_of(found), 20) == {index for index in found if index < 20}


@pytest.mark.parametrize(
    ("found", "text"),
    [((), ""), ((3,), "3"), ((1, 2), "1,2"), ((1, 2, 3), "1-3"), ((0, 2, 3, 4, 9), "0,2-4,9")],
)
def test_spans_of_indexes(found: tuple[int, ...], text: str) -> None:
    assert indexes.text_of(found) == text


def test_a_pod_with_a_useless_index_goes() -> None:
    pods = (pod("a", index=0), pod("b", index=0), pod("c", index=9), pod("d"), pod("e", index=1))
    found = step(indexed(), *pods)
    assert sorted(p.metadata.name for p in found.delete) == ["b", "c", "d"]


def test_a_job_is_suspended_and_goes_on() -> None:
    of = job(suspend=True)
    found = step(of, pod("a"))
    assert [p.metadata.name for p in found.delete] == ["a"]
    assert [(c.type, c.status) for c in found.status.conditions] == [("Suspended", "True")]
    assert (found.status.startTime, found.events) == (None, (("Suspended", "Job suspended"),))
    again = step(replace(of, spec=replace(of.spec, suspend=False), status=found.status))
    assert [(c.type, c.status) for c in again.status.conditions] == [("Suspended", "False")]
    assert (again.status.startTime, again.events) == (timestamp(NOW), (("Resumed", "Job resumed"),))
    assert again.create == (None, None)


def test_a_failed_pod_is_replaced_later_each_time() -> None:
    of = job(backoffLimit=20)
    failures = backoff.Failures()
    waits = []
    for number in range(9):
        failures = backoff.after(failures, (), [pod(f"p{number}", "Failed")], NOW)
        waits.append(failures.wait(NOW))
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert step(of, delay=waits[0]) == replace_again(step(of, delay=0), 10)
    assert backoff.after(failures, [pod("s", "Succeeded")], (), NOW).wait(NOW) == 0


def replace_again(found: Plan, seconds: float) -> Plan:
    status = replace(found.status, active=0)
    return Plan(status, found.verdict, (), found.delete, found.events, seconds)


def test_a_pod_knows_its_index() -> None:
    found = pod_for(indexed(), 2, 1)
    assert (found.metadata.generateName, found.spec.hostname) == ("pi-2-", "pi-2")
    assert found.metadata.annotations == {indexes.ANNOTATION: "2", FAILURES: "1"}
    assert found.metadata.labels[indexes.ANNOTATION] == "2"
    assert found.metadata.finalizers == (FINALIZER,)
    (variable,) = found.spec.containers[0].env
    assert variable.name == VARIABLE
    plain = pod_for(job(), None)
    assert (plain.metadata.generateName, plain.spec.hostname, plain.spec.containers[0].env) == ("pi-", "", ())


@pytest.mark.parametrize(
    ("ttl", "ended", "expected"),
    [(None, 5.0, None), (10, 5.0, 5.0), (10, 50.0, 0.0), (0, 0.0, 0.0), (10, None, None)],
)
def test_how_long_a_finished_job_stays(ttl: int | None, ended: float | None, expected: float | None) -> None:
    of = job(ttlSecondsAfterFinished=ttl)
    if ended is not None:
        over = step(job(0))
        of = replace(of, status=accounting.concluded(over.status, over.verdict, NOW - ended))
    assert left(of, NOW) == expected


FATES = st.lists(st.sampled_from(("Succeeded", "Failed", "gone", "crash")), max_size=60)


@given(st.integers(0, 6), st.integers(1, 4), st.booleans(), FATES)
def test_every_pod_is_counted_once_whatever_happens(
    completions: int, parallelism: int, with_index: bool, fates: list[str]
) -> None:
    """A controller that dies at any moment (`crash`: after the pods were noted) is followed by one that goes on."""
    of = job(
        completions, parallelism, backoffLimit=3, completionMode="Indexed" if with_index else "NonIndexed"
    )
    pods: dict[str, Pod] = {}
    ended = {"Succeeded": 0, "Failed": 0}
    fate, made = iter([*fates, *["Succeeded"] * 200]), 0
    for _ in range(300):
        if is_finished(of):
            break
        now = next(fate)
        running = [p for p in pods.values() if p.status.phase == "Running"]
        if running and now in ended:
            victim = running[0]
            pods[victim.metadata.name] = replace(victim, status=replace(victim.status, phase=now))
            ended[now] += 1
        elif running and now == "gone":
            del pods[running[0].metadata.name]
        there = tuple(pods.values())
        found = survey(of, there)
        assert len(found.active) <= parallelism
        todo = plan(of, found, there, NOW)
        for each in todo.delete:
            del pods[each.metadata.name]
        for index in todo.create:
            made += 1
            pods[f"p{made}"] = pod(f"p{made}", index=index)
        status = accounting.noted(todo.status, found)
        if now == "crash":
            of = replace(of, status=status)
            continue
        for each in accounting.to_release(of, status, found, there):
            pods[each.metadata.name] = replace(each, metadata=replace(each.metadata, finalizers=()))
        status = accounting.concluded(
            accounting.counted(of, replace(status, terminating=0), found, ()), todo.verdict, NOW
        )
        of = replace(of, status=status)
    assert is_finished(of)
    assert of.status.failed == ended["Failed"]
    assert of.status.succeeded == ended["Succeeded"]
    assert (of.status.active, of.status.uncountedTerminatedPods) == (0, UncountedTerminatedPods())
