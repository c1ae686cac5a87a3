"""Requests in the name of somebody else: the Impersonate-* headers.

Who has the verb `impersonate` acts as the other in everything. Who has `impersonate:MODE` does so only for those verbs
and resources for which he has `impersonate-on:MODE:VERB` as well (KEP-5284, on by default since 1.36).
Upstream: apiserver/pkg/endpoints/filters/impersonation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from msgspec.structs import replace as changed

from fairlead.apiserver.access.accounttokens import EXTRA as CLAIMS
from fairlead.apiserver.access.authorization import Authorizer, authorize, forbidden
from fairlead.apiserver.access.nodeauthorizer import PREFIX as NODE
from fairlead.apiserver.access.rules import Attributes, quote
from fairlead.apiserver.access.users import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    NODES,
    UNAUTHENTICATED,
    User,
    account,
    account_groups,
)
from fairlead.objects import names
from fairlead.objects.status import StatusError, bad_request

GROUP = "authentication.k8s.io"
EXTRA = b"impersonate-extra-"
KEPT = 10_000
"""How many users' last modes are remembered."""

Headers = Sequence[tuple[bytes, bytes]]
"""The headers whose names begin with `impersonate-`, these in small letters."""


@dataclass(frozen=True)
class Mode:
    """A way to act for others: for whom it is, and whether it is limited to some requests."""

    name: str
    applies: Callable[[User, User], bool]
    """Whether it is for who is wanted, and who wants it."""

    @property
    def constrained(self) -> bool:
        """Whether it is limited."""
        return bool(self.name)


