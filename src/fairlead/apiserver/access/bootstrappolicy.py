"""The default roles and bindings, read from the table in bootstrappolicy.txt, which says how it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources

from msgspec.structs import replace

from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.rbac import GROUP
from fairlead.objects.rbac_v1 import (
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    RoleRef,
    Subject,
)

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
SHORT = {"read": READ, "write": WRITE, "all": (*READ, *WRITE)}


@dataclass
class Entry:
    """A role of the table."""

    name: str
    subjects: list[Subject] | None = None
    """To whom it is bound; None where there is no binding."""
    gathers: str = ""
    part_of: str = ""
    rules: list[PolicyRule] = field(default_factory=list)

    def role(self) -> ClusterRole:
        """The ClusterRole."""
        part = {f"{GROUP}/aggregate-to-{self.part_of}": "true"} if self.part_of else {}
        selector = LabelSelector(matchLabels={f"{GROUP}/aggregate-to-{self.gathers}": "true"})
        return ClusterRole(
            metadata=self._metadata(part),
            rules=tuple(self.rules),
            aggregationRule=AggregationRule(clusterRoleSelectors=(selector,)) if self.gathers else None,
        )

    def binding(self) -> ClusterRoleBinding:
        """The ClusterRoleBinding."""
        return ClusterRoleBinding(
            metadata=self._metadata({}),
            roleRef=RoleRef(apiGroup=GROUP, kind="ClusterRole", name=self.name),
            subjects=tuple(self.subjects or ()),
        )

    def _metadata(self, labels: dict[str, str]) -> ObjectMeta:
        return ObjectMeta(name=self.name, labels={**LABELS, **labels}, annotations={AUTOUPDATE: "true"})


def read(lines: Iterable[str]) -> list[Entry]:
    """The roles of a table. Raises ValueError for a line that is none of it."""
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not line.startswith(" "):
            entries.append(Entry(line.strip()))
            continue
        try:
            _fill(entries[-1], line, words)
        except (IndexError, ValueError) as error:
            raise ValueError(f"line {number}, {line.strip()!r}, is neither a rule nor a binding") from error
    return entries


def _fill(entry: Entry, line: str, words: list[str]) -> None:
    if "|" in line:
        verbs, *rest = (cell.split() for cell in line.split("|"))
        if verbs:
            entry.rules.append(_rule(verbs, *rest))
        else:
            last = entry.rules[-1]
            entry.rules[-1] = replace(last, resources=(*last.resources, *rest[1]))
        return
    match words:
        case ["to", "nobody"]:
            entry.subjects = []
        case ["to", "ServiceAccount", who]:
            namespace, name = who.split("/")
            subject = Subject(kind="ServiceAccount", namespace=namespace, name=name)
            entry.subjects = [*(entry.subjects or ()), subject]
        case ["to", ("User" | "Group") as kind, name]:
            subject = Subject(kind=kind, apiGroup=GROUP, name=name)
            entry.subjects = [*(entry.subjects or ()), subject]
        case ["gathers", name]:
            entry.gathers = name
        case ["part", "of", name]:
            entry.part_of = name
        case _:
            raise ValueError(words[0])


def _rule(verbs: list[str], first: list[str], *rest: list[str]) -> PolicyRule:
    asked = tuple(verb for word in verbs for verb in SHORT.get(word, (word,)))
    if not rest:
        return PolicyRule(verbs=asked, nonResourceURLs=tuple(first))
    return PolicyRule(
        verbs=asked,
        apiGroups=tuple("" if group == "core" else group for group in first),
        resources=tuple(rest[0]),
        resourceNames=tuple(rest[1]) if rest[1:] else (),
    )


_TABLE = read(resources.files(__package__).joinpath("bootstrappolicy.txt").read_text().splitlines())

ROLES = tuple(entry.role() for entry in _TABLE)
BINDINGS = tuple(entry.binding() for entry in _TABLE if entry.subjects is not None)

NODE_RULES = next(entry.rules for entry in _TABLE if entry.name == "system:node")
"""What every node may do; `nodeauthorizer` decides which objects it may do it to."""
