"""Whether somebody may do something, by the roles and bindings that there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.apiserver.access.grants import Grants, Place
from fairlead.apiserver.access.rules import Attributes, allows
from fairlead.apiserver.access.users import User
from fairlead.objects.rbac_v1 import PolicyRule, RoleRef, Subject
from tests.apiserver.access.policies import ALICE, ROBOT, account, group, role, rule, user, wants


def grants() -> Grants:
    """A small cluster."""
    made = Grants()
    made.put_role(("", "reader"), (rule("get list", "pods"),))
    made.put_role(("", "keeper"), (rule("get", "secrets", "one"), rule("get", urls="/metrics")))
    made.put_role(("shop", "clerk"), (rule("update", "pods"),))
    made.put_binding(("", "readers"), role("reader"), (group("team"),))
    made.put_binding(("", "keepers"), role("keeper"), (account("robot", "shop"), user("bob")))
    made.put_binding(("shop", "clerks"), role("clerk", "Role"), (account("robot"), user("alice")))
    made.put_binding(("shop", "lent"), role("reader"), (user("system:serviceaccount:shop:robot"),))
    made.put_binding(("shop", "lost"), role("nobody"), (user("carol"), group("lost")))
    made.put_binding(("shop", "lost-too"), role("nothing", "Role"), (user("carol"),))
    return made


VERDICTS = {
    "by a group, everywhere": (
        ALICE,
        wants("list", "pods"),
        'RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "team"',
    ),
    "by a group, in a namespace": (
        ALICE,
        wants("get", "pods", "web", namespace="other"),
        'RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "team"',
    ),
    "by a role of the namespace": (
        ALICE,
        wants("update", "pods", "web", namespace="shop"),
        'RBAC: allowed by RoleBinding "clerks/shop" of Role "clerk" to User "alice"',
    ),
    "by an account of the binding's own namespace": (
        ROBOT,
        wants("update", "pods", "web", namespace="shop"),
        'RBAC: allowed by RoleBinding "clerks/shop" of Role "clerk" to ServiceAccount "robot/shop"',
    ),
    "a cluster's role, lent in a namespace": (
        ROBOT,
        wants("list", "pods", namespace="shop"),
        'RBAC: allowed by RoleBinding "lent/shop" of ClusterRole "reader" to User "system:serviceaccount:shop:robot"',
    ),
    "one name": (
        ROBOT,
        wants("get", "secrets", "one", namespace="other"),
        'RBAC: allowed by ClusterRoleBinding "keepers" of ClusterRole "keeper" to ServiceAccount "robot/shop"',
    ),
    "a path": (
        User("bob"),
        wants("get", "/metrics"),
        'RBAC: allowed by ClusterRoleBinding "keepers" of ClusterRole "keeper" to User "bob"',
    ),
    "a master": (User("root", groups=("system:masters",)), wants("burn", "everything"), ""),
}

REFUSALS = {
    "a role of another namespace": (ALICE, wants("update", "pods", "web", namespace="other"), ""),
    "a role of a namespace, everywhere": (ALICE, wants("update", "pods"), ""),
    "a cluster's role that is lent, elsewhere": (ROBOT, wants("list", "pods", namespace="other"), ""),
    "another name": (ROBOT, wants("get", "secrets", "two", namespace="other"), ""),
    "an account of the same name elsewhere": (
        User("system:serviceaccount:other:robot"),
        wants("update", "pods", "web", namespace="shop"),
        "",
    ),
    "nobody": (User("nobody"), wants("get", "pods"), ""),
    "a role that is not there": (
        User("x", groups=("lost",)),
        wants("get", "pods", namespace="shop"),
        'RBAC: clusterrole.rbac.authorization.k8s.io "nobody" not found',
    ),
    "two roles that are not there": (
        User("carol"),
        wants("get", "pods", namespace="shop"),
        'RBAC: [clusterrole.rbac.authorization.k8s.io "nobody" not found, '
        'role.rbac.authorization.k8s.io "nothing" not found]',
    ),
}


@pytest.mark.parametrize(("who", "wanted", "reason"), VERDICTS.values(), ids=VERDICTS.keys())
def test_allowed(who: User, wanted: Attributes, reason: str) -> None:
    made = grants()
    for _ in range(2):  # the second verdict is a kept one
        verdict = made.verdict(who, wanted)
        assert (verdict.allowed, verdict.reason) == (True, reason)


@pytest.mark.parametrize(("who", "wanted", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused(who: User, wanted: Attributes, reason: str) -> None:
    made = grants()
    for _ in range(2):
        verdict = made.verdict(who, wanted)
        assert (verdict.allowed, verdict.reason) == (False, reason)


CHANGES: dict[str, Callable[[Grants], None]] = {
    "the binding goes": lambda made: made.drop_binding(("", "readers")),
    "the role goes": lambda made: made.drop_role(("", "reader")),
    "the role changes": lambda made: made.put_role(("", "reader"), (rule("get", "services"),)),
    "the subject changes": lambda made: made.put_binding(("", "readers"), role("reader"), (group("others"),)),
    "another role is bound": lambda made: made.put_binding(("", "readers"), role("keeper"), (group("team"),)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_was_allowed_is_refused_when(change: Callable[[Grants], None]) -> None:
    made = grants()
    wanted = wants("list", "pods", namespace="other")
    assert made.verdict(ALICE, wanted).allowed
    change(made)
    assert not made.verdict(ALICE, wanted).allowed


# ---- the compiled index against a plain reading of the same roles and bindings

NAMES = st.sampled_from(["a", "b"])
NAMESPACES = st.sampled_from(["", "n", "m"])
VERBS = st.sampled_from(["get", "list", "*"])
RULES = st.tuples(
    st.builds(
        PolicyRule,
        verbs=st.tuples(VERBS),
        apiGroups=st.tuples(st.sampled_from(["", "apps", "*"])),
        resources=st.lists(
            st.sampled_from(["pods", "pods/log", "*/log", "services", "*"]), min_size=1, max_size=2
        ).map(tuple),
        resourceNames=st.lists(NAMES, max_size=2).map(tuple),
    )
    | st.builds(
        PolicyRule, verbs=st.tuples(VERBS), nonResourceURLs=st.tuples(st.sampled_from(["/x", "/x/*", "*"]))
    )
)
SUBJECTS = st.lists(
    st.builds(user, st.sampled_from(["alice", "system:serviceaccount:n:a"]))
    | st.builds(group, st.sampled_from(["g", "h"]))
    | st.builds(account, NAMES, NAMESPACES),
    max_size=3,
).map(tuple)
PLACES = st.tuples(NAMESPACES, NAMES)
ROLE_CHANGES = st.tuples(st.just("role"), PLACES, st.none() | RULES)
BINDING_CHANGES = st.tuples(
    st.just("binding"),
    PLACES,
    st.none() | st.tuples(st.builds(role, NAMES, st.sampled_from(["Role", "ClusterRole"])), SUBJECTS),
)
USERS = st.builds(
    User,
    st.sampled_from(["alice", "bob", "system:serviceaccount:n:a", "system:serviceaccount:m:b"]),
    groups=st.lists(st.sampled_from(["g", "h"]), unique=True).map(tuple),
)
WISHES = st.builds(
    Attributes,
    VERBS,
    st.sampled_from(["", "apps"]),
    st.sampled_from(["pods", "services"]),
    st.sampled_from(["", "log"]),
    NAMESPACES,
    st.sampled_from(["", "a", "c"]),
) | st.builds(lambda verb, path: Attributes(verb, path=path), VERBS, st.sampled_from(["/x", "/x/y", "/z"]))

Roles = dict[Place, tuple[PolicyRule, ...]]
Bindings = dict[Place, tuple[RoleRef, tuple[Subject, ...]]]


def is_subject(who: User, subject: Subject, namespace: str) -> bool:
    match subject.kind:
        case "User":
            return who.name == subject.name
        case "Group":
            return subject.name in who.groups
    home = subject.namespace or namespace
    return bool(home) and who.name == f"system:serviceaccount:{home}:{subject.name}"


def plainly(roles: Roles, bindings: Bindings, who: User, wanted: Attributes) -> bool:
    for (namespace, _), (reference, subjects) in bindings.items():
        if namespace not in ("", wanted.namespace):
            continue
        if not any(is_subject(who, subject, namespace) for subject in subjects):
            continue
        rules = roles.get((namespace if reference.kind == "Role" else "", reference.name), ())
        if any(allows(one, wanted) for one in rules):
            return True
    return False


@given(
    st.lists(ROLE_CHANGES | BINDING_CHANGES, max_size=25),
    st.lists(st.tuples(USERS, WISHES), min_size=1, max_size=6),
)
def test_the_index_agrees_with_a_plain_reading_after_every_change(
    changes: list[tuple[str, Place, object]], questions: list[tuple[User, Attributes]]
) -> None:
    made, roles, bindings = Grants(), Roles(), Bindings()
    for what, place, change in changes:
        if what == "role":
            if change is None:
                made.drop_role(place)
                roles.pop(place, None)
            else:
                made.put_role(place, change)  # type: ignore[arg-type]
                roles[place] = change  # type: ignore[assignment]
        elif change is None:
            made.drop_binding(place)
            bindings.pop(place, None)
        else:
            made.put_binding(place, *change)  # type: ignore[misc]
            bindings[place] = change  # type: ignore[assignment]
        for who, wanted in questions:
            assert made.verdict(who, wanted).allowed is plainly(roles, bindings, who, wanted)
