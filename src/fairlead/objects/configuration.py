"""ConfigMaps, Secrets, ServiceAccounts: what is filled in for the user, and what is refused.

Upstream: pkg/apis/core/validation/validation.go (ValidateConfigMap, ValidateSecret, ValidateServiceAccount).
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from fairlead.objects import names
from fairlead.objects.core_v1 import ConfigMap, Secret, ServiceAccount
from fairlead.objects.metadata import unchanged, validate_metadata, validate_metadata_update
from fairlead.objects.status import FieldError, forbidden, invalid, required, too_long

MAX_SIZE = 1024 * 1024
"""The limit on the data of one object, in bytes."""

_FROZEN = "field is immutable when `immutable` is set"


def default_secret(secret: Secret) -> Secret:
    """The Secret with its type, and with `stringData` taken over into `data`."""
    data = {**secret.data, **{key: text.encode() for key, text in secret.stringData.items()}}
    return replace(secret, type=secret.type or "Opaque", data=data, stringData={})


def validate_configmap(configmap: ConfigMap, old: ConfigMap | None = None) -> list[FieldError]:
    """The errors of a ConfigMap that is created, or that replaces `old`."""
    errors: list[FieldError] = []
    if old is not None:
        errors += validate_metadata_update(configmap.metadata, old.metadata)
        if old.immutable:
            if not configmap.immutable:
                errors.append(forbidden("immutable", _FROZEN))
            if configmap.data != old.data:
                errors.append(forbidden("data", _FROZEN))
            if configmap.binaryData != old.binaryData:
                errors.append(forbidden("binaryData", _FROZEN))
    errors += validate_metadata(configmap.metadata, names.is_dns1123_subdomain)
    for key in configmap.data:
        errors += [invalid(f"data[{key}]", key, said) for said in names.is_config_key(key)]
        if key in configmap.binaryData:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in configmap.binaryData:
        errors += [invalid(f"binaryData[{key}]", key, said) for said in names.is_config_key(key)]
    size = sum(len(text.encode()) for text in configmap.data.values())
    size += sum(len(content) for content in configmap.binaryData.values())
    if size > MAX_SIZE:
        errors.append(too_long("", MAX_SIZE))
    return errors


def validate_secret(secret: Secret, old: Secret | None = None) -> list[FieldError]:
    """The errors of a Secret that is created, or that replaces `old`."""
    errors: list[FieldError] = []
    if old is not None:
        errors += validate_metadata_update(secret.metadata, old.metadata)
        errors += unchanged(secret.type, old.type, "type")
        if old.immutable:
            if not secret.immutable:
                errors.append(forbidden("immutable", _FROZEN))
            if secret.data != old.data:
                errors.append(forbidden("data", _FROZEN))
    errors += validate_metadata(secret.metadata, names.is_dns1123_subdomain)
    for key in secret.data:
        errors += [invalid(f"data[{key}]", key, said) for said in names.is_config_key(key)]
    if sum(len(content) for content in secret.data.values()) > MAX_SIZE:
        errors.append(too_long("data", MAX_SIZE))
    return errors + _validate_type(secret)


def _validate_type(secret: Secret) -> list[FieldError]:
    """The errors in the keys that a type of Secret promises."""
    match secret.type:
        case "kubernetes.io/service-account-token":
            account = "kubernetes.io/service-account.name"
            if not secret.metadata.annotations.get(account):
                return [required(f"metadata.annotations[{account}]")]
        case "kubernetes.io/dockercfg":
            return _validate_json(secret, ".dockercfg")
        case "kubernetes.io/dockerconfigjson":
            return _validate_json(secret, ".dockerconfigjson")
        case "kubernetes.io/basic-auth":
            if not secret.data.keys() & {"username", "password"}:
                return [required("data[username]"), required("data[password]")]
        case "kubernetes.io/ssh-auth":
            if not secret.data.get("ssh-privatekey"):
                return [required("data[ssh-privatekey]")]
        case "kubernetes.io/tls":
            return [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in secret.data]
    return []


def _validate_json(secret: Secret, key: str) -> list[FieldError]:
    if key not in secret.data:
        return [required(f"data[{key}]")]
    try:
        msgspec.json.decode(secret.data[key], type=dict)
    except msgspec.MsgspecError as error:
        return [invalid(f"data[{key}]", "<secret contents redacted>", str(error))]
    return []


def validate_serviceaccount(account: ServiceAccount, old: ServiceAccount | None = None) -> list[FieldError]:
    """The errors of a ServiceAccount that is created, or that replaces `old`."""
    errors = validate_metadata_update(account.metadata, old.metadata) if old is not None else []
    return errors + validate_metadata(account.metadata, names.is_dns1123_subdomain)
