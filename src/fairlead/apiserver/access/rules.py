"""What one rule of a role allows, and what sets of rules are worth to one another. Pure.

Upstream: pkg/apis/rbac/v1/evaluation_helpers.go, component-helpers/auth/rbac/validation/policy_comparator.go,
pkg/registry/rbac/validation/policy_compact.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from fairlead.objects.fieldselectors import EVERYTHING, FieldSelector
from fairlead.objects.rbac_v1 import PolicyRule

ALL = "*"


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants to do: something to a resource, or to another path (`resource` is then empty)."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    selector: FieldSelector = EVERYTHING
    """Of a list, a watch or the deletion of a collection: what it is limited to."""

    def __str__(self) -> str:
        if not self.resource:
            return f"{self.verb} {self.path}"
        where = f" in {self.namespace}" if self.namespace else ""
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.combined}{group}{where}{f' named {self.name}' if self.name else ''}"

    @property
    def combined(self) -> str:
        """The resource with its subresource, as rules name it: `pods/status`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


FULL = (
    PolicyRule(verbs=(ALL,), apiGroups=(ALL,), resources=(ALL,)),
    PolicyRule(verbs=(ALL,), nonResourceURLs=(ALL,)),
)
"""The rules of whoever may do everything."""


class Rules(msgspec.Struct, frozen=True):
    """The rules that hold for somebody: whether there are others besides, and what could not be found out."""

    rules: Sequence[PolicyRule] = ()
    problems: Sequence[str] = ()
    incomplete: bool = False


def concerns(rule: PolicyRule, wanted: Attributes) -> bool:
    """Whether a rule allows what is wanted, of objects of all names or of some: `resourceNames` is not looked at."""
    if ALL not in rule.verbs and wanted.verb not in rule.verbs:
        return False
    if not wanted.resource:
        return any(url_covers(url, wanted.path) for url in rule.nonResourceURLs)
    if ALL not in rule.apiGroups and wanted.group not in rule.apiGroups:
        return False
    resources = rule.resources
    if ALL in resources or wanted.combined in resources:
        return True
    return bool(wanted.subresource) and f"*/{wanted.subresource}" in resources


def allows(rule: PolicyRule, wanted: Attributes) -> bool:
    """Whether a rule allows what is wanted."""
    if not concerns(rule, wanted):
        return False
    return not wanted.resource or not rule.resourceNames or wanted.name in rule.resourceNames


def url_covers(url: str, path: str) -> bool:
    """Whether a `nonResourceURLs` entry stands for a path, or for all that another entry stands for."""
    return url == path or (url.endswith(ALL) and path.startswith(url.rstrip(ALL)))


def uncovered(owned: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """What `wanted` allows and `owned` does not, in rules of one verb, one resource, one name each."""
    return [
        rule
        for whole in wanted
        for rule in _pieces(whole)
        if not any(_covers(owner, rule) for owner in owned)
    ]


def _pieces(rule: PolicyRule) -> Iterator[PolicyRule]:
    for group in rule.apiGroups:
        for resource in rule.resources:
            for verb in rule.verbs:
                for name in rule.resourceNames or (None,):
                    names = () if name is None else (name,)
                    yield PolicyRule(
                        verbs=(verb,), apiGroups=(group,), resources=(resource,), resourceNames=names
                    )
    for url in rule.nonResourceURLs:
        for verb in rule.verbs:
            yield PolicyRule(verbs=(verb,), nonResourceURLs=(url,))


def _covers(owner: PolicyRule, piece: PolicyRule) -> bool:
    """Whether a rule allows all that a rule of one verb and one resource or path does."""
    if ALL not in owner.verbs and piece.verbs[0] not in owner.verbs:
        return False
    if piece.nonResourceURLs:
        return any(url_covers(url, piece.nonResourceURLs[0]) for url in owner.nonResourceURLs)
    if ALL not in owner.apiGroups and piece.apiGroups[0] not in owner.apiGroups:
        return False
    resource = piece.resources[0]
    if ALL not in owner.resources and resource not in owner.resources:
        _, slash, part = resource.partition("/")
        if not slash or f"*/{part}" not in owner.resources:
            return False
    return not owner.resourceNames or (
        bool(piece.resourceNames) and piece.resourceNames[0] in owner.resourceNames
    )


def compact(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The rules with those put together that differ in their verbs only, where each is of one resource."""
    others: list[PolicyRule] = []
    verbs: dict[tuple[str, str], list[str]] = {}
    for rule in rules:
        simple = len(rule.apiGroups) == 1 and len(rule.resources) == 1
        if not simple or rule.resourceNames or rule.nonResourceURLs:
            others.append(rule)
        else:
            verbs.setdefault((rule.apiGroups[0], rule.resources[0]), []).extend(rule.verbs)
    return others + [
        PolicyRule(verbs=tuple(listed), apiGroups=(group,), resources=(resource,))
        for (group, resource), listed in verbs.items()
    ]


def described(rule: PolicyRule) -> str:
    """A rule as upstream writes it in a refusal."""
    parts = (
        ("APIGroups", rule.apiGroups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.nonResourceURLs),
        ("ResourceNames", rule.resourceNames),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:{quoted(values)}" for name, values in parts if values) + "}"


def quoted(values: Iterable[str]) -> str:
    """A list as Go's %q writes it."""
    return "[" + " ".join(quote(value) for value in values) + "]"


def quote(value: str) -> str:
    """A text as Go's %q writes it, the rare characters of names apart."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