class Impersonation:
    """Lets users act for others. The mode that a user used last is tried first, and speaks first if all refuse."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._last: dict[str, Mode] = {}

    def user(self, user: User, headers: Headers, request: Attributes) -> User:
        """In whose name the user makes the request. Raises 403 where he may not, 400 where it is not said in whose."""
        wanted = read(headers)
        if wanted is None:
            return user
        refusal: StatusError | None = None
        last = self._last.get(user.name, MODES[0])
        for mode in (last, *(mode for mode in MODES if mode is not last)):
            if not mode.applies(wanted, user):
                continue
            try:
                self._check(mode, user, wanted, request)
            except StatusError as error:
                refusal = refusal or error
                continue
            self._last.pop(user.name, None)
            if len(self._last) >= KEPT:
                del self._last[next(iter(self._last))]
            self._last[user.name] = mode
            return completed(mode, wanted)
        assert refusal is not None  # the last mode applies always
        raise refusal

    def _check(self, mode: Mode, user: User, wanted: User, request: Attributes) -> None:
        if mode.constrained:
            verb = f"impersonate-on:{mode.name}:{request.verb}"
            authorize(self._authorizer, user, changed(request, verb=verb))
        for wish in wishes(mode, wanted, user):
            authorize(self._authorizer, user, wish)


def read(headers: Headers) -> User | None:
    """Who is wanted, as the headers say it; None where nobody is. Raises 400."""
    name = uid = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for header, raw in headers:
        value = raw.decode("utf-8", "surrogateescape")
        if header == b"impersonate-user":
            name = name or value
        elif header == b"impersonate-uid":
            uid = uid or value
        elif header == b"impersonate-group":
            groups.append(value)
        elif header.startswith(EXTRA):
            key = unquote(header[len(EXTRA) :].decode("latin-1"), errors="surrogateescape")
            extra.setdefault(key, []).append(value)
    wanted = User(
        name, uid, tuple(groups), tuple((key, tuple(values)) for key, values in sorted(extra.items()))
    )
    if name:
        return wanted
    if groups or uid or extra:
        raise bad_request(f"requested {described(wanted)} without impersonating a user name")
    return None


def wishes(mode: Mode, wanted: User, user: User) -> Iterator[Attributes]:
    """What the user has to be allowed. Raises 403 for what a mode never allows."""
    verb = f"impersonate:{mode.name}" if mode.constrained else "impersonate"
    group = GROUP if mode.constrained else ""
    its = service_account(wanted.name)
    if mode.name in ("associated-node", "arbitrary-node"):
        node = "*" if mode.name == "associated-node" else wanted.name.removeprefix(NODE)
        yield Attributes(verb, group, "nodes", name=node)
    elif its is not None:
        yield Attributes(verb, group, "serviceaccounts", "", *its)
    else:
        yield Attributes(verb, group, "users", name=wanted.name)
    if wanted.uid:
        yield Attributes(verb, GROUP, "uids", name=wanted.uid)
    if mode.constrained:
        for name, said in ((MASTERS, f"the {MASTERS}"), ("", "the empty string")):
            if name in wanted.groups:
                wish = Attributes(verb, group, "groups", name=name)
                raise forbidden(user, wish, f"impersonating {said} group is not allowed")
    for name in wanted.groups:
        yield Attributes(verb, group, "groups", name=name)
    if mode.constrained and (why := wrong_extra(wanted)):
        raise forbidden(user, Attributes(verb, GROUP, "userextras"), why)
    for key, values in wanted.extra:
        for value in values:
            yield Attributes(verb, GROUP, "userextras", key, name=value)


def completed(mode: Mode, wanted: User) -> User:
    """Who acts then: with the groups that follow from who he is."""
    groups = wanted.groups
    its = service_account(wanted.name)
    if mode.name in ("associated-node", "arbitrary-node"):
        groups = (NODES,)
    elif its is not None and not groups:
        groups = account_groups(its[0])
    if wanted.name == ANONYMOUS.name:
        groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    elif not {AUTHENTICATED, UNAUTHENTICATED} & set(groups):
        groups = (*groups, AUTHENTICATED)
    return replace(wanted, groups=groups)


def wrong_extra(wanted: User) -> str:
    """What is wrong with what else is said of who is wanted."""
    for key, values in wanted.extra:
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        if errors := names.validate_domain_path(key, "extra.key"):
            return f"impersonating an invalid key in extra is not allowed: {errors[0]}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {quote(key)}"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def described(user: User) -> str:
    """A user as Go's %#v writes it."""
    groups = f"[]string{{{_listed(user.groups)}}}" if user.groups else "[]string(nil)"
    extra = "map[string][]string(nil)"
    if user.extra:
        pairs = (f"{quote(key)}:[]string{{{_listed(values)}}}" for key, values in user.extra)
        extra = f"map[string][]string{{{', '.join(pairs)}}}"
    said = f"Name:{quote(user.name)}, UID:{quote(user.uid)}, Groups:{groups}, Extra:{extra}"
    return f"&user.DefaultInfo{{{said}}}"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(quote(value) for value in values)


def service_account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the ServiceAccount with this user name, if they can be such names."""
    its = account(name)
    if its is None or names.is_dns1123_label(its[0]) or names.is_dns1123_subdomain(its[1]):
        return None
    return its


def is_node(name: str) -> bool:
    """Whether it is the user name of a node."""
    return name.startswith(NODE) and not names.is_dns1123_subdomain(name.removeprefix(NODE))


def _plain(wanted: User) -> bool:
    return not (wanted.uid or wanted.groups or wanted.extra)


def _associated(wanted: User, user: User) -> bool:
    node = dict(user.extra).get(f"{CLAIMS}node-name", ())
    return is_node(wanted.name) and node == (wanted.name.removeprefix(NODE),)


MODES = (
    Mode(
        "associated-node",
        lambda wanted, user: (
            _plain(wanted) and _associated(wanted, user) and service_account(user.name) is not None
        ),
    ),
    Mode("arbitrary-node", lambda wanted, _: _plain(wanted) and is_node(wanted.name)),
    Mode("serviceaccount", lambda wanted, _: _plain(wanted) and service_account(wanted.name) is not None),
    Mode("user-info", lambda wanted, _: not is_node(wanted.name) and service_account(wanted.name) is None),
    Mode("", lambda _, __: True),
)
"""The modes in the order in which they are tried; the last one is that of the verb `impersonate`."""
