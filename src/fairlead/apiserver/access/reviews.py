"""Answers to who somebody is and what he may do: TokenReview, SelfSubjectReview, the access and rules reviews.

Upstream: pkg/registry/authentication, pkg/registry/authorization, pkg/apis/authorization/validation.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from fairlead.apiserver import writes
from fairlead.apiserver.access import reviewspecs
from fairlead.apiserver.access.accounttokens import Rejected
from fairlead.apiserver.access.authentication import Authenticator
from fairlead.apiserver.access.authorization import Authorizer
from fairlead.apiserver.access.users import ANONYMOUS, REQUESTER, User
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.metadata import now
from fairlead.apiserver.parts import Answered, Part
from fairlead.apiserver.registry import Registry
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.apiserver.writes import Body
from fairlead.objects.authentication_v1 import (
    SelfSubjectReviewStatus,
    TokenReviewStatus,
    UserInfo,
)
from fairlead.objects.authorization_v1 import (
    LocalSubjectAccessReview,
    NonResourceRule,
    ResourceRule,
    SelfSubjectRulesReview,
    SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.status import bad_request, unprocessable


class Reviews:
    """Answers, by the authenticator and the authorizer that requests are judged by."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    @property
    def parts(self) -> Mapping[str, Part]:
        """What answers for each kind of review, by its plural."""
        return {
            "tokenreviews": self.token,
            "selfsubjectreviews": self.self_subject,
            "subjectaccessreviews": self.access,
            "localsubjectaccessreviews": self.access,
            "selfsubjectaccessreviews": self.access,
            "selfsubjectrulesreviews": self.rules,
        }

    async def token(
        self, registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body
    ) -> Answered:
        """Whose token it is."""
        review, warnings = await writes.read(kind, body, query)
        if not review.spec.token:
            raise bad_request("token is required for TokenReview in authentication")
        status = TokenReviewStatus()
        try:
            found = await self._authenticator.known(review.spec.token, review.spec.audiences)
        except Rejected as error:
            status = TokenReviewStatus(error=f"[invalid bearer token, {error}]")
        else:
            if found is None:
                status = TokenReviewStatus(error="invalid bearer token")
            else:
                user, audiences = found
                status = TokenReviewStatus(authenticated=True, user=user_info(user), audiences=audiences)
        return Answered(replace(review, status=status), warnings)

    async def self_subject(
        self, registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body
    ) -> Answered:
        """Who asks."""
        review, warnings = await writes.read(kind, body, query)
        status = SelfSubjectReviewStatus(userInfo=user_info(_requester()))
        return Answered(
            replace(review, metadata=ObjectMeta(creationTimestamp=now()), status=status), warnings
        )

    async def access(
        self, registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body
    ) -> Answered:
        """Whether somebody may do something."""
        review, warnings = await writes.read(kind, body, query)
        errors = reviewspecs.validate(review)
        if isinstance(review, LocalSubjectAccessReview):
            if not info.namespace:
                raise bad_request("namespace is required on this type")
            if review.metadata.namespace not in ("", info.namespace):
                said = "the namespace of the provided object does not match the namespace sent on the request"
                raise bad_request(said)
            errors += reviewspecs.validate_local(review, info.namespace)
        if errors:
            raise unprocessable(kind.resource.kind, "", errors, kind.resource.group)
        user = _requester()
        if isinstance(review.spec, SubjectAccessReviewSpec):
            user = User(review.spec.user, review.spec.uid, review.spec.groups, _extra(review.spec.extra))
        wanted, ignored = reviewspecs.wanted(review.spec)
        verdict = self._authorizer.verdict(user, wanted)
        status = SubjectAccessReviewStatus(
            allowed=verdict.allowed, reason=verdict.reason, evaluationError=ignored
        )
        return Answered(replace(review, status=status), warnings)

    async def rules(
        self, registry: Registry, kind: Kind, info: RequestInfo, query: Query, body: Body
    ) -> Answered:
        """What whoever asks may do in a namespace."""
        review, warnings = await writes.read(kind, body, query)
        if not review.spec.namespace:
            raise bad_request("no namespace on request")
        found = self._authorizer.rules_for(_requester(), review.spec.namespace)
        status = SubjectRulesReviewStatus(
            resourceRules=tuple(
                ResourceRule(
                    verbs=rule.verbs,
                    apiGroups=rule.apiGroups,
                    resources=rule.resources,
                    resourceNames=rule.resourceNames,
                )
                for rule in found.rules
                if rule.resources
            ),
            nonResourceRules=tuple(
                NonResourceRule(verbs=rule.verbs, nonResourceURLs=rule.nonResourceURLs)
                for rule in found.rules
                if rule.nonResourceURLs
            ),
            incomplete=found.incomplete,
            evaluationError=", ".join(found.problems),
        )
        return Answered(SelfSubjectRulesReview(status=status), warnings)


def _requester() -> User:
    return REQUESTER.get() or ANONYMOUS


def user_info(user: User) -> UserInfo:
    """A user as the API shows it."""
    return UserInfo(username=user.name, uid=user.uid, groups=user.groups, extra=dict(user.extra))


def _extra(given: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(sorted((key.lower(), values) for key, values in given.items()))
