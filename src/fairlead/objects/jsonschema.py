"""Values judged by the schema of a custom resource, in upstream's words.

Upstream: kube-openapi/pkg/validation/validate, and apiextensions-apiserver/pkg/apiserver/validation, which makes
field errors of what it finds. What a junctor (anyOf, oneOf, allOf, not) finds has no path there, which is shown as
`<nil>`; so it is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from fairlead.objects import formats
from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.jsonvalues import Json, equal, kind_of
from fairlead.objects.pruning import items_of
from fairlead.objects.status import FieldError, invalid, not_supported, required, too_long, too_many

NOWHERE = "<nil>"
INT_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "": (-(1 << 63), (1 << 63) - 1)}


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """A pattern as Go's regexp has it: RE2, which takes time proportional to the text. Raises ValueError."""
    # Loaded by the first pattern: it takes 15 ms and 3 MB, and most processes never see one.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        said = error.args[0] if error.args else b""
        raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None


class _Absent:
    """Stands for the old value where there was none."""


ABSENT = _Absent()

MOST_ERRORS = 1000
"""Errors that are told of one value: who has more of them has read enough."""

MOST_CHECKS = 4_000_000
"""Values that are held against schemas for one object: more than two for every byte of it, some 8 s of work."""

MOST_OPTIONS = 100
"""Options of an enum that its error names."""


class TooExpensive(Exception):
    """The checks are used up."""


