"""The types of api.authentication.v1. Written by tools/generate_objects.py: change that."""

from __future__ import annotations

from msgspec import field

from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.scalars import Object, Time, text


class BoundObjectReference(Object, frozen=True, kw_only=True):
    kind: str = ""
    apiVersion: str = ""
    name: str = ""
    uid: str = ""


class SelfSubjectReview(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "SelfSubjectReview")
    apiVersion: str = field(default_factory=lambda: "authentication.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    status: SelfSubjectReviewStatus = field(default_factory=lambda: SelfSubjectReviewStatus())


class SelfSubjectReviewStatus(Object, frozen=True, kw_only=True):
    userInfo: UserInfo | None = None


class TokenRequest(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "TokenRequest")
    apiVersion: str = field(default_factory=lambda: "authentication.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: TokenRequestSpec = field(default_factory=lambda: TokenRequestSpec())
    status: TokenRequestStatus = field(default_factory=lambda: TokenRequestStatus())


class TokenRequestSpec(Object, frozen=True, kw_only=True):
    audiences: tuple[str, ...] = ()
    expirationSeconds: int | None = None
    boundObjectRef: BoundObjectReference | None = None


class TokenRequestStatus(Object, frozen=True, kw_only=True):
    token: str = ""
    expirationTimestamp: Time | None = None


class TokenReview(Object, frozen=True, kw_only=True):
    kind: str = field(default_factory=lambda: "TokenReview")
    apiVersion: str = field(default_factory=lambda: "authentication.k8s.io/v1")
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())
    spec: TokenReviewSpec = field(default_factory=lambda: TokenReviewSpec())
    status: TokenReviewStatus = field(default_factory=lambda: TokenReviewStatus())


class TokenReviewSpec(Object, frozen=True, kw_only=True):
    token: str = field(default_factory=text)
    audiences: tuple[str, ...] = ()


class TokenReviewStatus(Object, frozen=True, kw_only=True):
    authenticated: bool = False
    user: UserInfo | None = None
    audiences: tuple[str, ...] = ()
    error: str = ""


class UserInfo(Object, frozen=True, kw_only=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}
