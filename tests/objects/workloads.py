"""Objects of the workload kinds, and what is said of them."""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.objects import apps_v1, batch_v1, core_v1, jobs
from fairlead.objects.rules import rules_for

LABELS = {"app": "web"}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "c", "image": "fairlead/echo"}]},
}
SELECTED: dict[str, Any] = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
ONCE = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}

KINDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "Deployment": (apps_v1.Deployment, SELECTED),
    "ReplicaSet": (apps_v1.ReplicaSet, SELECTED),
    "StatefulSet": (apps_v1.StatefulSet, SELECTED),
    "DaemonSet": (apps_v1.DaemonSet, SELECTED),
    "ReplicationController": (core_v1.ReplicationController, {"selector": LABELS, "template": TEMPLATE}),
    "Job": (batch_v1.Job, {"template": ONCE}),
    "CronJob": (
        batch_v1.CronJob,
        {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": ONCE}}},
    ),
}


def made(kind: str, changes: dict[str, Any], name: str = "web") -> Any:
    """An object with defaults; a change to None takes a field of its spec away, a dotted path goes deeper."""
    of, spec = KINDS[kind]
    spec = msgspec.json.decode(msgspec.json.encode(spec))
    for path, value in changes.items():
        inner = spec
        *outer, last = path.split(".")
        for part in outer:
            inner = inner.setdefault(part, {})
        inner.pop(last, None)
        if value is not None:
            inner[last] = value
    metadata = {"name": name, "namespace": "default", "uid": "u", "resourceVersion": "1"}
    obj = msgspec.convert({"metadata": metadata, "spec": spec}, of)
    return rules_for(of).default(jobs.selecting(obj) if isinstance(obj, batch_v1.Job) else obj)


def said(new: Any, old: Any = None) -> list[str]:
    return [str(error) for error in rules_for(type(new)).validate(new, old)]
