"""Writes the typed kinds of `fairlead.objects` from its table of fields (`objects/fields.json`).

    python tools/generate_objects.py            rewrites the modules
    python tools/generate_objects.py --check    exit status 1 where a module is not what the table says

The table says names, types, protobuf numbers and list keys. It is drawn from protobuf descriptors, so two things that
JSON has and protobuf has not have to be known beside it: which messages are inlined (objects/schema.py), and, here,
how Go treats an absent value, which decides what is written for it: a pointer is left out only when unset (POINTERS),
a struct by value never (VALUES).
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from pathlib import Path
from typing import Any

from fairlead.objects import schema

ROOM = Path(__file__).parent.parent / "src/fairlead/objects"
TABLE = ROOM / "fields.json"

MODULES = {
    "k8s.io.apimachinery.pkg.apis.meta.v1": "meta_v1",
    "k8s.io.api.core.v1": "core_v1",
    "k8s.io.api.discovery.v1": "discovery_v1",
    "k8s.io.api.admissionregistration.v1": "admissionregistration_v1",
    "k8s.io.api.apps.v1": "apps_v1",
    "k8s.io.api.autoscaling.v1": "autoscaling_v1",
    "k8s.io.api.autoscaling.v2": "autoscaling_v2",
    "k8s.io.api.batch.v1": "batch_v1",
    "k8s.io.api.coordination.v1": "coordination_v1",
    "k8s.io.api.events.v1": "events_v1",
    "k8s.io.api.networking.v1": "networking_v1",
    "k8s.io.api.policy.v1": "policy_v1",
    "k8s.io.api.rbac.v1": "rbac_v1",
    "k8s.io.api.scheduling.v1": "scheduling_v1",
    "k8s.io.api.storage.v1": "storage_v1",
    "k8s.io.api.authentication.v1": "authentication_v1",
    "k8s.io.api.authorization.v1": "authorization_v1",
    schema.APIEXTENSIONS: "apiextensions_v1",
}

SCALARS = {
    "string": "str",
    "bool": "bool",
    "int32": "int",
    "int64": "int",
    "double": "int | float",
    "bytes": "bytes",
    "k8s.io.apimachinery.pkg.apis.meta.v1.Time": "Time",
    "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
    "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1": "Raw",
    "k8s.io.apimachinery.pkg.apis.meta.v1.Duration": "str",
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
    "k8s.io.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "k8s.io.apimachinery.pkg.runtime.RawExtension": "Any",
    f"{schema.APIEXTENSIONS}.JSON": "Any",
    f"{schema.APIEXTENSIONS}.JSONSchemaPropsOrArray": "JSONSchemaProps | tuple[JSONSchemaProps, ...]",
    f"{schema.APIEXTENSIONS}.JSONSchemaPropsOrBool": "JSONSchemaProps | bool",
    f"{schema.APIEXTENSIONS}.JSONSchemaPropsOrStringArray": "JSONSchemaProps | tuple[str, ...]",
}
LINE = 110
"""The formatter's limit."""

ZERO = {"str": '""', "bool": "False", "int": "0", "int | float": "0.0", "bytes": 'b""'}
ALWAYS = {"str": "text", "bool": "no", "int": "zero", "int | float": "zero", "bytes": "octets"}

