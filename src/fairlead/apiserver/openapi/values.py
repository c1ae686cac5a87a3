"""The values of built-in fields that may have only a few, and the one that they have unless it is said.

Version 3 of OpenAPI tells them, so that `kubectl explain` does. Upstream: the markers +enum and +default of
staging/src/k8s.io/api, which name the values in the order of the alphabet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

API = "k8s.io.api"
CORE = f"{API}.core.v1"
PROTOCOLS = ("SCTP", "TCP", "UDP")
SCOPES = ("Cluster", "Local")

ENUMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    f"{CORE}.ServiceSpec": {
        "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
        "sessionAffinity": ("ClientIP", "None"),
        "externalTrafficPolicy": SCOPES,
        "internalTrafficPolicy": SCOPES,
        "ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
    },
    f"{CORE}.ServicePort": {"protocol": PROTOCOLS},
    f"{CORE}.PortStatus": {"protocol": PROTOCOLS},
    f"{CORE}.EndpointPort": {"protocol": PROTOCOLS},
    f"{CORE}.ContainerPort": {"protocol": PROTOCOLS},
    f"{CORE}.Container": {
        "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
        "terminationMessagePolicy": ("FallbackToLogsOnError", "File"),
    },
    f"{CORE}.HTTPGetAction": {"scheme": ("HTTP", "HTTPS")},
    f"{CORE}.PodSpec": {
        "restartPolicy": ("Always", "Never", "OnFailure"),
        "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "preemptionPolicy": ("Never", "PreemptLowerPriority"),
    },
    f"{CORE}.PodStatus": {
        "phase": ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
        "qosClass": ("BestEffort", "Burstable", "Guaranteed"),
    },
    f"{CORE}.NamespaceStatus": {"phase": ("Active", "Terminating")},
    f"{CORE}.Taint": {"effect": ("NoExecute", "NoSchedule", "PreferNoSchedule")},
    f"{API}.discovery.v1.EndpointSlice": {"addressType": ("FQDN", "IPv4", "IPv6")},
    f"{API}.discovery.v1.EndpointPort": {"protocol": PROTOCOLS},
    f"{API}.networking.v1.HTTPIngressPath": {"pathType": ("Exact", "ImplementationSpecific", "Prefix")},
    f"{API}.apps.v1.DeploymentStrategy": {"type": ("Recreate", "RollingUpdate")},
    f"{API}.apps.v1.DaemonSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    f"{API}.apps.v1.StatefulSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    f"{API}.apps.v1.StatefulSetSpec": {"podManagementPolicy": ("OrderedReady", "Parallel")},
    f"{API}.batch.v1.CronJobSpec": {"concurrencyPolicy": ("Allow", "Forbid", "Replace")},
    f"{API}.batch.v1.JobSpec": {"completionMode": ("Indexed", "NonIndexed")},
    f"{API}.policy.v1.PodDisruptionBudgetSpec": {
        "unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget")
    },
}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    f"{CORE}.ServicePort": {"protocol": "TCP"},
    f"{CORE}.ContainerPort": {"protocol": "TCP"},
}


def values_of(type_: str, field: str) -> dict[str, Any]:
    """What a schema says of them: `default` and `enum`, as far as there are any."""
    said: dict[str, Any] = {}
    if field in (defaults := DEFAULTS.get(type_, {})):
        said["default"] = defaults[field]
    if enum := ENUMS.get(type_, {}).get(field):
        said["enum"] = list(enum)
    return said
