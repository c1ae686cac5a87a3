"""Errors as the API says them: a `Status` object with a code, a reason, a message and, for bad fields, causes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead.objects.meta_v1 import Status, StatusCause, StatusDetails


class FieldError(msgspec.Struct, frozen=True):
    """One field that breaks a rule. `path` is like `spec.ports[0].port`; `type` is a cause's reason.

    Upstream: apimachinery/pkg/util/validation/field. The types in use: FieldValueRequired, FieldValueInvalid,
    FieldValueNotSupported, FieldValueDuplicate, FieldValueForbidden, FieldValueTooLong, FieldValueTooMany,
    FieldValueNotFound, FieldValueTypeInvalid, InternalError.
    """

    type: str
    path: str
    detail: str
    value: Any = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message()}"

    def message(self) -> str:
        """The sentence upstream writes for it, without the path."""
        said = {
            "FieldValueRequired": "Required value",
            "FieldValueForbidden": "Forbidden",
            "FieldValueTooLong": "Too long",
            "InternalError": "Internal error",
        }.get(self.type)
        if said is None:
            prefix = {
                "FieldValueInvalid": "Invalid value",
                "FieldValueTooMany": "Too many",
                "FieldValueNotSupported": "Unsupported value",
                "FieldValueDuplicate": "Duplicate value",
                "FieldValueNotFound": "Not found",
                "FieldValueTypeInvalid": "Invalid value",
            }[self.type]
            said = f"{prefix}: {msgspec.json.encode(self.value).decode()}"
        return f"{said}: {self.detail}" if self.detail else said


def required(path: str, detail: str = "") -> FieldError:
    """The field has to have a value."""
    return FieldError("FieldValueRequired", path, detail)


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """The field's value breaks the rule that `detail` states."""
    return FieldError("FieldValueInvalid", path, detail, value)


def not_supported(path: str, value: Any, supported: Sequence[str]) -> FieldError:
    """The field's value is not one of a fixed set."""
    quoted = ", ".join(f'"{s}"' for s in sorted(supported))
    return FieldError("FieldValueNotSupported", path, f"supported values: {quoted}", value)


def duplicate(path: str, value: Any) -> FieldError:
    """The value may stand only once in its list."""
    return FieldError("FieldValueDuplicate", path, "", value)


def too_long(path: str, length: int) -> FieldError:
    """The field's value has more than `length` bytes; it is not repeated."""
    return FieldError("FieldValueTooLong", path, f"may not be more than {length} bytes")


def too_many(path: str, items: int, limit: int) -> FieldError:
    """The list has more than `limit` items."""
    return FieldError("FieldValueTooMany", path, f"must have at most {limit} items", items)


def immutable(path: str, value: Any) -> FieldError:
    """The field had another value before, and may not change."""
    return invalid(path, value, "field is immutable")


def forbidden(path: str, detail: str) -> FieldError:
    """The field may not be set here, or may not be changed."""
    return FieldError("FieldValueForbidden", path, detail)


class StatusError(Exception):
    """A refusal of the API. The server writes its `status` as the answer; the client raises it from one."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status

    @property
    def code(self) -> int:
        """The HTTP status: 404, 409, 422, ..."""
        return self.status.code

    @property
    def reason(self) -> str:
        """The machine-readable reason: NotFound, AlreadyExists, Conflict, Invalid, Expired, ..."""
        return self.status.reason


def failure(code: int, reason: str, message: str, *, details: StatusDetails | None = None) -> StatusError:
    """Any failure. `reason` is one of upstream's `metav1.StatusReason`s."""
    return StatusError(Status(status="Failure", code=code, reason=reason, message=message, details=details))


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, name: str, group: str = "") -> StatusError:
    """404: there is no such object."""
    return failure(
        404,
        "NotFound",
        f'{_qualified(plural, group)} "{name}" not found',
        details=StatusDetails(name=name, group=group, kind=plural),
    )


def already_exists(plural: str, name: str, group: str = "") -> StatusError:
    """409: the name is taken."""
    return failure(
        409,
        "AlreadyExists",
        f'{_qualified(plural, group)} "{name}" already exists',
        details=StatusDetails(name=name, group=group, kind=plural),
    )


def conflict(plural: str, name: str, message: str, group: str = "") -> StatusError:
    """409: the object is not the one that the request spoke of."""
    return failure(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {message}',
        details=StatusDetails(name=name, group=group, kind=plural),
    )


def unprocessable(kind: str, name: str, errors: Sequence[FieldError], group: str = "") -> StatusError:
    """422: the object breaks rules, each of them a cause with its field's path."""
    said = str(errors[0]) if len(errors) == 1 else "[" + ", ".join(str(e) for e in errors) + "]"
    causes = tuple(StatusCause(reason=e.type, message=e.message(), field=e.path) for e in errors)
    return failure(
        422,
        "Invalid",
        f'{kind}{"." + group if group else ""} "{name}" is invalid: {said}',
        details=StatusDetails(name=name, group=group, kind=kind, causes=causes),
    )


def bad_request(message: str) -> StatusError:
    """400: the request cannot be understood."""
    return failure(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: no credentials, or none that are known."""
    return failure(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> StatusError:
    """410: the resourceVersion asked for has been compacted away; list again."""
    return failure(410, "Expired", message)