# Optional scalars that are pointers in Go: an explicit zero value is kept.
POINTERS: dict[str, str] = {
    "PriorityClass": "preemptionPolicy",
    "StorageClass": "reclaimPolicy allowVolumeExpansion volumeBindingMode",
    "PersistentVolumeSpec": "volumeAttributesClassName",
    "ValidatingWebhook": "failurePolicy matchPolicy sideEffects timeoutSeconds",
    "MutatingWebhook": "failurePolicy matchPolicy sideEffects timeoutSeconds reinvocationPolicy",
    "Rule": "scope",
    "GlusterfsPersistentVolumeSource": "endpointsNamespace",
    "ISCSIPersistentVolumeSource": "initiatorName",
    "AzureFilePersistentVolumeSource": "secretNamespace",
    "LocalVolumeSource": "fsType",
    "HorizontalPodAutoscalerSpec": "minReplicas targetCPUUtilizationPercentage",
    "autoscaling.HorizontalPodAutoscalerStatus": "observedGeneration currentCPUUtilizationPercentage",
    "HPAScalingRules": "selectPolicy stabilizationWindowSeconds",
    "MetricTarget": "averageUtilization",
    "MetricValueStatus": "averageUtilization",
    "ObjectMeta": "deletionGracePeriodSeconds",
    "OwnerReference": "controller blockOwnerDeletion",
    "DeleteOptions": "gracePeriodSeconds orphanDependents propagationPolicy",
    "Preconditions": "uid resourceVersion",
    "ListMeta": "remainingItemCount",
    "ServiceSpec": "ipFamilyPolicy allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy "
    "trafficDistribution",
    "ServicePort": "appProtocol",
    "ClientIPConfig": "timeoutSeconds",
    "LoadBalancerIngress": "ipMode",
    "PortStatus": "error",
    "EndpointAddress": "nodeName",
    "core.EndpointPort": "appProtocol",
    "discovery.EndpointPort": "name protocol port appProtocol",
    "Endpoint": "hostname nodeName zone",
    "EndpointConditions": "ready serving terminating",
    "LeaseSpec": "holderIdentity leaseDurationSeconds acquireTime renewTime leaseTransitions strategy "
    "preferredHolder",
    "PodSpec": "terminationGracePeriodSeconds activeDeadlineSeconds automountServiceAccountToken "
    "shareProcessNamespace priority runtimeClassName enableServiceLinks preemptionPolicy setHostnameAsFQDN "
    "hostUsers hostnameOverride",
    "Container": "restartPolicy",
    "EphemeralContainerCommon": "restartPolicy",
    "ContainerStatus": "started stopSignal",
    "Lifecycle": "stopSignal",
    "SecurityContext": "privileged runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem "
    "allowPrivilegeEscalation procMount",
    "PodSecurityContext": "runAsUser runAsGroup runAsNonRoot fsGroup fsGroupChangePolicy supplementalGroupsPolicy "
    "seLinuxChangePolicy",
    "SeccompProfile": "localhostProfile",
    "AppArmorProfile": "localhostProfile",
    "WindowsSecurityContextOptions": "gmsaCredentialSpecName gmsaCredentialSpec runAsUserName hostProcess",
    "Probe": "terminationGracePeriodSeconds",
    "GRPCAction": "service",
    "Toleration": "tolerationSeconds",
    "TopologySpreadConstraint": "minDomains nodeAffinityPolicy nodeTaintsPolicy",
    "VolumeMount": "mountPropagation recursiveReadOnly",
    "VolumeMountStatus": "recursiveReadOnly",
    "ConfigMapKeySelector": "optional",
    "SecretKeySelector": "optional",
    "ConfigMapEnvSource": "optional",
    "SecretEnvSource": "optional",
    "FileKeySelector": "optional",
    "SecretVolumeSource": "defaultMode optional",
    "ConfigMapVolumeSource": "defaultMode optional",
    "DownwardAPIVolumeSource": "defaultMode",
    "ProjectedVolumeSource": "defaultMode",
    "KeyToPath": "mode",
    "DownwardAPIVolumeFile": "mode",
    "ConfigMapProjection": "optional",
    "SecretProjection": "optional",
    "ServiceAccountTokenProjection": "expirationSeconds",
    "ClusterTrustBundleProjection": "name signerName optional",
    "HostPathVolumeSource": "type",
    "PodDNSConfigOption": "value",
    "CSIVolumeSource": "readOnly fsType",
    "ISCSIVolumeSource": "initiatorName",
    "FCVolumeSource": "lun",
    "AzureDiskVolumeSource": "cachingMode fsType readOnly kind",
    "NodeRuntimeHandlerFeatures": "recursiveReadOnlyMounts userNamespaces",
    "NodeFeatures": "supplementalGroupsPolicy",
    "PodResourceClaim": "resourceClaimName resourceClaimTemplateName",
    "PodResourceClaimStatus": "resourceClaimName",
    "ServiceAccount": "automountServiceAccountToken",
    "Secret": "immutable",
    "ConfigMap": "immutable",
    "ReplicationControllerSpec": "replicas",
    "PersistentVolumeClaimSpec": "storageClassName volumeMode volumeAttributesClassName",
    "PersistentVolumeClaimStatus": "currentVolumeAttributesClassName",
    "TypedObjectReference": "apiGroup namespace",
    "TypedLocalObjectReference": "apiGroup",
    "DeploymentSpec": "replicas revisionHistoryLimit progressDeadlineSeconds",
    "DeploymentStatus": "terminatingReplicas collisionCount",
    "ReplicaSetSpec": "replicas",
    "ReplicaSetStatus": "terminatingReplicas",
    "StatefulSetSpec": "replicas revisionHistoryLimit",
    "StatefulSetStatus": "collisionCount",
    "DaemonSetSpec": "revisionHistoryLimit",
    "DaemonSetStatus": "collisionCount",
    "RollingUpdateStatefulSetStrategy": "partition",
    "JobSpec": "parallelism completions activeDeadlineSeconds backoffLimit backoffLimitPerIndex maxFailedIndexes "
    "manualSelector ttlSecondsAfterFinished completionMode suspend podReplacementPolicy managedBy",
    "JobStatus": "terminating ready failedIndexes",
    "CronJobSpec": "timeZone startingDeadlineSeconds suspend successfulJobsHistoryLimit failedJobsHistoryLimit",
    "IngressSpec": "ingressClassName",
    "HTTPIngressPath": "pathType",
    "NetworkPolicyPort": "protocol endPort",
    "IngressClassParametersReference": "apiGroup scope namespace",
    "IngressPortStatus": "error",
    "PodDisruptionBudgetSpec": "unhealthyPodEvictionPolicy",
    "TokenRequestSpec": "expirationSeconds",
    "CustomResourceDefinitionVersion": "deprecationWarning",
    "CustomResourceSubresourceScale": "labelSelectorPath",
    "JSONSchemaProps": "$ref maximum minimum maxLength minLength maxItems minItems multipleOf maxProperties "
    "minProperties x-kubernetes-preserve-unknown-fields x-kubernetes-list-type x-kubernetes-map-type",
    "ValidationRule": "reason optionalOldSelf",
    "WebhookClientConfig": "url",
    "ServiceReference": "path port",
}

