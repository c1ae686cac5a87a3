"""IngressClasses: what is filled in for the user, and what is refused. Upstream: pkg/apis/networking/validation."""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.objects import names
from fairlead.objects.core_v1 import TypedLocalObjectReference
from fairlead.objects.ingresses import validate_reference
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.networking_v1 import IngressClass, IngressClassParametersReference
from fairlead.objects.status import FieldError, forbidden, not_supported, required, too_long

MAX_CONTROLLER = 250
SCOPES = ("Cluster", "Namespace")


def default(ingress_class: IngressClass) -> IngressClass:
    """The class with the scope of its parameters."""
    spec = ingress_class.spec
    if spec.parameters is None or spec.parameters.scope is not None:
        return ingress_class
    return replace(ingress_class, spec=replace(spec, parameters=replace(spec.parameters, scope="Cluster")))


def validate(ingress_class: IngressClass, old: IngressClass | None = None) -> list[FieldError]:
    """The errors of a class that is created, or that replaces `old`: its controller never changes."""
    spec = ingress_class.spec
    errors: list[FieldError] = []
    if old is not None:
        errors += validate_metadata_update(ingress_class.metadata, old.metadata)
        errors += unchanged(spec.controller, old.spec.controller, "spec.controller")
    errors += validate_metadata(ingress_class.metadata, names.is_dns1123_subdomain, namespaced=False)
    if len(spec.controller) > MAX_CONTROLLER:
        errors.append(too_long("spec.controller", MAX_CONTROLLER))
    errors += names.validate_domain_path(spec.controller, "spec.controller")
    if spec.parameters is not None:
        errors += _validate_parameters(spec.parameters, "spec.parameters")
    return errors


def _validate_parameters(to: IngressClassParametersReference, path: str) -> list[FieldError]:
    plain = TypedLocalObjectReference(apiGroup=to.apiGroup, kind=to.kind, name=to.name)
    errors = validate_reference(plain, path)
    match to.scope:
        case None:
            errors.append(required(f"{path}.scope"))
        case "Namespace":
            if to.namespace is None:
                errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
            else:
                errors += names.wrong(names.is_dns1123_label, f"{path}.namespace", to.namespace)
        case "Cluster":
            if to.namespace is not None:
                errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
        case _:
            errors.append(not_supported(f"{path}.scope", to.scope, SCOPES))
    return errors
