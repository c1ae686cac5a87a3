"""Roles, bindings, users for the tests, in few words."""

from __future__ import annotations

from fairlead.apiserver.access.rules import Attributes
from fairlead.apiserver.access.users import User
from fairlead.objects.rbac import GROUP
from fairlead.objects.rbac_v1 import PolicyRule, RoleRef, Subject

ALICE = User("alice", groups=("team", "system:authenticated"))
ROBOT = User(
    "system:serviceaccount:shop:robot",
    groups=("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
)


def rule(verbs: str, resources: str = "", names: str = "", *, group: str = "", urls: str = "") -> PolicyRule:
    """A rule; several values are divided by spaces."""
    return PolicyRule(
        verbs=tuple(verbs.split()),
        apiGroups=(group,) if resources else (),
        resources=tuple(resources.split()),
        resourceNames=tuple(names.split()),
        nonResourceURLs=tuple(urls.split()),
    )


def wants(
    verb: str, resource: str, name: str = "", *, namespace: str = "", group: str = "", part: str = ""
) -> Attributes:
    """A wish; a resource that begins with a slash is a path."""
    if resource.startswith("/"):
        return Attributes(verb, path=resource)
    return Attributes(verb, group, resource, part, namespace, name)


def role(name: str, kind: str = "ClusterRole") -> RoleRef:
    return RoleRef(apiGroup=GROUP, kind=kind, name=name)


def user(name: str) -> Subject:
    return Subject(kind="User", apiGroup=GROUP, name=name)


def group(name: str) -> Subject:
    return Subject(kind="Group", apiGroup=GROUP, name=name)


def account(name: str, namespace: str = "") -> Subject:
    return Subject(kind="ServiceAccount", name=name, namespace=namespace)