# Message fields that are structs by value in Go: written even when empty.
VALUES: dict[str, str] = {
    "ServiceStatus": "loadBalancer",
    "Container": "resources",
    "EphemeralContainer": "resources",
    "ContainerStatus": "state lastState",
    "NodeStatus": "daemonEndpoints nodeInfo",
    "NodeDaemonEndpoints": "kubeletEndpoint",
    "PodTemplateSpec": "metadata spec",
    "DeploymentSpec": "template strategy",
    "ReplicaSetSpec": "template",
    "StatefulSetSpec": "template updateStrategy",
    "DaemonSetSpec": "template updateStrategy",
    "JobSpec": "template",
    "JobTemplateSpec": "metadata spec",
    "CronJobSpec": "jobTemplate",
    "Event": "source involvedObject",
    "PersistentVolumeClaimSpec": "resources",
    "IngressStatus": "loadBalancer",
    "CustomResourceDefinitionStatus": "acceptedNames",
}

# Optional scalars that Go writes even when they are zero.
WRITTEN: dict[str, str] = {
    "core.Event": "reportingComponent reportingInstance",
    "PodDisruptionBudgetStatus": "disruptionsAllowed currentHealthy desiredHealthy expectedPods",
}


class Table:
    """The table of fields and the names that it gives rise to."""

    def __init__(self) -> None:
        self.types = schema.table()

    def fields(self, name: str) -> dict[str, Any]:
        """The fields of a type as JSON has them: messages that are inlined stand unfolded."""
        return dict(schema.unfolded(name))

    def listed(self, owner: str, short: str, group: str, kind: dict[str, str]) -> set[str]:
        names = [short, f"{group}.{short}"]
        for field, facts in self.types[owner]["fields"].items():
            if field in schema.INLINED:
                names.append(facts["type"].rpartition(".")[2])
        return {field for name in names for field in kind.get(name, "").split()}


def python_name(field: str) -> str:
    return field + "_" if keyword.iskeyword(field) else field.replace("$", "").replace("-", "_")


