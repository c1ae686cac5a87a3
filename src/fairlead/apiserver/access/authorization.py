"""Whether somebody may do what a request asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from fairlead.apiserver.access.grants import ALL_ALLOWED, Grants, Verdict
from fairlead.apiserver.access.rules import FULL, Attributes, Rules, quote
from fairlead.apiserver.access.users import User
from fairlead.apiserver.following import Follower
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES
from fairlead.apiserver.requests import Query, RequestInfo
from fairlead.objects import fieldselectors
from fairlead.objects.codec import decoder
from fairlead.objects.meta_v1 import StatusDetails
from fairlead.objects.status import StatusError, failure
from fairlead.store import Store

MODES = ("AlwaysAllow", "Node", "RBAC")
"""The modes of `--authorization-mode` that there are."""


def authorization_modes(text: str) -> tuple[str, ...]:
    """The modes of `--authorization-mode A,B`, in order. Raises ValueError for one that there is not."""
    modes = tuple(text.split(","))
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"there is no authorization mode {mode!r}: use {', '.join(MODES)}")
        if modes.count(mode) > 1:
            raise ValueError(f"the authorization mode {mode} is there twice")
    return modes


COLLECTING = ("list", "watch", "deletecollection")
"""The verbs that may be limited by selectors."""


class Authorizer(Protocol):
    """Decides."""

    def verdict(self, user: User, wanted: Attributes) -> Verdict:
        """Whether the user may do this."""

    def rules_for(self, user: User, namespace: str) -> Rules:
        """The rules that hold for the user in a namespace."""


class AlwaysAllow:
    """Everybody may do everything."""

    def verdict(self, user: User, wanted: Attributes) -> Verdict:
        """Yes."""
        return ALL_ALLOWED

    def rules_for(self, user: User, namespace: str) -> Rules:
        """Everything."""
        return Rules(FULL)


class Union:
    """Several authorizers: the first that allows something decides. Upstream: apiserver/pkg/authorization/union."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = authorizers

    def verdict(self, user: User, wanted: Attributes) -> Verdict:
        """Allowed by one of them, or refused with what all of them say."""
        reasons = []
        for one in self._authorizers:
            verdict = one.verdict(user, wanted)
            if verdict.allowed:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(False, "\n".join(reasons))

    def rules_for(self, user: User, namespace: str) -> Rules:
        """Those of all of them."""
        found = [one.rules_for(user, namespace) for one in self._authorizers]
        return Rules(
            [rule for rules in found for rule in rules.rules],
            [problem for rules in found for problem in rules.problems],
            any(rules.incomplete for rules in found),
        )


class RoleBased:
    """Decides by the roles and bindings in the store, which it follows."""

    def __init__(self, store: Store) -> None:
        self.grants = Grants()
        self._followers = [
            *(self._roles(store, kind) for kind in (ROLES, CLUSTERROLES)),
            *(self._bindings(store, kind) for kind in (ROLEBINDINGS, CLUSTERROLEBINDINGS)),
        ]

    def verdict(self, user: User, wanted: Attributes) -> Verdict:
        """What the roles say."""
        return self.grants.verdict(user, wanted)

    def rules_for(self, user: User, namespace: str) -> Rules:
        """Those of the roles that he has."""
        return Rules(*self.grants.rules_for(user, namespace))

    async def sync(self) -> None:
        """Reads what is there, before the first request."""
        for follower in self._followers:
            await follower.sync()

    async def run(self) -> None:
        """Follows the store until it is cancelled or the store is closed."""
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers:
                tasks.create_task(follower.run())

    def _roles(self, store: Store, kind: Kind) -> Follower:
        def told(key: str, value: bytes | None) -> None:
            if value is None:
                self.grants.drop_role(kind.place(key))
            else:
                self.grants.put_role(kind.place(key), decoder(kind.resource.type).decode(value).rules)

        return Follower(store, kind.prefix, told)

    def _bindings(self, store: Store, kind: Kind) -> Follower:
        def told(key: str, value: bytes | None) -> None:
            if value is None:
                self.grants.drop_binding(kind.place(key))
            else:
                binding = decoder(kind.resource.type).decode(value)
                self.grants.put_binding(kind.place(key), binding.roleRef, binding.subjects)

        return Follower(store, kind.prefix, told)


def attributes(info: RequestInfo, query: Query) -> Attributes:
    """What a request wants to do."""
    if not info.resource:
        return Attributes(info.method.lower(), path=info.path)
    name, selector = info.name, fieldselectors.EVERYTHING
    if info.verb in COLLECTING and (text := query.text("fieldSelector")):
        selector = selected(text)
        if not name and info.verb != "deletecollection":
            name = selected_name(selector)
    return Attributes(
        info.verb or info.method.lower(),
        info.group,
        info.resource,
        info.subresource,
        info.namespace,
        name,
        selector=selector,
    )


def selected(text: str) -> fieldselectors.FieldSelector:
    """A field selector, as far as it limits who may ask; what is wrong with it is said when it is used."""
    try:
        return fieldselectors.parse(text)
    except ValueError:
        return fieldselectors.EVERYTHING


def selected_name(selector: fieldselectors.FieldSelector) -> str:
    """The one name that it asks for, "" for a text that is no name. Upstream: RequestInfoFactory.NewRequestInfo."""
    name = selector.exact("metadata.name") or ""
    return "" if name in (".", "..") or "/" in name or "%" in name else name


def authorize(authorizer: Authorizer, user: User, wanted: Attributes) -> None:
    """Raises the refusal of a request that the user may not make."""
    verdict = authorizer.verdict(user, wanted)
    if not verdict.allowed:
        raise forbidden(user, wanted, verdict.reason)


def forbidden(user: User, wanted: Attributes, reason: str = "") -> StatusError:
    """403: the user may not. Upstream: responsewriters.ForbiddenStatusError."""
    return refused(wanted, f"{denial(user, wanted)}: {reason}" if reason else denial(user, wanted))


def refused(wanted: Attributes, why: str) -> StatusError:
    """403 for any other reason. Upstream: errors.NewForbidden."""
    about = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    if not wanted.resource:
        message = f"forbidden: {why}"
    elif wanted.name:
        message = f"{about} {quote(wanted.name)} is forbidden: {why}"
    else:
        message = f"{about} is forbidden: {why}"
    details = StatusDetails(name=wanted.name, group=wanted.group, kind=wanted.resource)
    return failure(403, "Forbidden", message, details=details)


def denial(user: User, wanted: Attributes) -> str:
    """What somebody cannot do, as a sentence."""
    who = f"User {quote(user.name)} cannot {wanted.verb}"
    if not wanted.resource:
        return f"{who} path {quote(wanted.path)}"
    what = f"resource {quote(wanted.combined)} in API group {quote(wanted.group)}"
    if wanted.namespace:
        return f"{who} {what} in the namespace {quote(wanted.namespace)}"
    return f"{who} {what} at the cluster scope"
