"""The types of api.authorization.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import FieldSelectorRequirement, LabelSelectorRequirement, ObjectMeta
from fairlead.objects.scalars import Object, empty, no


class FieldSelectorAttributes(Object, frozen=True, kw_only=True):
    rawSelector: str = ""
    requirements: tuple[FieldSelectorRequirement, ...] = ()


class LabelSelectorAttributes(Object, frozen=True, kw_only=True):
    rawSelector: str = ""
    requirements: tuple[LabelSelectorRequirement, ...] = ()


class LocalSubjectAccessReview(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "LocalSubjectAccessReview")
    apiVersion: str = field(default_factory=lambda: "authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: SubjectAccessReviewSpec = field(default_factory=lambda: SubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus = field(default_factory=lambda: SubjectAccessReviewStatus())


class NonResourceAttributes(Object, frozen=True, kw_only=True):
    path: str = ""
    verb: str = ""


class NonResourceRule(Object, frozen=True, kw_only=True):
    verbs: tuple[str, ...] = field(default_factory=empty)
    nonResourceURLs: tuple[str, ...] = ()


class ResourceAttributes(Object, frozen=True, kw_only=True):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    fieldSelector: FieldSelectorAttributes | None = None
    labelSelector: LabelSelectorAttributes | None = None


class ResourceRule(Object, frozen=True, kw_only=True):
    verbs: tuple[str, ...] = field(default_factory=empty)
    apiGroups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resourceNames: tuple[str, ...] = ()


class SelfSubjectAccessReview(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "SelfSubjectAccessReview")
    apiVersion: str = field(default_factory=lambda: "authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: SelfSubjectAccessReviewSpec = field(default_factory=lambda: SelfSubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus = field(default_factory=lambda: SubjectAccessReviewStatus())


class SelfSubjectAccessReviewSpec(Object, frozen=True, kw_only=True):
    resourceAttributes: ResourceAttributes | None = None
    nonResourceAttributes: NonResourceAttributes | None = None


class SelfSubjectRulesReview(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "SelfSubjectRulesReview")
    apiVersion: str = field(default_factory=lambda: "authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: SelfSubjectRulesReviewSpec = field(default_factory=lambda: SelfSubjectRulesReviewSpec())
    status: SubjectRulesReviewStatus = field(default_factory=lambda: SubjectRulesReviewStatus())


class SelfSubjectRulesReviewSpec(Object, frozen=True, kw_only=True):
    namespace: str = ""


class SubjectAccessReview(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "SubjectAccessReview")
    apiVersion: str = field(default_factory=lambda: "authorization.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: SubjectAccessReviewSpec = field(default_factory=lambda: SubjectAccessReviewSpec())
    status: SubjectAccessReviewStatus = field(default_factory=lambda: SubjectAccessReviewStatus())


class SubjectAccessReviewSpec(Object, frozen=True, kw_only=True):
    resourceAttributes: ResourceAttributes | None = None
    nonResourceAttributes: NonResourceAttributes | None = None
    user: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}
    uid: str = ""


class SubjectAccessReviewStatus(Object, frozen=True, kw_only=True):
    allowed: bool = field(default_factory=no)
    denied: bool = False
    reason: str = ""
    evaluationError: str = ""


class SubjectRulesReviewStatus(Object, frozen=True, kw_only=True):
    resourceRules: tuple[ResourceRule, ...] = field(default_factory=empty)
    nonResourceRules: tuple[NonResourceRule, ...] = field(default_factory=empty)
    incomplete: bool = field(default_factory=no)
    evaluationError: str = ""