def render_type(table: Table, full: str, imports: set[str]) -> str:
    package, _, short = full.rpartition(".")
    group = package.split(".")[-2]
    facts = table.types[full]
    pointers = table.listed(full, short, group, POINTERS)
    written = table.listed(full, short, group, WRITTEN)
    values = set(VALUES.get(short, "").split())
    gvk = facts.get("gvk")
    renamed = {python_name(f): f for f in table.fields(full) if python_name(f) != f}
    rename = f", rename={json.dumps(renamed)}" if renamed else ""
    lines = [f"class {short}(Object, frozen=True, kw_only=True{rename}):"]
    if len(lines[0]) > LINE:
        names = [f'        "{python}": "{name}",' for python, name in renamed.items()]
        options = ["    Object,", "    frozen=True,", "    kw_only=True,", "    rename={", *names, "    },"]
        lines = [f"class {short}(", *options, "):"]
    if gvk:
        version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
        lines.append(f'    kind: str = field(default_factory=lambda: "{gvk["kind"]}")')
        lines.append(f'    apiVersion: str = field(default_factory=lambda: "{version}")')
        values |= {"metadata", "spec", "status"}
    for name, field in table.fields(full).items():
        python, kind = python_name(name), field["type"]
        if kind in schema.STRINGS:
            typed = "tuple[str, ...]"
        elif kind in SCALARS:
            typed = SCALARS[kind]
            if typed in ("Time", "MicroTime", "IntOrString", "Quantity"):
                imports.add(
                    f"meta_v1:{typed}" if not full.startswith("k8s.io.apimachinery.pkg.apis.meta") else ""
                )
        else:
            owner, _, typed = kind.rpartition(".")
            if MODULES.get(owner) and owner != package:
                imports.add(f"{MODULES[owner]}:{typed}")
        required = field.get("required", False)
        if field.get("map"):
            lines.append(f"    {python}: dict[str, {typed}] = {{}}")
        elif field.get("repeated"):
            default = "field(default_factory=empty)" if required else "()"
            lines.append(f"    {python}: tuple[{typed}, ...] = {default}")
        elif kind in schema.STRINGS:
            default = "field(default_factory=empty)" if required else "()"
            lines.append(f"    {python}: {typed} = {default}")
        elif kind in SCALARS and typed in ZERO:
            if required or name in written:
                lines.append(f"    {python}: {typed} = field(default_factory={ALWAYS[typed]})")
            elif name in pointers:
                lines.append(f"    {python}: {typed} | None = None")
            else:
                lines.append(f"    {python}: {typed} = {ZERO[typed]}")
        elif typed == "Raw":
            # The text as it came: it is looked into only when fields change hands.
            lines.append(f"    {python}: Raw = Raw()")
        elif kind not in SCALARS and (name in values or (required and owner_is_value(short, name))):
            default = f"field(default_factory=lambda: {typed}())"
            if len(f"    {python}: {typed} = {default}") > LINE:
                default = f"field(\n        default_factory=lambda: {typed}()\n    )"
            lines.append(f"    {python}: {typed} = {default}")
        else:
            lines.append(f"    {python}: {typed} | None = None")
    if not lines[-1].startswith("    ") or len(lines) == 1:
        lines.append("    pass")
    return "\n".join(lines)


def owner_is_value(short: str, name: str) -> bool:
    """A required message is a struct by value, but for label selectors, which are pointers everywhere."""
    return name not in ("selector",)


def render_module(table: Table, package: str) -> str:
    imports: set[str] = set()
    names = [n for n in table.types if n.rpartition(".")[0] == package and n not in SCALARS]
    names = [n for n in names if n not in schema.STRINGS]
    names = [n for n in names if table.types[n]["fields"] or not n.endswith(("Time", "Patch"))]
    bodies = [render_type(table, n, imports) for n in names]
    head = [
        f'"""The types of {package.removeprefix("k8s.io.")}. Written by tools/generate_objects.py: change that."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    text = "\n".join(bodies)
    if "Any" in text:
        head += ["from typing import Any", ""]
    shared = [n for n in ("empty", "no", "octets", "text", "zero") if f"default_factory={n})" in text]
    used = [name for name, mark in (("Raw", ": Raw ="), ("field", "field(")) if mark in text]
    if used:
        head += [f"from msgspec import {', '.join(used)}", ""]
    wanted: dict[str, set[str]] = {}
    for entry in filter(None, imports):
        where, _, typed = entry.partition(":")
        wanted.setdefault(where, set()).add(typed)
    scalars = {t for t in ("IntOrString", "MicroTime", "Quantity", "Time") if re.search(rf"\b{t}\b", text)}
    if "meta_v1" in wanted:
        wanted["meta_v1"] -= {"IntOrString", "MicroTime", "Quantity", "Time"}
    wanted["scalars"] = {"Object", *shared, *scalars}
    for where in sorted(wanted):
        if wanted[where]:
            head.append(f"from fairlead.objects.{where} import {', '.join(sorted(wanted[where]))}")
    return "\n".join([*head, "", "", "\n\n\n".join(bodies), ""])


def main() -> int:
    table = Table()
    stale = []
    for package, module in MODULES.items():
        path = ROOM / f"{module}.py"
        text = render_module(table, package)
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path)
        else:
            path.write_text(text)
    for path in stale:
        print(f"{path} is not what {TABLE.name} says: run tools/generate_objects.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
