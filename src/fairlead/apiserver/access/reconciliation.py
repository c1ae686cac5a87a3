"""The default roles and bindings, made at start and brought up to date: what is missing is added, nothing is removed.

One with the annotation `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone.
Upstream: pkg/registry/rbac/reconciliation, pkg/registry/rbac/rest (PostStartHook).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

from fairlead.apiserver.access.aggregation import aggregated
from fairlead.apiserver.access.bootstrappolicy import AUTOUPDATE, BINDINGS, ROLES
from fairlead.apiserver.access.rules import uncovered
from fairlead.apiserver.deletion import delete
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import CLUSTERROLEBINDINGS, CLUSTERROLES
from fairlead.apiserver.registry import Registry
from fairlead.objects.codec import decoder
from fairlead.objects.meta_v1 import DeleteOptions
from fairlead.objects.rbac_v1 import ClusterRole, ClusterRoleBinding
from fairlead.objects.status import StatusError

Named = TypeVar("Named", ClusterRole, ClusterRoleBinding)


async def reconcile(
    registry: Registry,
    roles: Iterable[ClusterRole] = ROLES,
    bindings: Iterable[ClusterRoleBinding] = BINDINGS,
) -> None:
    """Makes what is not there, and writes what lacks something. All at once, so that it is one commit or two."""
    writes = [_role(registry, role) for role in with_gathered_rules(roles)]
    writes += [_binding(registry, binding) for binding in bindings]
    await asyncio.gather(*writes)


def with_gathered_rules(roles: Iterable[ClusterRole]) -> list[ClusterRole]:
    """The roles, those that gather the rules of others with these rules."""
    named = {role.metadata.name: role for role in roles}
    for _ in named:
        before = dict(named)
        for name, role in before.items():
            named[name] = replace(role, rules=aggregated(role, named.values()))
        if named == before:
            break
    return list(named.values())


def reconciled_role(old: ClusterRole, wanted: ClusterRole) -> ClusterRole:
    """The role that stands, with what is wanted added to it."""
    if protected(old):
        return old
    changed = _labelled(old, wanted)
    if wanted.aggregationRule is None:
        changed = replace(changed, rules=(*old.rules, *uncovered(old.rules, wanted.rules)))
    elif old.aggregationRule is None:
        changed = replace(changed, aggregationRule=wanted.aggregationRule)
    else:
        there = old.aggregationRule.clusterRoleSelectors
        added = [one for one in wanted.aggregationRule.clusterRoleSelectors if one not in there]
        rule = replace(old.aggregationRule, clusterRoleSelectors=(*there, *added))
        changed = replace(changed, aggregationRule=rule)
    return changed


def reconciled_binding(old: ClusterRoleBinding, wanted: ClusterRoleBinding) -> ClusterRoleBinding | None:
    """The binding that stands, with what is wanted added to it; None where it binds another role."""
    if protected(old):
        return old
    if old.roleRef != wanted.roleRef:
        return None
    added = [subject for subject in wanted.subjects if subject not in old.subjects]
    return replace(_labelled(old, wanted), subjects=(*old.subjects, *added))


def protected(obj: ClusterRole | ClusterRoleBinding) -> bool:
    """Whether its owner wants it left alone."""
    return obj.metadata.annotations.get(AUTOUPDATE) == "false"


def _labelled(old: Named, wanted: Named) -> Named:
    metadata = replace(
        old.metadata,
        labels={**old.metadata.labels, **wanted.metadata.labels},
        annotations={**old.metadata.annotations, **wanted.metadata.annotations},
    )
    return replace(old, metadata=metadata)


async def _role(registry: Registry, wanted: ClusterRole) -> None:
    old = await _standing(registry, CLUSTERROLES, wanted.metadata.name)
    if old is None:
        await _create(registry, CLUSTERROLES, wanted)
    elif reconciled_role(old, wanted) != old:

        async def modify(old: ClusterRole | None) -> ClusterRole:
            return reconciled_role(old, wanted) if old is not None else wanted

        await registry.update(CLUSTERROLES, "", wanted.metadata.name, modify)


async def _binding(registry: Registry, wanted: ClusterRoleBinding) -> None:
    name = wanted.metadata.name
    old = await _standing(registry, CLUSTERROLEBINDINGS, name)
    changed = reconciled_binding(old, wanted) if old is not None else None
    if old is not None and changed is None:
        await delete(registry, CLUSTERROLEBINDINGS, "", name, DeleteOptions())
    if changed is None:
        await _create(registry, CLUSTERROLEBINDINGS, wanted)
    elif changed != old:

        async def modify(old: ClusterRoleBinding | None) -> ClusterRoleBinding:
            return (reconciled_binding(old, wanted) if old is not None else wanted) or wanted

        await registry.update(CLUSTERROLEBINDINGS, "", name, modify)


async def _standing(registry: Registry, kind: Kind, name: str) -> Any:
    entry = await registry.store.get(kind.key("", name))
    return None if entry is None else decoder(kind.resource.type).decode(entry.value)


async def _create(registry: Registry, kind: Kind, obj: ClusterRole | ClusterRoleBinding) -> None:
    try:
        await registry.create(kind, "", obj)
    except StatusError as error:
        if error.reason != "AlreadyExists":  # another server was faster
            raise
