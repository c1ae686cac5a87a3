"""Pods: what is filled in for the user, and what is refused.

Upstream: SetDefaults_Pod, SetDefaults_PodSpec, ValidatePodCreate, ValidatePodUpdate; the ServiceAccount, Priority and
DefaultTolerationSeconds admission plugins; GetPodQOS.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import asdict, replace

from fairlead.objects import addresses, names, quantities
from fairlead.objects.codec import encode
from fairlead.objects.containers import (
    default_container,
    default_requests,
    validate_containers,
    validate_init_containers,
)
from fairlead.objects.core_v1 import Container, Pod, PodSecurityContext, PodSpec, Toleration
from fairlead.objects.labels import validate_labels
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, invalid, not_supported, required
from fairlead.objects.volumes import default_volume, validate_volumes

RESTART_POLICIES = ("Always", "Never", "OnFailure")
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_LENGTH = 2048

_EVICTED_AFTER = tuple(
    Toleration(
        key=f"node.kubernetes.io/{trouble}", operator="Exists", effect="NoExecute", tolerationSeconds=300
    )
    for trouble in ("not-ready", "unreachable")
)


def default(pod: Pod) -> Pod:
    """The pod with everything filled in but what its scheduler and its node decide."""
    spec, qos = _SPECS.of(pod.spec)
    status = pod.status
    if not status.phase or not status.qosClass:
        status = replace(status, phase=status.phase or "Pending", qosClass=status.qosClass or qos)
    return replace(pod, spec=spec, status=status)


def default_status(pod: Pod) -> Pod:
    """The pod with its status filled in; its spec is what it was made with."""
    status = pod.status
    if status.phase and status.qosClass:
        return pod
    qos = status.qosClass or qos_class(pod.spec)
    return replace(pod, status=replace(status, phase=status.phase or "Pending", qosClass=qos))


class Specs:
    """The last specs that were completed: pods come from templates, many of one in a row.

    A spec that is known costs its encoding and a look-up instead of the pass over all of it; whether it was found
    good is known of the completed spec, the very value.
    """

    MOST, LARGEST = 256, 4096

    def __init__(self) -> None:
        self._completed: dict[bytes, tuple[PodSpec, str]] = {}
        self._good: dict[int, PodSpec] = {}

    def of(self, spec: PodSpec) -> tuple[PodSpec, str]:
        """The completed spec, and the class of its quality of service."""
        text = encode(spec)
        known = self._completed.get(text)
        if known is not None:
            return known
        completed = _admit(default_spec(spec))
        known = completed, qos_class(completed)
        if len(text) <= self.LARGEST:
            if len(self._completed) >= self.MOST:
                self._completed.clear()
                self._good.clear()
            self._completed[text] = known
        return known

    def good(self, spec: PodSpec) -> bool:
        """Whether this very spec was judged, and nothing is wrong with it."""
        return self._good.get(id(spec)) is spec

    def judged_good(self, spec: PodSpec) -> None:
        """Nothing is wrong with it. It is kept, so that no other value gets its identity."""
        if len(self._good) >= self.MOST:
            self._good.clear()
        self._good[id(spec)] = spec


_SPECS = Specs()


def default_spec(spec: PodSpec) -> PodSpec:
    """The spec of a pod, or of a template of pods, with what every spec has. Upstream: SetDefaults_PodSpec."""
    account = spec.serviceAccountName or spec.serviceAccount
    return replace(
        spec,
        volumes=tuple(default_volume(volume) for volume in spec.volumes),
        containers=tuple(default_container(c) for c in spec.containers),
        initContainers=tuple(default_container(c) for c in spec.initContainers),
        ephemeralContainers=tuple(default_container(c) for c in spec.ephemeralContainers),
        restartPolicy=spec.restartPolicy or "Always",
        dnsPolicy=spec.dnsPolicy or "ClusterFirst",
        terminationGracePeriodSeconds=(
            30 if spec.terminationGracePeriodSeconds is None else spec.terminationGracePeriodSeconds
        ),
        schedulerName=spec.schedulerName or "default-scheduler",
        securityContext=spec.securityContext or PodSecurityContext(),
        serviceAccountName=account,
        serviceAccount=account,
    )


def _admit(spec: PodSpec) -> PodSpec:
    """The spec with what only pods get: from SetDefaults_Pod, and from the admission plugins."""
    account = spec.serviceAccountName or "default"
    return replace(
        spec,
        containers=tuple(_with_requests(c, spec) for c in spec.containers),
        initContainers=tuple(_with_requests(c, spec) for c in spec.initContainers),
        enableServiceLinks=True if spec.enableServiceLinks is None else spec.enableServiceLinks,
        serviceAccountName=account,
        serviceAccount=account,
        priority=0 if spec.priority is None else spec.priority,
        preemptionPolicy=spec.preemptionPolicy or "PreemptLowerPriority",
        tolerations=_default_tolerations(spec.tolerations),
    )


def _with_requests(container: Container, spec: PodSpec) -> Container:
    if container.resources.limits:
        container = replace(container, resources=default_requests(container.resources))
    if spec.hostNetwork:
        ports = tuple(replace(port, hostPort=port.hostPort or port.containerPort) for port in container.ports)
        container = replace(container, ports=ports)
    return container


def _default_tolerations(tolerations: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    """A pod leaves a node in trouble after five minutes, unless it says otherwise."""
    missing = tuple(
        wanted
        for wanted in _EVICTED_AFTER
        if not any(t.key in ("", wanted.key) and t.effect in ("", "NoExecute") for t in tolerations)
    )
    return tolerations + missing


def qos_class(spec: PodSpec) -> str:
    """How a node short of memory ranks the pod: Guaranteed, Burstable, BestEffort."""
    asked = guaranteed = False
    complete = True
    for container in (*spec.containers, *spec.initContainers):
        limits, requests = (_positive(container, field) for field in ("limits", "requests"))
        asked = asked or bool(limits or requests)
        guaranteed = limits.keys() == {"cpu", "memory"} and all(
            requests.get(name, amount) == amount for name, amount in limits.items()
        )
        complete = complete and guaranteed
    if not asked:
        return "BestEffort"
    return "Guaranteed" if complete else "Burstable"


def _positive(container: Container, field: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for name, quantity in getattr(container.resources, field).items():
        try:
            amount = quantities.parse(quantity)
        except ValueError:
            continue
        if name in ("cpu", "memory") and amount > 0:
            found[name] = amount
    return found


def validate(pod: Pod, old: Pod | None = None) -> list[FieldError]:
    """The errors of a pod that is created, or that replaces `old`; defaults are in it."""
    errors: list[FieldError] = []
    if old is not None:
        errors += validate_metadata_update(pod.metadata, old.metadata)
    errors += validate_metadata(pod.metadata, names.is_dns1123_subdomain)
    if not _SPECS.good(pod.spec):
        if found := validate_spec(pod.spec, "spec"):
            errors += found
        else:
            _SPECS.judged_good(pod.spec)
    if old is not None:
        errors += _validate_change(pod.spec, old.spec)
    elif pod.spec.ephemeralContainers:
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return errors


def validate_spec(spec: PodSpec, path: str) -> list[FieldError]:
    """The errors in the spec of a pod, or of a template of pods."""
    errors = validate_volumes(spec.volumes, f"{path}.volumes")
    volumes = {volume.name for volume in spec.volumes}
    host_network = spec.hostNetwork
    at = f"{path}.containers"
    errors += validate_containers(spec.containers, at, volumes, host_network=host_network)
    at = f"{path}.initContainers"
    errors += validate_init_containers(
        spec.initContainers, spec.containers, at, volumes, host_network=host_network
    )
    if spec.restartPolicy not in RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", spec.restartPolicy, RESTART_POLICIES))
    errors += _validate_dns(spec, path)
    errors += validate_labels(spec.nodeSelector, f"{path}.nodeSelector")
    for field, check in (
        ("serviceAccountName", names.is_dns1123_subdomain),
        ("nodeName", names.is_dns1123_subdomain),
        ("hostname", names.is_dns1123_label),
        ("subdomain", names.is_dns1123_label),
        ("priorityClassName", names.is_dns1123_subdomain),
    ):
        if value := getattr(spec, field):
            errors += names.wrong(check, f"{path}.{field}", value)
    grace, deadline = spec.terminationGracePeriodSeconds, spec.activeDeadlineSeconds
    if grace is not None and grace < 0:
        said = "must be greater than or equal to 0"
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, said))
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        said = names.between(1, 2**31 - 1)
        errors.append(invalid(f"{path}.activeDeadlineSeconds", deadline, said))
    for i, secret in enumerate(spec.imagePullSecrets):
        if not secret.name:
            errors.append(required(f"{path}.imagePullSecrets[{i}].name"))
    for i, alias in enumerate(spec.hostAliases):
        errors += addresses.wrong(addresses.is_ip, f"{path}.hostAliases[{i}].ip", alias.ip)
        for j, name in enumerate(alias.hostnames):
            at = f"{path}.hostAliases[{i}].hostnames[{j}]"
            errors += names.wrong(names.is_dns1123_subdomain, at, name)
    for i, gate in enumerate(spec.readinessGates):
        at = f"{path}.readinessGates[{i}].conditionType"
        errors += names.wrong(names.is_qualified_name, at, gate.conditionType)
    return errors + _validate_tolerations(spec.tolerations, f"{path}.tolerations")


def _validate_dns(spec: PodSpec, path: str) -> list[FieldError]:
    if spec.dnsPolicy not in DNS_POLICIES:
        return [not_supported(f"{path}.dnsPolicy", spec.dnsPolicy, DNS_POLICIES)]
    config = spec.dnsConfig
    path = f"{path}.dnsConfig"
    if config is None:
        said = "must provide `dnsConfig` when `dnsPolicy` is None"
        return [required(path, said)] if spec.dnsPolicy == "None" else []
    errors: list[FieldError] = []
    if spec.dnsPolicy == "None" and not config.nameservers:
        said = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        errors.append(required(f"{path}.nameservers", said))
    if len(config.nameservers) > MAX_NAMESERVERS:
        said = f"must not have more than {MAX_NAMESERVERS} nameservers"
        errors.append(invalid(f"{path}.nameservers", list(config.nameservers), said))
    for i, address in enumerate(config.nameservers):
        errors += addresses.wrong(addresses.is_ip, f"{path}.nameservers[{i}]", address)
    if len(config.searches) > MAX_SEARCHES:
        said = f"must not have more than {MAX_SEARCHES} search paths"
        errors.append(invalid(f"{path}.searches", list(config.searches), said))
    if len(" ".join(config.searches)) > MAX_SEARCH_LENGTH:
        said = f"must not have more than {MAX_SEARCH_LENGTH} characters (including spaces) in the search list"
        errors.append(invalid(f"{path}.searches", list(config.searches), said))
    for i, search in enumerate(config.searches):
        # A lone dot is the root, and underscores are for SRV-like names (RelaxedDNSSearchValidation).
        if search != ".":
            name = search.removesuffix(".").replace("_", "a")
            found = names.is_dns1123_subdomain(name)
            errors += [invalid(f"{path}.searches[{i}]", search, said) for said in found]
    for i, option in enumerate(config.options):
        if not option.name:
            errors.append(required(f"{path}.options[{i}]", "must not be empty"))
    return errors


def _validate_tolerations(tolerations: tuple[Toleration, ...], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, toleration in enumerate(tolerations):
        at = f"{path}[{i}]"
        if toleration.key:
            errors += names.wrong(names.is_qualified_name, f"{at}.key", toleration.key)
        elif toleration.operator != "Exists":
            said = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{at}.operator", toleration.operator, said))
        if toleration.tolerationSeconds is not None and toleration.effect != "NoExecute":
            said = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{at}.effect", toleration.effect, said))
        if toleration.operator in ("", "Equal"):
            if said_of := names.is_label_value(toleration.value):
                errors.append(invalid(f"{at}.operator", toleration.value, ";".join(said_of)))
        elif toleration.operator == "Exists":
            if toleration.value:
                said = "value must be empty when `operator` is 'Exists'"
                errors.append(invalid(f"{at}.operator", toleration, said))
        else:
            errors.append(not_supported(f"{at}.operator", toleration.operator, ("Equal", "Exists")))
        if toleration.effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
            effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
            errors.append(not_supported(f"{at}.effect", toleration.effect, effects))
    return errors


def _validate_change(spec: PodSpec, old: PodSpec) -> list[FieldError]:
    """A pod is what it was made as, but for its images, its deadline and more tolerations."""
    errors: list[FieldError] = []
    for field in ("containers", "initContainers"):
        if len(getattr(spec, field)) != len(getattr(old, field)):
            return [forbidden(f"spec.{field}", "pod updates may not add or remove containers")]
    if spec.activeDeadlineSeconds is None and old.activeDeadlineSeconds is not None:
        said = "must not update from a positive integer to nil value"
        errors.append(invalid("spec.activeDeadlineSeconds", None, said))
    elif (spec.activeDeadlineSeconds or 0) > (old.activeDeadlineSeconds or 2**31):
        said = "must be less than or equal to previous value"
        errors.append(invalid("spec.activeDeadlineSeconds", spec.activeDeadlineSeconds, said))
    kept = {replace(toleration, tolerationSeconds=None) for toleration in spec.tolerations}
    if any(replace(toleration, tolerationSeconds=None) not in kept for toleration in old.tolerations):
        said = "existing toleration can not be modified except its tolerationSeconds"
        errors.append(forbidden("spec.tolerations", said))
    removed_gates = set(spec.schedulingGates) <= set(old.schedulingGates)
    munged = replace(
        spec,
        containers=_with_images(spec.containers, old.containers),
        initContainers=_with_images(spec.initContainers, old.initContainers),
        activeDeadlineSeconds=old.activeDeadlineSeconds,
        tolerations=old.tolerations,
        schedulingGates=old.schedulingGates if removed_gates else spec.schedulingGates,
    )
    if munged != old:
        errors.append(forbidden("spec", _CHANGEABLE + _difference(munged, old)))
    return errors


_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _with_images(containers: tuple[Container, ...], old: tuple[Container, ...]) -> tuple[Container, ...]:
    return tuple(replace(new, image=was.image) for new, was in zip(containers, old, strict=True))


def _difference(new: PodSpec, old: PodSpec) -> str:
    """The fields that changed, old and new, a line each."""
    before, after = asdict(old), asdict(new)
    changed = [field for field in before if before[field] != after[field]]
    return "".join(f"\n- {field}: {before[field]}\n+ {field}: {after[field]}" for field in changed)


def validate_status(pod: Pod, old: Pod) -> list[FieldError]:
    """The errors in a change of a pod's status."""
    errors = validate_metadata_update(pod.metadata, old.metadata)
    if pod.spec.nodeName != old.spec.nodeName:
        errors.append(forbidden("status.nodeName", "may not be changed directly"))
    if pod.status.nominatedNodeName:
        path = "status.nominatedNodeName"
        errors += names.wrong(names.is_dns1123_subdomain, path, pod.status.nominatedNodeName)
    for i, podIP in enumerate(pod.status.podIPs):
        errors += addresses.wrong(addresses.is_ip, f"status.podIPs[{i}]", podIP.ip)
    return errors
