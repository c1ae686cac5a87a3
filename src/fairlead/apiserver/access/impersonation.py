"""Requests in the name of somebody else: the Impersonate-* headers, which the verb `impersonate` allows.

Upstream: apiserver/pkg/endpoints/filters/impersonation.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from fairlead.apiserver.access.authorization import Authorizer, authorize
from fairlead.apiserver.access.rules import Attributes
from fairlead.apiserver.access.users import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    account,
    account_groups,
)
from fairlead.objects.status import bad_request

GROUP = "authentication.k8s.io"
PREFIX = b"impersonate-"
EXTRA = "impersonate-extra-"

Headers = Iterable[tuple[bytes, bytes]]


def asked(headers: Headers) -> list[tuple[str, str]]:
    """The headers that ask for somebody else's name, their own names in small letters. About 0.1 us a header."""
    return [
        (name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape"))
        for name, value in headers
        if name[:12].lower() == PREFIX
    ]


def impersonated(user: User, headers: list[tuple[str, str]], authorizer: Authorizer) -> User:
    """In whose name the user acts. Raises 403 where he may not, 400 where it is not said in whose."""
    name = next((value for header, value in headers if header == "impersonate-user"), "")
    uid = next((value for header, value in headers if header == "impersonate-uid"), "")
    groups = [value for header, value in headers if header == "impersonate-group"]
    extra: dict[str, list[str]] = {}
    for header, value in headers:
        if header.startswith(EXTRA):
            extra.setdefault(unquote(header.removeprefix(EXTRA)), []).append(value)
    if not name:
        if not (groups or extra or uid):
            return user
        wished = [*(f"Group {group}" for group in groups), *(f"UserExtra {key}" for key in extra)]
        wished += [f"UID {uid}"] if uid else []
        raise bad_request(f"requested [{', '.join(wished)}] without impersonating a user")
    its = account(name)
    wanted = [
        Attributes("impersonate", "", "serviceaccounts", "", *its)
        if its is not None
        else Attributes("impersonate", "", "users", name=name)
    ]
    wanted += [Attributes("impersonate", "", "groups", name=group) for group in groups]
    wanted += [
        Attributes("impersonate", GROUP, "userextras", key, name=value)
        for key, values in extra.items()
        for value in values
    ]
    if uid:
        wanted.append(Attributes("impersonate", GROUP, "uids", name=uid))
    for wish in wanted:
        authorize(authorizer, user, wish)
    return User(
        name,
        uid,
        tuple(_groups(name, groups or list(account_groups(its[0]) if its is not None else ()))),
        tuple((key, tuple(values)) for key, values in sorted(extra.items())),
    )


def _groups(name: str, groups: list[str]) -> list[str]:
    """The groups with the one that everybody is in who is known, or who is not."""
    if name == ANONYMOUS.name:
        return groups if UNAUTHENTICATED in groups else [*groups, UNAUTHENTICATED]
    return groups if {AUTHENTICATED, UNAUTHENTICATED} & set(groups) else [*groups, AUTHENTICATED]
