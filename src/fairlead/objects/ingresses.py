"""Ingresses: what is refused. Nothing here serves them. Upstream: pkg/apis/networking/validation."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.objects import addresses, names
from fairlead.objects.core_v1 import TypedLocalObjectReference
from fairlead.objects.metadata import validate_metadata, validate_metadata_update
from fairlead.objects.networking_v1 import (
    HTTPIngressPath,
    Ingress,
    IngressBackend,
    IngressRule,
    IngressServiceBackend,
    IngressSpec,
)
from fairlead.objects.status import FieldError, invalid, not_supported, required

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
BAD_ENDS = ("/..", "/.")
NO_ADDRESS = "must be a DNS name, not an IP address"


def validate(ingress: Ingress, old: Ingress | None = None) -> list[FieldError]:
    """The errors of an Ingress that is created, or that replaces `old`."""
    errors = validate_metadata_update(ingress.metadata, old.metadata) if old is not None else []
    errors += validate_metadata(ingress.metadata, names.is_dns1123_subdomain)
    errors += _validate_spec(ingress.spec)
    given, name = ingress.metadata.annotations.get(CLASS_ANNOTATION), ingress.spec.ingressClassName
    if old is None and None not in (given, name) and given != name:
        said = "must match `ingressClassName` when both are specified"
        errors.append(invalid(f"annotations.{CLASS_ANNOTATION}", given, said))
    return errors


def _validate_spec(spec: IngressSpec) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.rules and spec.defaultBackend is None:
        errors.append(invalid("spec", [], "either `defaultBackend` or `rules` must be specified"))
    if spec.defaultBackend is not None:
        errors += _validate_backend(spec.defaultBackend, "spec.defaultBackend")
    for i, rule in enumerate(spec.rules):
        errors += _validate_rule(rule, f"spec.rules[{i}]")
    for i, tls in enumerate(spec.tls):
        for j, host in enumerate(tls.hosts):
            errors += _validate_host(host, f"spec.tls[{i}].hosts[{j}]")
        if tls.secretName:
            errors += names.wrong(names.is_dns1123_subdomain, f"spec.tls[{i}].secretName", tls.secretName)
    if spec.ingressClassName is not None:
        errors += names.wrong(names.is_dns1123_subdomain, "spec.ingressClassName", spec.ingressClassName)
    return errors


def _validate_host(host: str, path: str) -> list[FieldError]:
    check = names.is_wildcard_subdomain if "*" in host else names.is_dns1123_subdomain
    return names.wrong(check, path, host)


def _validate_rule(rule: IngressRule, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if rule.host:
        if addresses.packed(rule.host) is not None:
            errors.append(invalid(f"{path}.host", rule.host, NO_ADDRESS))
        errors += _validate_host(rule.host, f"{path}.host")
    if rule.http is not None:
        if not rule.http.paths:
            errors.append(required(f"{path}.http.paths"))
        for i, one in enumerate(rule.http.paths):
            errors += _validate_path(one, f"{path}.http.paths[{i}]")
    return errors


def _validate_path(path: HTTPIngressPath, at: str) -> list[FieldError]:
    if not path.pathType:
        return [required(f"{at}.pathType", "pathType must be specified")]
    errors: list[FieldError] = []
    if path.pathType not in PATH_TYPES:
        errors.append(not_supported(f"{at}.pathType", path.pathType, PATH_TYPES))
    else:
        exact = path.pathType != "ImplementationSpecific"
        errors += [invalid(f"{at}.path", path.path, said) for said in _wrong_with(path.path, exact)]
    return errors + _validate_backend(path.backend, f"{at}.backend")


def _wrong_with(path: str, exact: bool) -> Iterator[str]:
    if (exact or path) and not path.startswith("/"):
        yield "must be an absolute path"
    if exact:
        yield from (f"must not contain '{sequence}'" for sequence in BAD_SEQUENCES if sequence in path)
        yield from (f"cannot end with '{end}'" for end in BAD_ENDS if path.endswith(end))


def _validate_backend(backend: IngressBackend, path: str) -> list[FieldError]:
    if backend.resource is not None:
        if backend.service is not None:
            return [invalid(path, "", "cannot set both resource and service backends")]
        return validate_reference(backend.resource, f"{path}.resource")
    if backend.service is None:
        return [invalid(path, "", "resource or service backend is required")]
    return _validate_service(backend.service, path)


def _validate_service(service: IngressServiceBackend, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not service.name:
        errors.append(required(f"{path}.service.name"))
    else:
        errors += names.wrong(names.is_dns1123_label, f"{path}.service.name", service.name)
    name = service.port.name if service.port is not None else ""
    number = service.port.number if service.port is not None else 0
    at = f"{path}.service.port"
    if name and number:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif name:
        errors += names.wrong(names.is_port_name, f"{at}.name", name)
    elif number:
        errors += [invalid(f"{at}.number", number, said) for said in names.is_port_number(number)]
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def validate_reference(to: TypedLocalObjectReference, path: str) -> list[FieldError]:
    """The errors in a reference to an object of any kind."""
    errors: list[FieldError] = []
    if to.apiGroup is not None:
        errors += names.wrong(names.is_dns1123_subdomain, f"{path}.apiGroup", to.apiGroup)
    for field, value in (("kind", to.kind), ("name", to.name)):
        if not value:
            errors.append(required(f"{path}.{field}", f"{field} is required"))
        else:
            errors += names.wrong(names.is_path_segment, f"{path}.{field}", value)
    return errors


def validate_status(ingress: Ingress, old: Ingress) -> list[FieldError]:
    """The errors in a change of an Ingress' status."""
    errors = validate_metadata_update(ingress.metadata, old.metadata)
    known = {one.ip for one in old.status.loadBalancer.ingress}
    for i, one in enumerate(ingress.status.loadBalancer.ingress):
        path = f"status.loadBalancer.ingress[{i}]"
        if one.ip:
            errors += addresses.wrong(addresses.is_ip, f"{path}.ip", one.ip, old=known)
        if one.hostname:
            errors += names.wrong(names.is_dns1123_subdomain, f"{path}.hostname", one.hostname)
            if addresses.packed(one.hostname) is not None:
                errors.append(invalid(f"{path}.hostname", one.hostname, NO_ADDRESS))
    return errors
