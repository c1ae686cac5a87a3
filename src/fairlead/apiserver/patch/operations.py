"""JSON patches: lists of operations on paths (RFC 6902, RFC 6901). The sentences are those of upstream's library."""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.apiserver.patch.errors import MalformedPatch, PatchError, TooManyOperations
from fairlead.objects.jsonvalues import Json, equal

MAX_OPERATIONS = 10_000


def json_patch(document: Json, operations: Json) -> Json:
    """RFC 6902: the operations applied one after the other, or none of them.

    Raises `MalformedPatch` where they are no such list, and `PatchError` where one does not apply or a test fails.
    """
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise MalformedPatch("json: cannot unmarshal patch into a list of operations")
    if len(operations) > MAX_OPERATIONS:
        said = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise TooManyOperations(said)
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Json, operation: Mapping[str, Json]) -> Json:
    kind = operation.get("op")
    path = operation.get("path")
    if not isinstance(path, str):
        raise MalformedPatch("jsonpatch operation has no path")
    match kind:
        case "add" | "replace" | "test" if "value" not in operation and kind != "test":
            raise MalformedPatch(f"jsonpatch {kind} operation for {path} has no value")
        case "add":
            return _changed(document, path, "add", operation["value"])
        case "remove":
            return _changed(document, path, "remove", None)
        case "replace":
            return _changed(document, path, "replace", operation["value"])
        case "test":
            found = _value(document, path, missing=None)
            if not equal(found, operation.get("value")):
                raise PatchError(f"testing value {path} failed: test failed")
            return document
        case "move" | "copy":
            source = operation.get("from")
            if not isinstance(source, str):
                raise MalformedPatch(f"jsonpatch {kind} operation for {path} has no from")
            value = _value(document, source, missing=_MISSING)
            if value is _MISSING:
                said = f"{kind} operation does not apply: doc is missing from path: {source}: missing value"
                raise PatchError(said)
            if kind == "move":
                document = _changed(document, source, "remove", None)
            return _changed(document, path, "add", value)
    raise PatchError(f"Unexpected kind: {kind}")


_MISSING = object()


def _steps(path: str) -> list[str]:
    """The reference steps of a JSON pointer (RFC 6901)."""
    if path and not path.startswith("/"):
        raise PatchError(f'doc is missing path: "{path}": missing value')
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _value(document: Json, path: str, *, missing: Json) -> Json:
    for step in _steps(path):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return missing
    return document


def _changed(document: Json, path: str, kind: str, value: Json) -> Json:
    """A copy of the document, as deep as the path goes, with the change at its end."""
    steps = _steps(path)
    if not steps:
        return None if kind == "remove" else value
    return _changed_at(document, steps, path, kind, value)


def _changed_at(document: Json, steps: list[str], path: str, kind: str, value: Json) -> Json:
    step, rest = steps[0], steps[1:]
    if isinstance(document, dict):
        copied = dict(document)
        if rest:
            if step not in copied:
                raise _missing_path(kind, path)
            copied[step] = _changed_at(copied[step], rest, path, kind, value)
        elif kind == "add":
            copied[step] = value
        elif step not in copied:
            raise _missing_key(kind, path, step)
        elif kind == "replace":
            copied[step] = value
        else:
            del copied[step]
        return copied
    if isinstance(document, list):
        items = list(document)
        if rest:
            at = _index(step, len(items), path, kind)
            items[at] = _changed_at(items[at], rest, path, kind, value)
        elif kind == "add":
            at = len(items) if step == "-" else _index(step, len(items) + 1, path, kind)
            items.insert(at, value)
        else:
            at = _index(step, len(items), path, kind)
            items[at : at + 1] = [value] if kind == "replace" else []
        return items
    raise _missing_path(kind, path)


def _index(step: str, size: int, path: str, kind: str) -> int:
    if not step.isascii() or not step.isdigit() or (step[0] == "0" and step != "0"):
        raise PatchError(f"error in {kind} for path: '{path}': invalid array index: {step}")
    if int(step) >= size:
        said = f"Unable to access invalid index: {step}: invalid index referenced"
        raise PatchError(f"error in {kind} for path: '{path}': {said}")
    return int(step)


def _missing_path(kind: str, path: str) -> PatchError:
    return PatchError(f'{kind} operation does not apply: doc is missing path: "{path}": missing value')


def _missing_key(kind: str, path: str, step: str) -> PatchError:
    if kind == "remove":
        said = f"Unable to remove nonexistent key: {step}: missing value"
        return PatchError(f"error in remove for path: '{path}': {said}")
    return PatchError(f"{kind} operation does not apply: doc is missing key: {path}: missing value")
