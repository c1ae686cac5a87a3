"""Field selectors: what lists and watches of a kind may select by besides metadata, and what it is of an object.

Upstream: the conversions of field labels in pkg/apis/*/*/conversion.go, and the SelectableFields of the registries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fairlead.objects import core_v1

Fields = Mapping[str, Callable[[Any], str]]
"""By its selector, the value of a field."""


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _pod_address(pod: core_v1.Pod) -> str:
    return pod.status.podIPs[0].ip if pod.status.podIPs else pod.status.podIP


POD_FIELDS: Fields = {
    "spec.nodeName": lambda pod: pod.spec.nodeName,
    "spec.restartPolicy": lambda pod: pod.spec.restartPolicy or "",
    "spec.schedulerName": lambda pod: pod.spec.schedulerName,
    "spec.serviceAccountName": lambda pod: pod.spec.serviceAccountName,
    "spec.hostNetwork": lambda pod: _boolean(pod.spec.hostNetwork),
    "status.phase": lambda pod: pod.status.phase,
    "status.podIP": _pod_address,
    "status.nominatedNodeName": lambda pod: pod.status.nominatedNodeName,
}

EVENT_FIELDS: Fields = {
    "involvedObject.kind": lambda event: event.involvedObject.kind,
    "involvedObject.namespace": lambda event: event.involvedObject.namespace,
    "involvedObject.name": lambda event: event.involvedObject.name,
    "involvedObject.uid": lambda event: event.involvedObject.uid,
    "involvedObject.apiVersion": lambda event: event.involvedObject.apiVersion,
    "involvedObject.resourceVersion": lambda event: event.involvedObject.resourceVersion,
    "involvedObject.fieldPath": lambda event: event.involvedObject.fieldPath,
    "reason": lambda event: event.reason,
    "reportingComponent": lambda event: event.reportingComponent or event.source.component,
    "source": lambda event: event.source.component or event.reportingComponent,
    "type": lambda event: event.type,
}


def _of_regarding(field: str) -> Callable[[Any], str]:
    return lambda event: getattr(event.regarding, field, "")


REPORTED_EVENT_FIELDS: Fields = {
    **{
        f"regarding.{field}": _of_regarding(field)
        for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reason": lambda event: event.reason,
    "reportingController": lambda event: event.reportingController,
    "type": lambda event: event.type,
}

REPLICA_FIELDS: Fields = {"status.replicas": lambda controller: str(controller.status.replicas)}
NAMESPACE_FIELDS: Fields = {"status.phase": lambda namespace: namespace.status.phase}
NODE_FIELDS: Fields = {"spec.unschedulable": lambda node: _boolean(node.spec.unschedulable)}
SERVICE_FIELDS: Fields = {
    "spec.clusterIP": lambda service: service.spec.clusterIP,
    "spec.type": lambda service: service.spec.type,
}
ADDRESS_FIELDS: Fields = {
    "spec.parentRef.group": lambda address: address.spec.parentRef.group,
    "spec.parentRef.resource": lambda address: address.spec.parentRef.resource,
    "spec.parentRef.namespace": lambda address: address.spec.parentRef.namespace,
    "spec.parentRef.name": lambda address: address.spec.parentRef.name,
}
SECRET_FIELDS: Fields = {"type": lambda secret: secret.type}
JOB_FIELDS: Fields = {"status.successful": lambda job: str(job.status.succeeded)}
