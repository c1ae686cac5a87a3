"""What a rule allows, and what is missing from a set of rules."""

from __future__ import annotations

import pytest

from fairlead.apiserver.access.bootstrappolicy import read
from fairlead.apiserver.access.rules import FULL, Attributes, allows, compact, described, uncovered
from fairlead.objects.rbac_v1 import PolicyRule
from tests.apiserver.access.policies import rule, wants

ALLOWED = {
    "the very thing": (rule("get", "pods"), wants("get", "pods")),
    "one of several": (rule("list get", "services pods"), wants("get", "pods")),
    "any verb": (rule("*", "pods"), wants("proxy", "pods")),
    "any resource": (rule("get", "*"), wants("get", "pods")),
    "any resource, and its parts": (rule("get", "*"), wants("get", "pods", part="status")),
    "any group": (rule("get", "deployments", group="*"), wants("get", "deployments", group="apps")),
    "a part": (rule("update", "pods/status"), wants("update", "pods", part="status")),
    "the same part of anything": (
        rule("get", "*/scale", group="apps"),
        wants("get", "deployments", part="scale", group="apps"),
    ),
    "one name": (rule("get", "pods", "a b"), wants("get", "pods", "b")),
    "any name": (rule("get", "pods"), wants("get", "pods", "b")),
    "a namespace is not for the rule to say": (rule("get", "pods"), wants("get", "pods", namespace="x")),
    "a path": (rule("get", urls="/healthz /livez"), wants("get", "/livez")),
    "paths below": (rule("get", urls="/apis/*"), wants("get", "/apis/apps/v1")),
    "all paths": (rule("*", urls="*"), wants("post", "/anything")),
}

REFUSED = {
    "another verb": (rule("get", "pods"), wants("list", "pods")),
    "another resource": (rule("get", "pods"), wants("get", "services")),
    "another group": (rule("get", "deployments"), wants("get", "deployments", group="apps")),
    "a part is not the whole": (rule("get", "pods/status"), wants("get", "pods")),
    "the whole is not its parts": (rule("get", "pods"), wants("get", "pods", part="log")),
    "another part of anything": (rule("get", "*/scale"), wants("get", "pods", part="status")),
    "a part whose name ends alike": (rule("get", "*/scale"), wants("get", "pods", part="autoscale")),
    "another name": (rule("get", "pods", "a b"), wants("get", "pods", "c")),
    "names cannot be listed": (rule("list", "pods", "a"), wants("list", "pods")),
    "nor made": (rule("create", "pods", "a"), wants("create", "pods")),
    "another path": (rule("get", urls="/healthz"), wants("get", "/healthz/etcd")),
    "the path above": (rule("get", urls="/apis/*"), wants("get", "/apis")),
    "a path is no resource": (rule("*", "*", group="*"), wants("get", "/metrics")),
    "a resource is no path": (rule("*", urls="*"), wants("get", "pods")),
    "resource patterns have no other stars": (rule("get", "pods/*"), wants("get", "pods", part="log")),
}


@pytest.mark.parametrize(("of", "wanted"), ALLOWED.values(), ids=ALLOWED.keys())
def test_a_rule_allows(of: PolicyRule, wanted: Attributes) -> None:
    assert allows(of, wanted)


@pytest.mark.parametrize(("of", "wanted"), REFUSED.values(), ids=REFUSED.keys())
def test_a_rule_does_not_allow(of: PolicyRule, wanted: Attributes) -> None:
    assert not allows(of, wanted)


MISSING: dict[str, tuple[list[PolicyRule], list[PolicyRule], list[str]]] = {
    "nothing where all is held": ([rule("get list", "pods")], [rule("get", "pods")], []),
    "nothing where more is held": ([*FULL], [rule("get", "pods/log"), rule("get", urls="/x")], []),
    "nothing where parts are held by rules together": (
        [rule("get", "pods"), rule("list", "pods")],
        [rule("get list", "pods")],
        [],
    ),
    "verbs, put together": (
        [rule("get", "pods")],
        [rule("get list watch", "pods")],
        ['{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}'],
    ),
    "a star is more than every verb that there is": (
        [rule("get list watch create update patch delete deletecollection", "pods")],
        [rule("*", "pods")],
        ['{APIGroups:[""], Resources:["pods"], Verbs:["*"]}'],
    ),
    "all names where one is held": (
        [rule("get", "pods", "a")],
        [rule("get", "pods")],
        ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'],
    ),
    "one of two names": (
        [rule("get", "pods", "a")],
        [rule("get", "pods", "a b")],
        ['{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}'],
    ),
    "nothing of a part of anything that is held": ([rule("get", "*/scale")], [rule("get", "pods/scale")], []),
    "a path": (
        [rule("get", urls="/apis/*")],
        [rule("get", urls="/apis/apps /metrics")],
        ['{NonResourceURLs:["/metrics"], Verbs:["get"]}'],
    ),
    "another group": (
        [rule("get", "pods", group="a")],
        [rule("get", "pods", group="b")],
        ['{APIGroups:["b"], Resources:["pods"], Verbs:["get"]}'],
    ),
}


@pytest.mark.parametrize(("owned", "wanted", "missing"), MISSING.values(), ids=MISSING.keys())
def test_what_is_missing(owned: list[PolicyRule], wanted: list[PolicyRule], missing: list[str]) -> None:
    assert [described(one) for one in compact(uncovered(owned, wanted))] == missing


def test_the_table_of_roles_is_read() -> None:
    table = """
# a comment
reader
    to Group readers
    to ServiceAccount shop/robot
    part of view
    read       | core apps | pods deployments
               |           | services
    get update | core      | leases | mine
    get | /x /y/*
nobodys
    to nobody
    gathers view
unbound
    all | core | pods
"""
    reader, nobodys, unbound = read(table.splitlines())
    assert [subject.name for subject in reader.binding().subjects] == ["readers", "robot"]
    assert reader.role().rules == (
        PolicyRule(
            verbs=("get", "list", "watch"),
            apiGroups=("", "apps"),
            resources=("pods", "deployments", "services"),
        ),
        PolicyRule(verbs=("get", "update"), apiGroups=("",), resources=("leases",), resourceNames=("mine",)),
        PolicyRule(verbs=("get",), nonResourceURLs=("/x", "/y/*")),
    )
    assert reader.role().metadata.labels["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert nobodys.subjects == []
    assert nobodys.role().aggregationRule is not None
    assert unbound.subjects is None
    assert len(unbound.rules[0].verbs) == 8
    for wrong in (
        "    get | core | pods",
        "x\n    goes to nobody",
        "x\n    to Robot r2",
        "x\n    | core | pods",
    ):
        with pytest.raises(ValueError, match="is neither a rule nor a binding"):
            read(wrong.splitlines())
