"""What differs between two objects: what is found member by member is what a walk over their JSON finds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.apiserver.alterations import changes, made
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import KINDS
from fairlead.apiserver.managed import tracking
from fairlead.apiserver.managed.comparison import Changes
from fairlead.apiserver.managed.fieldsets import MEMBER, Fields, union
from fairlead.objects.codec import encode

EVERYTHING = Path(__file__).with_name("tours") / "everything.yaml"
RESETS: tuple[Fields, ...] = (
    {},
    {"f:status": MEMBER},
    {"f:spec": MEMBER, "f:metadata": {"f:labels": MEMBER, "f:deletionTimestamp": MEMBER}},
)
POD = """
apiVersion: v1
kind: Pod
metadata:
  {name: a, namespace: b, uid: c, labels: {app: web}, ownerReferences: [{uid: u, name: o, kind: K, apiVersion: v1}]}
spec:
  nodeName: n
  containers:
  - name: web
    image: i
    ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]
    env: [{name: A, value: "1"}]
  - {name: other, resources: {limits: {cpu: 1}}, securityContext: {capabilities: {add: [X]}}}
  tolerations: [{key: k, operator: Exists}]
  volumes: [{name: v, emptyDir: {}}]
  securityContext: {runAsUser: 0}
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
  conditions: [{type: Ready, status: "True"}, {type: Initialized, status: "True"}]
  containerStatuses: [{name: web, ready: true, restartCount: 0, image: i, imageID: "", state: {running: {}}}]
"""


def objects() -> Iterator[tuple[Kind, dict[str, Any]]]:
    """A kind with an object of it."""
    kinds = {(kind.resource.api_version, kind.resource.kind): kind for kind in KINDS if kind.kept}
    for document in (*yaml.load_all(EVERYTHING.read_text(), yaml.BaseLoader), yaml.safe_load(POD)):
        kind = kinds.get((document["apiVersion"], document["kind"])) if document else None
        if kind is not None:
            yield kind, document


def altered(value: Any, chance: random.Random) -> Any:
    """The same JSON value with some of it gone, or another."""
    if isinstance(value, dict):
        return {
            k: v if k in ("kind", "apiVersion") else altered(v, chance)
            for k, v in value.items()
            if chance.random() > 0.15 or k == "metadata"
        }
    if isinstance(value, list):
        return [altered(item, chance) for item in value if chance.random() > 0.2]
    if isinstance(value, str) and chance.random() < 0.1:
        return value + "1"
    return value


def walked(kind: Kind, old: Any, new: Any, reset: Fields) -> Changes:
    """What a walk over both documents finds."""
    before, after = (tracking.bare(kind.model.document(obj)) for obj in (old, new))
    return tracking.changes(before, after, kind.shape, reset)


CASES = list(objects())


@pytest.mark.parametrize(("kind", "document"), CASES, ids=[kind.resource.kind for kind, _ in CASES])
def test_members_are_compared_as_a_walk_over_the_json_does(kind: Kind, document: dict[str, Any]) -> None:
    chance, blank = random.Random(7), kind.resource.type()
    found = 0
    for _ in range(60):
        pair: list[Any] = []
        while len(pair) < 2:
            try:
                pair.append(kind.model.decode(encode(altered(document, chance))))
            except ValueError:
                continue  # the type wants some of what is gone
        for old, new in (pair, (blank, pair[0]), pair[::-1]):
            for reset in RESETS:
                one, other = changes(kind, old, new, reset), walked(kind, old, new, reset)
                assert (one.added, one.modified, one.removed) == (other.added, other.modified, other.removed)
                found += bool(one.added or one.modified or one.removed)
        all_of_it = walked(kind, blank, pair[0], {})
        assert made(kind, pair[0], {}) == union(all_of_it.added, all_of_it.modified)
    assert found
