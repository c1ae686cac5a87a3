"""The roles and bindings of a cluster, compiled: who may do what is a look-up.

A change costs as much as the subjects of the binding that it is about; nothing is ever gone through as a whole.
Verdicts are kept until the next change, a bounded number of them.
Upstream: plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac/validation/rule.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from fairlead.apiserver.access.rules import Attributes, allows, concerns, quote
from fairlead.apiserver.access.users import MASTERS, User, account_name
from fairlead.objects.rbac import GROUP
from fairlead.objects.rbac_v1 import PolicyRule, RoleRef, Subject

KEPT = 20_000
"""How many verdicts are kept; about 300 bytes each."""

Place = tuple[str, str]
"""Namespace and name; the namespace of what belongs to the cluster is ""."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Whether something is allowed, and why; a refusal has a reason only where a role could not be found."""

    allowed: bool
    reason: str = ""


@dataclass(slots=True)
class Answer:
    """What is known of one verb on one resource for one user: a verdict for all names, and those for some."""

    general: Verdict
    named: dict[str, Verdict] = field(default_factory=dict)


class Binding(msgspec.Struct, frozen=True, gc=False):
    """A RoleBinding, or with the namespace "" a ClusterRoleBinding."""

    place: Place
    role: RoleRef
    subjects: tuple[Subject, ...]

    @property
    def granted(self) -> Place:
        """Where its role is."""
        return (self.place[0] if self.role.kind == "Role" else "", self.role.name)

    def described(self, subject: Subject) -> str:
        """What allows something to one of its subjects, as upstream says it."""
        namespace, name = self.place
        who = subject.name
        if subject.kind == "ServiceAccount":
            who = f"{subject.name}/{subject.namespace or namespace}"
        kind, shown = ("RoleBinding", f"{name}/{namespace}") if namespace else ("ClusterRoleBinding", name)
        to = f"{subject.kind} {quote(who)}"
        return f"{kind} {quote(shown)} of {self.role.kind} {quote(self.role.name)} to {to}"


ALL_ALLOWED = Verdict(True)
REFUSED = Verdict(False)


class Grants:
    """All roles and bindings, by whom they concern."""

    def __init__(self) -> None:
        self._roles: dict[Place, tuple[PolicyRule, ...]] = {}
        self._bindings: dict[Place, Binding] = {}
        self._held: dict[tuple[str, str], dict[str, dict[Place, Subject]]] = {}
        self._known: dict[tuple[User, str, str, str, str, str], Answer] = {}

    def put_role(self, place: Place, rules: tuple[PolicyRule, ...]) -> None:
        """A role has these rules now."""
        self._known.clear()
        self._roles[place] = rules

    def drop_role(self, place: Place) -> None:
        """A role is gone."""
        self._known.clear()
        self._roles.pop(place, None)

    def put_binding(self, place: Place, role: RoleRef, subjects: tuple[Subject, ...]) -> None:
        """A binding is so now."""
        self.drop_binding(place)
        self._bindings[place] = Binding(place, role, subjects)
        for subject in subjects:
            if (key := _holder(subject, place[0])) is not None:
                self._held.setdefault(key, {}).setdefault(place[0], {}).setdefault(place, subject)

    def drop_binding(self, place: Place) -> None:
        """A binding is gone."""
        self._known.clear()
        old = self._bindings.pop(place, None)
        for subject in old.subjects if old is not None else ():
            key = _holder(subject, place[0])
            if key is None or (by_namespace := self._held.get(key)) is None:
                continue
            there = by_namespace.get(place[0], {})
            there.pop(place, None)
            if not there:
                by_namespace.pop(place[0], None)
            if not by_namespace:
                del self._held[key]

    def verdict(self, user: User, wanted: Attributes) -> Verdict:
        """Whether the user may do this. A kept verdict costs about 1 us; another one a pass over the user's rules."""
        if MASTERS in user.groups:
            return ALL_ALLOWED
        if not wanted.resource:
            return self._evaluated(user, wanted)
        key = (user, wanted.namespace, wanted.verb, wanted.group, wanted.resource, wanted.subresource)
        answer = self._known.get(key)
        if answer is None:
            answer = self._answer(user, wanted)
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = answer
        if answer.named and not answer.general.allowed:
            return answer.named.get(wanted.name, answer.general)
        return answer.general

    def _answer(self, user: User, wanted: Attributes) -> Answer:
        named: dict[str, Verdict] = {}
        problems: list[str] = []
        for binding, subject, rules in self._granted(user, wanted.namespace, problems):
            for rule in rules:
                if not concerns(rule, wanted):
                    continue
                verdict = Verdict(True, f"RBAC: allowed by {binding.described(subject)}")
                if not rule.resourceNames:
                    return Answer(verdict)
                for name in rule.resourceNames:
                    named.setdefault(name, verdict)
        return Answer(_refusal(problems), named)

    def _evaluated(self, user: User, wanted: Attributes) -> Verdict:
        problems: list[str] = []
        for binding, subject, rules in self._granted(user, wanted.namespace, problems):
            if any(allows(rule, wanted) for rule in rules):
                return Verdict(True, f"RBAC: allowed by {binding.described(subject)}")
        return _refusal(problems)

    def rules_for(self, user: User, namespace: str) -> tuple[list[PolicyRule], list[str]]:
        """The rules that hold for the user in a namespace ("": in the whole cluster), and what could not be found."""
        problems: list[str] = []
        granted = self._granted(user, namespace, problems)
        return [rule for _, _, rules in granted for rule in rules], problems

    def rules_of(self, role: RoleRef, namespace: str) -> tuple[PolicyRule, ...] | None:
        """The rules of the role that a binding in a namespace refers to, None where there is none."""
        return self._roles.get((namespace if role.kind == "Role" else "", role.name))

    def _granted(
        self, user: User, namespace: str, problems: list[str]
    ) -> Iterator[tuple[Binding, Subject, tuple[PolicyRule, ...]]]:
        """The bindings that the user is a subject of, each once; adds to `problems` which roles there are not."""
        holders = [("User", user.name), *(("Group", group) for group in user.groups)]
        for where in ("", namespace) if namespace else ("",):
            seen: set[Place] = set()
            for holder in holders:
                for place, subject in self._held.get(holder, {}).get(where, {}).items():
                    if place in seen:
                        continue
                    seen.add(place)
                    binding = self._bindings[place]
                    rules = self._roles.get(binding.granted)
                    if rules is None:
                        problems.append(absent(binding.role))
                    else:
                        yield binding, subject, rules


def _holder(subject: Subject, namespace: str) -> tuple[str, str] | None:
    """Whom a subject of a binding in a namespace stands for."""
    match subject.kind:
        case "User" | "Group":
            return subject.kind, subject.name
        case "ServiceAccount" if subject.namespace or namespace:
            return "User", account_name(subject.namespace or namespace, subject.name)
    return None


def absent(role: RoleRef) -> str:
    """What is said of a role that there is not."""
    return f'{role.kind.lower()}.{GROUP} "{role.name}" not found'


def _refusal(problems: Sequence[str]) -> Verdict:
    said = tuple(dict.fromkeys(problems))
    if not said:
        return REFUSED
    return Verdict(False, f"RBAC: {said[0]}" if len(said) == 1 else f"RBAC: [{', '.join(said)}]")