class Checks:
    """How many checks there may be still. A junctor may ask of every item what its many alternatives say."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_CHECKS

    def take(self) -> None:
        """One more. Raises TooExpensive."""
        self.left -= 1
        if self.left < 0:
            raise TooExpensive


def validate(value: Json, schema: JSONSchemaProps, path: str = "", old: Json = ABSENT) -> list[FieldError]:
    """What the schema has against a value. The path is that of the value in its object.

    Where an old value is given, what has not changed since is not judged: a schema may have become stricter. Lists that
    are maps are compared item by item, other lists as a whole.
    """
    checks = Checks()
    found: list[FieldError] = []
    try:
        found += islice(_check(value, schema, path, checks, old), MOST_ERRORS + 1)
    except TooExpensive:
        said = f"the schema asks too much of so large a value: more than {MOST_CHECKS} checks"
        return [invalid(path or NOWHERE, "", said)]
    if found[MOST_ERRORS:]:
        found[MOST_ERRORS] = invalid(path or NOWHERE, "", f"has more errors than these {MOST_ERRORS}")
    return found


def _valid(value: Json, schema: JSONSchemaProps, checks: Checks) -> bool:
    return next(_check(value, schema, "", checks), None) is None


def _check(
    value: Json, schema: JSONSchemaProps, path: str, checks: Checks, old: Json = ABSENT
) -> Iterator[FieldError]:
    checks.take()
    if old is not ABSENT and equal(value, old):
        return
    wrong = _type(value, schema, path)
    if wrong is not None:
        yield wrong
    if value is None:
        yield from _enum(value, schema, path)
        return
    yield from _junctors(value, schema, path, checks)
    match value:
        case str():
            yield from _text(value, schema, path)
        case bool():
            pass
        case int() | float():
            yield from _number(value, schema, path)
        case list():
            yield from _list(value, schema, path, checks, old)
    yield from _enum(value, schema, path)
    if isinstance(value, dict):
        yield from _object(value, schema, path, checks, old)


def _said(path: str, rest: str) -> str:
    return f"{path} in body {rest}"


def _type(value: Json, schema: JSONSchemaProps, path: str) -> FieldError | None:
    wanted = ("integer", "string") if schema.x_kubernetes_int_or_string else (schema.type,)
    if wanted == ("",):
        return None
    found = kind_of(value)
    if found in wanted or (found == "null" and schema.nullable):
        return None
    if "number" in wanted and found == "integer":
        return None
    if "integer" in wanted and found == "number" and value.is_integer():
        return None
    said = _said(path, f'must be of type {",".join(wanted)}: "{found}"')
    return FieldError("FieldValueTypeInvalid", path or NOWHERE, said, found)


def _enum(value: Json, schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    if schema.enum and not _among(value, schema.enum):
        named = schema.enum[:MOST_OPTIONS]
        options = [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in named]
        yield not_supported(path or NOWHERE, value, options)


FEW = 8
"""Options that are compared one by one."""


def _among(value: Json, options: Sequence[Json]) -> bool:
    """Whether the value is one of the options."""
    if isinstance(value, dict | list) or len(options) <= FEW:
        return any(equal(value, option) for option in options)
    return (isinstance(value, bool), value) in _scalars(options)


_SCALARS: dict[int, tuple[Sequence[Json], frozenset[tuple[bool, Json]]]] = {}
_MOST_SCALARS = 256


def _scalars(options: Sequence[Json]) -> frozenset[tuple[bool, Json]]:
    """The scalars among options, each with whether it is a boolean, which Python takes for a number."""
    known = _SCALARS.get(id(options))
    if known is None or known[0] is not options:
        if len(_SCALARS) >= _MOST_SCALARS:
            _SCALARS.clear()
        scalars = (one for one in options if not isinstance(one, dict | list))
        known = _SCALARS[id(options)] = (options, frozenset((isinstance(one, bool), one) for one in scalars))
    return known[1]


def _text(value: str, schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    if schema.maxLength is not None and len(value) > schema.maxLength:
        yield too_long(path, schema.maxLength)
    elif schema.minLength is not None and len(value) < schema.minLength:
        yield invalid(path, value, _said(path, f"should be at least {schema.minLength} chars long"))
    elif schema.pattern and not _matches(schema.pattern, value):
        yield invalid(path, value, _said(path, f"should match '{schema.pattern}'"))
    if schema.format and schema.type in ("string", ""):
        check = formats.check(schema.format)
        if check is not None and not check(value):
            said = _said(path, f'must be of type {schema.format}: "{value}"')
            yield FieldError("FieldValueTypeInvalid", path, said, value)


def _matches(pattern: str, value: str) -> bool:
    try:
        return compiled(pattern).search(value) is not None
    except ValueError:
        return False


def _number(value: int | float, schema: JSONSchemaProps, path: str) -> Iterator[FieldError]:
    if schema.type == "integer":
        low, high = INT_RANGES.get(schema.format, INT_RANGES[""])
        if not low <= value <= high:
            kind = f"with format {schema.format}" if schema.format else "(default format)"
            yield invalid(NOWHERE, "", f"Checked value must be of type integer {kind} in {path}")
    if schema.multipleOf and not _is_multiple(value, schema.multipleOf):
        yield invalid(path, value, _said(path, f"should be a multiple of {_shown(schema.multipleOf)}"))
    if (most := schema.maximum) is not None and (value > most or (schema.exclusiveMaximum and value == most)):
        than = "less than" if schema.exclusiveMaximum else "less than or equal to"
        yield invalid(path, value, _said(path, f"should be {than} {_shown(most)}"))
    if (least := schema.minimum) is not None and (
        value < least or (schema.exclusiveMinimum and value == least)
    ):
        than = "greater than" if schema.exclusiveMinimum else "greater than or equal to"
        yield invalid(path, value, _said(path, f"should be {than} {_shown(least)}"))


def _is_multiple(value: int | float, of: int | float) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    try:
        quotient = float(value) / float(of)
    except OverflowError:
        return False
    return abs(quotient - round(quotient)) < 1e-9 if abs(quotient) < 1e300 else True


def _shown(number: int | float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _list(
    value: list[Json], schema: JSONSchemaProps, path: str, checks: Checks, old: Json
) -> Iterator[FieldError]:
    items = items_of(schema)
    if items is not None:
        before = _by_keys(old, schema.x_kubernetes_list_map_keys)
        for i, item in enumerate(value):
            was = before.get(_keys(item, schema.x_kubernetes_list_map_keys), ABSENT) if before else ABSENT
            yield from _check(item, items, f"{path}[{i}]", checks, was)
    size = len(value)
    if schema.minItems is not None and size < schema.minItems:
        yield invalid(path, size, _said(path, f"should have at least {schema.minItems} items"))
    if schema.maxItems is not None and size > schema.maxItems:
        yield too_many(path, size, schema.maxItems)


def _keys(item: Json, names: Sequence[str]) -> bytes:
    """By what an item of a list that is a map is found again."""
    return msgspec.json.encode([item.get(name) if isinstance(item, dict) else item for name in names])


def _by_keys(items: Json, names: Sequence[str]) -> dict[bytes, Json]:
    return {_keys(item, names): item for item in items} if names and isinstance(items, list) else {}


def _object(
    value: dict[str, Json], schema: JSONSchemaProps, path: str, checks: Checks, old: Json
) -> Iterator[FieldError]:
    size = len(value)
    if schema.minProperties is not None and size < schema.minProperties:
        yield invalid(
            path or NOWHERE, size, _said(path, f"should have at least {schema.minProperties} properties")
        )
        return
    if schema.maxProperties is not None and size > schema.maxProperties:
        yield too_many(path or NOWHERE, size, schema.maxProperties)
        return
    additional = schema.additionalProperties
    for name, member in value.items():
        of = schema.properties.get(name)
        if of is None and isinstance(additional, JSONSchemaProps):
            of = additional
        here = f"{path}.{name}" if path else name
        if of is not None:
            was = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
            yield from _check(member, of, here, checks, was)
        elif additional is False:
            yield invalid(path or NOWHERE, name, f"{here} in body is a forbidden property")
    for name in schema.required:
        if name not in value:
            yield required(f"{path}.{name}" if path else name)


def _errors(value: Json, schema: JSONSchemaProps, path: str, checks: Checks) -> list[FieldError]:
    return list(islice(_check(value, schema, path, checks), MOST_ERRORS))


def _junctors(value: Json, schema: JSONSchemaProps, path: str, checks: Checks) -> Iterator[FieldError]:
    quoted = f'"{path}"'
    if schema.anyOf:
        found = [_errors(value, option, path, checks) for option in schema.anyOf]
        if all(found):
            yield invalid(NOWHERE, "", f"{quoted} must validate at least one schema (anyOf)")
            yield from min(found, key=len)
    if schema.oneOf:
        found = [_errors(value, option, path, checks) for option in schema.oneOf]
        good = sum(not errors for errors in found)
        if good != 1:
            said = f"Found {good} valid alternatives" if good else "Found none valid"
            yield invalid(NOWHERE, "", f"{quoted} must validate one and only one schema (oneOf). {said}")
            if not good:
                yield from min(found, key=len)
    if schema.allOf:
        found = [_errors(value, option, path, checks) for option in schema.allOf]
        for errors in found:
            yield from errors
        if any(found):
            said = ". None validated" if all(found) else ""
            yield invalid(NOWHERE, "", f"{quoted} must validate all the schemas (allOf){said}")
    if schema.not_ is not None and _valid(value, schema.not_, checks):
        yield invalid(NOWHERE, "", f"{quoted} must not validate the schema (not)")
