"""Nobody grants what he does not have: how roles and bindings are written.

Who may `escalate` a role, or `bind` it, grants it all the same. The server itself may.
Upstream: pkg/registry/rbac/*/policybased, pkg/registry/rbac/escalation_check.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from fairlead.apiserver.access.authorization import Authorizer, refused
from fairlead.apiserver.access.grants import Grants
from fairlead.apiserver.access.rules import FULL, Attributes, compact, described, quote, quoted, uncovered
from fairlead.apiserver.access.users import MASTERS, REQUESTER, User
from fairlead.apiserver.strategies import Claim, Strategy
from fairlead.objects.rbac import GROUP
from fairlead.objects.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from fairlead.objects.status import not_found
from fairlead.store import Store


def escalation(user: User, namespace: str, rules: Iterable[PolicyRule], grants: Grants) -> str:
    """What the user would grant with these rules without having it, as a sentence; "" where there is nothing."""
    owned, problems = grants.rules_for(user, namespace)
    missing = compact(uncovered(owned, rules))
    if not missing:
        return ""
    lines = "\n".join(sorted({described(rule) for rule in missing}))
    who = f"user {quote(user.name)} (groups={quoted(user.groups)})"
    said = f"{who} is attempting to grant RBAC permissions not currently held:\n{lines}"
    return f"{said}; resolution errors: [{'; '.join(problems)}]" if problems else said


class GrantingStrategy(Strategy):
    """What roles and bindings have in common: whom nobody needs to ask what he grants."""

    def __init__(self, authorizer: Authorizer, grants: Grants, plural: str) -> None:
        self._authorizer = authorizer
        self._grants = grants
        self._plural = plural

    async def claim(self, store: Store, obj: Any, old: Any | None, *, dry_run: bool) -> Claim:
        """Raises 403 where the object would allow more than its writer may do."""
        user = REQUESTER.get()
        if user is not None and MASTERS not in user.groups and (old is None or not only_collected(obj, old)):
            self._check(user, obj, old)
        return Claim(obj)

    def _check(self, user: User, obj: Any, old: Any | None, /) -> None:
        raise NotImplementedError


class RoleStrategy(GrantingStrategy):
    """Roles and ClusterRoles."""

    def _check(self, user: User, role: Role | ClusterRole, old: Role | ClusterRole | None, /) -> None:
        name, namespace = role.metadata.name, role.metadata.namespace
        asked = name if old is not None else ""
        escalate = Attributes("escalate", GROUP, self._plural, "", namespace, asked)
        if self._authorizer.verdict(user, escalate).allowed:
            return
        about = Attributes("", GROUP, self._plural, "", namespace, name)
        if said := escalation(user, namespace, role.rules, self._grants):
            raise refused(about, said)
        if (aggregates(role) or (old is not None and aggregates(old))) and escalation(
            user, namespace, FULL, self._grants
        ):
            raise refused(about, "must have cluster-admin privileges to use the aggregationRule")


class BindingStrategy(GrantingStrategy):
    """RoleBindings and ClusterRoleBindings. A role that is not there is 404."""

    def _check(self, user: User, binding: RoleBinding | ClusterRoleBinding, old: Any | None, /) -> None:
        reference, namespace = binding.roleRef, binding.metadata.namespace
        if reference.kind not in ("Role", "ClusterRole"):
            return  # which validation refuses
        plural = f"{reference.kind.lower()}s"
        bind = Attributes("bind", reference.apiGroup, plural, "", namespace, reference.name)
        if self._authorizer.verdict(user, bind).allowed:
            return
        rules = self._grants.rules_of(reference, namespace)
        if rules is None:
            raise not_found(plural, reference.name, GROUP)
        if said := escalation(user, namespace, rules, self._grants):
            raise refused(Attributes("", GROUP, self._plural, "", namespace, binding.metadata.name), said)


def aggregates(role: Role | ClusterRole) -> bool:
    """Whether the role gathers the rules of others."""
    return isinstance(role, ClusterRole) and role.aggregationRule is not None


def only_collected(obj: Any, old: Any) -> bool:
    """Whether a write changes nothing but what garbage collection goes by. Upstream: IsOnlyMutatingGCFields."""
    meta = obj.metadata
    before = replace(
        old.metadata,
        ownerReferences=meta.ownerReferences,
        finalizers=meta.finalizers,
        managedFields=meta.managedFields,
        resourceVersion=meta.resourceVersion,
        generation=meta.generation,
    )
    return bool(replace(old, metadata=before) == obj)
