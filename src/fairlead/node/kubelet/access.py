"""Who may ask the node's server for what: known by a certificate or a token, and let in by the API server's word.

Upstream: pkg/kubelet/server/auth.go (which resource a path stands for, KEP-2862), cmd/kubelet/app/auth.go for how long
an answer is remembered.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fairlead.client.api import Api
from fairlead.node.kubelet.http import Refused, Request
from fairlead.objects.authentication_v1 import TokenReview, TokenReviewSpec
from fairlead.objects.authorization_v1 import (
    ResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from fairlead.objects.status import StatusError

TOKEN_SECONDS = 120.0
ALLOWED_SECONDS = 300.0
DENIED_SECONDS = 30.0
"""How long an answer is remembered, as by the kubelet."""

KEPT = 1000
"""Answers that are remembered at a time."""

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

SUBRESOURCES = {
    "stats": "stats",
    "metrics": "metrics",
    "logs": "log",
    "checkpoint": "checkpoint",
    "configz": "configz",
    "healthz": "healthz",
    "pods": "pods",
    "runningpods": "pods",
}
"""What a path's first part stands for, of a node; everything else is `proxy`."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Remembered(Generic[K, V]):
    """A bounded number of answers, each for a time of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """The answer, if it is still good."""
        until, value = self._known.get(key, (0.0, None))
        return value if until > self._clock() else None

    def put(self, key: K, value: V, seconds: float) -> None:
        """Remembers an answer; the oldest is forgotten where there are too many."""
        self._known.pop(key, None)
        while len(self._known) >= KEPT:
            del self._known[next(iter(self._known))]
        self._known[key] = (self._clock() + seconds, value)


def subresource(path: str) -> str:
    """The part of a node that a path stands for: who reads its logs need not be let into its pods."""
    return SUBRESOURCES.get(path.strip("/").partition("/")[0], "proxy")


def of_certificate(certificate: Mapping[str, Any]) -> User | None:
    """Whom a verified certificate names, as `ssl.getpeercert` gives it."""
    names: dict[str, list[str]] = {}
    for part in certificate.get("subject", ()):
        for attribute, value in part:
            names.setdefault(attribute, []).append(value)
    common = names.get("commonName")
    if not common:
        return None
    return User(common[-1], (*names.get("organizationName", ()), "system:authenticated"))


class Access:
    """Asks the API server, and remembers what it said. Without an answer nobody gets in."""

    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._node = node
        self._users: Remembered[str, User] = Remembered()
        self._verdicts: Remembered[tuple[User, str, str], bool] = Remembered()

    async def check(self, request: Request, secured: ssl.SSLObject | None) -> User:
        """Who asks, if he may. Raises Refused: 401 for nobody, 403 for somebody who may not."""
        user = await self._user(request, secured)
        if user is None:
            raise Refused(401, "Unauthorized")
        verb, part = VERBS.get(request.method, ""), subresource(request.path)
        if not await self._allowed(user, verb, part):
            said = f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{part}])"
            raise Refused(403, said)
        return user

    async def _user(self, request: Request, secured: ssl.SSLObject | None) -> User | None:
        certificate = secured.getpeercert() if secured is not None else None
        if certificate and (user := of_certificate(certificate)) is not None:
            return user
        scheme, _, token = request.header("authorization").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        if (user := self._users.get(token)) is not None:
            return user
        review = await self._ask(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            TokenReview,
            TokenReview(spec=TokenReviewSpec(token=token)),
        )
        found = review.status.user
        if not review.status.authenticated or found is None or not found.username:
            return None
        extra = tuple((name, tuple(values)) for name, values in found.extra.items())
        user = User(found.username, tuple(found.groups), found.uid, extra)
        self._users.put(token, user, TOKEN_SECONDS)
        return user

    async def _allowed(self, user: User, verb: str, part: str) -> bool:
        known = self._verdicts.get((user, verb, part))
        if known is not None:
            return known
        attributes = ResourceAttributes(
            verb=verb, version="v1", resource="nodes", subresource=part, name=self._node
        )
        review = await self._ask(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            SubjectAccessReview,
            SubjectAccessReview(
                spec=SubjectAccessReviewSpec(
                    user=user.name,
                    groups=user.groups,
                    uid=user.uid,
                    extra=dict(user.extra),
                    resourceAttributes=attributes,
                )
            ),
        )
        allowed = review.status.allowed
        if not allowed and part in ("configz", "healthz", "pods"):
            allowed = await self._allowed(user, verb, "proxy")  # KEP-2862: the right to all of it is enough
        self._verdicts.put((user, verb, part), allowed, ALLOWED_SECONDS if allowed else DENIED_SECONDS)
        return allowed

    async def _ask(self, path: str, kind: type[V], review: V) -> V:
        try:
            return await self._api.request("POST", path, kind, review)
        except (StatusError, OSError) as error:
            raise Refused(500, f"the API server cannot be asked who may do this: {error}") from error
