"""What a fieldRef and a resourceFieldRef lead to: the pod's own fields, its containers' resources. Pure.

Upstream: pkg/fieldpath, pkg/kubelet/kubelet_pods.go (podFieldSelectorRuntimeValue), pkg/api/v1/resource.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from fairlead.objects.core_v1 import Container, Pod, ResourceFieldSelector
from fairlead.objects.quantities import parse

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


class FieldError(Exception):
    """The reference leads nowhere; the message is upstream's."""


@dataclass(frozen=True)
class NodeFacts:
    """What the fields of a pod do not say by themselves on its node."""

    node_name: str = ""
    host_ips: Sequence[str] = ()
    pod_ips: Sequence[str] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    """By resource; a container without a limit may use all of it."""


def value(pod: Pod, path: str, facts: NodeFacts) -> str:
    """The field's value as text. Raises `FieldError`."""
    meta = pod.metadata
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        return (meta.labels if subscript[1] == "labels" else meta.annotations).get(subscript[2], "")
    if path in ("metadata.labels", "metadata.annotations"):
        return lines(meta.labels if path == "metadata.labels" else meta.annotations)
    values = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": pod.spec.serviceAccountName,
        "status.hostIP": next(iter(facts.host_ips), ""),
        "status.hostIPs": ",".join(facts.host_ips),
        "status.podIP": next(iter(facts.pod_ips), ""),
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path not in values:
        raise FieldError(f"unsupported fieldPath: {path}")
    return values[path]


def lines(values: Mapping[str, str]) -> str:
    """Labels or annotations as a file has them: `key="value"`, one a line, by key, with Go's escapes."""
    return "\n".join(f"{key}={json.dumps(values[key], ensure_ascii=False)}" for key in sorted(values))


def resource(pod: Pod, container: Container | None, selector: ResourceFieldSelector, facts: NodeFacts) -> str:
    """A limit or request in units of the divisor, rounded up. `container` is the one where the selector names none.

    Raises `FieldError`.
    """
    if selector.containerName:
        everyone = (*pod.spec.initContainers, *pod.spec.containers)
        container = next((one for one in everyone if one.name == selector.containerName), None)
    if container is None:
        raise FieldError(f'container "{selector.containerName}" not found')
    kind, _, name = selector.resource.partition(".")
    if kind not in ("limits", "requests") or not name:
        raise FieldError(f"unsupported container resource : {selector.resource}")
    given = container.resources.limits if kind == "limits" else container.resources.requests
    amount = parse(given[name]) if name in given else Decimal(0)
    if kind == "limits" and not amount and name in facts.allocatable:
        amount = parse(facts.allocatable[name])
    divisor = parse(selector.divisor) if selector.divisor is not None else Decimal(0)
    return str(int((amount / (divisor or 1)).to_integral_value(ROUND_CEILING)))
