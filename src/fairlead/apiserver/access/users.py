"""Who sends a request: a name, its groups, and what else is known of it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

MASTERS = "system:masters"
"""Whoever is in this group may do everything, whatever the roles say."""
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
SERVICE_ACCOUNTS = "system:serviceaccounts"
NODES = "system:nodes"

_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class User:
    """Somebody with a name. `extra` has keys in order, each with its values."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


ANONYMOUS = User("system:anonymous", groups=(UNAUTHENTICATED,))

REQUESTER: ContextVar[User | None] = ContextVar("REQUESTER", default=None)
"""For whom the server works just now; None where it works for itself. Writes of roles are judged by it."""


def authenticated(user: User) -> User:
    """The user as one of those who are known."""
    if AUTHENTICATED in user.groups:
        return user
    return User(user.name, user.uid, (*user.groups, AUTHENTICATED), user.extra)


def account_name(namespace: str, name: str) -> str:
    """The user name of a ServiceAccount."""
    return f"{_ACCOUNT}{namespace}:{name}"


def account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of every ServiceAccount in a namespace."""
    return (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}")


def account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount with this user name, None for other users."""
    namespace, colon, account = name.removeprefix(_ACCOUNT).partition(":")
    if not name.startswith(_ACCOUNT) or not colon or not namespace or not account or ":" in account:
        return None
    return namespace, account
