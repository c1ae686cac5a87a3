"""The types of api.rbac.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import LabelSelector, ListMeta, ObjectMeta
from fairlead.objects.scalars import Object, empty, text


class AggregationRule(Object, frozen=True, kw_only=True):
    clusterRoleSelectors: tuple[LabelSelector, ...] = ()


class ClusterRole(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ClusterRole")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    rules: tuple[PolicyRule, ...] = ()
    aggregationRule: AggregationRule | None = None


class ClusterRoleBinding(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ClusterRoleBinding")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    subjects: tuple[Subject, ...] = ()
    roleRef: RoleRef = field(default_factory=lambda: RoleRef())


class ClusterRoleBindingList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ClusterRoleBindingList")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ClusterRoleBinding, ...] = field(default_factory=empty)


class ClusterRoleList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "ClusterRoleList")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[ClusterRole, ...] = field(default_factory=empty)


class PolicyRule(Object, frozen=True, kw_only=True):
    verbs: tuple[str, ...] = field(default_factory=empty)
    apiGroups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resourceNames: tuple[str, ...] = ()
    nonResourceURLs: tuple[str, ...] = ()


class Role(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "Role")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    rules: tuple[PolicyRule, ...] = ()


class RoleBinding(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "RoleBinding")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    subjects: tuple[Subject, ...] = ()
    roleRef: RoleRef = field(default_factory=lambda: RoleRef())


class RoleBindingList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "RoleBindingList")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[RoleBinding, ...] = field(default_factory=empty)


class RoleList(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "RoleList")
    apiVersion: str = field(default_factory=lambda: "rbac.authorization.k8s.io/v1")
    metadata: ListMeta = field(default_factory=lambda: ListMeta())
    items: tuple[Role, ...] = field(default_factory=empty)


class RoleRef(Object, frozen=True, kw_only=True):
    apiGroup: str = ""
    kind: str = field(default_factory=text)
    name: str = field(default_factory=text)


class Subject(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=text)
    apiGroup: str = ""
    name: str = field(default_factory=text)
    namespace: str = ""
