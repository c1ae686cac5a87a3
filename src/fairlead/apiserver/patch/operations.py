"""JSON patches: lists of operations on paths (RFC 6902, RFC 6901). The sentences are those of upstream's library."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fairlead.apiserver.patch.errors import MalformedPatch, PatchError, TooManyOperations
from fairlead.apiserver.patch.gotext import go_type
from fairlead.objects.jsonvalues import Json, copied, equal

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 << 20
"""Bytes that all `copy` operations of a patch may add (upstream: JSONPatchMaxCopyBytes)."""

KINDS = ("add", "remove", "replace", "move", "test", "copy")

_MISSING = object()
_FIELDS = {"op": "string", "path": "string", "from": "string"}


def json_patch(document: Json, operations: Json) -> Json:
    """RFC 6902: the operations applied one after the other, or none of them.

    Raises `MalformedPatch` where they are no such list, and `PatchError` where one does not apply or a test fails.
    """
    check(operations)
    state = _State(copied(document))
    for operation in operations:
        state.apply(operation)
    return state.document


def check(operations: Json) -> None:
    """Raises `MalformedPatch` or `TooManyOperations` for what is no list of operations."""
    if not isinstance(operations, list):
        raise MalformedPatch(
            f"json: cannot unmarshal {_json_type(operations)} into Go value of type jsonpatch.Patch"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            said = f"json: cannot unmarshal {_json_type(operation)} into Go value of type jsonpatch.Operation"
            raise MalformedPatch(said)
        for name in _FIELDS:
            value = operation.get(name)
            if value is not None and not isinstance(value, str):
                raise MalformedPatch(
                    f"error decoding patch: json: cannot unmarshal {_json_type(value)} into Go struct field "
                    f"jsonPatchOp.{name} of type string"
                )
    if len(operations) > MAX_OPERATIONS:
        said = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise TooManyOperations(said)


def _json_type(value: Json) -> str:
    """What Go calls the kind of a JSON value."""
    of = go_type(value)
    return {"map[string]interface {}": "object", "[]interface {}": "array", "<nil>": "null"}.get(
        of, {"int64": "number", "float64": "number"}.get(of, of)
    )


class _State:
    """A document of our own while operations change it in place."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._copied = 0

    def apply(self, operation: Mapping[str, Json]) -> None:
        """One operation. Raises `PatchError`."""
        kind = operation.get("op") or "unknown"
        if kind not in KINDS:
            raise PatchError(f"Unexpected kind: {kind}")
        path = _given(operation, kind, "path")
        match kind:
            case "add" | "replace":
                # Absent and null are the same to Go.
                self._change(path, kind, copied(operation.get("value")))
            case "remove":
                self._change(path, kind, None)
            case "test":
                found = _value(self.document, path)
                wanted = operation.get("value")
                if not equal(None if found is _MISSING else found, wanted):
                    raise PatchError(f"testing value {path} failed: test failed")
            case "move" | "copy":
                self._transfer(kind, _given(operation, kind, "from"), path)

    def _transfer(self, kind: str, source: str, path: str) -> None:
        value = _value(self.document, source)
        if value is _MISSING:
            raise PatchError(
                f"{kind} operation does not apply: doc is missing from path: {source}: missing value"
            )
        if kind == "move":
            if f"{path}/".startswith(f"{source}/") and path != source:
                raise PatchError(f"{kind} operation does not apply: {source} cannot be moved into itself")
            self._change(source, "remove", None)
        else:
            text = msgspec.json.encode(value)
            self._copied += len(text)
            if self._copied > MAX_COPIED:
                raise PatchError(
                    "Unable to complete the copy, the accumulated size increase of copy is "
                    f"{self._copied}, exceeding the limit {MAX_COPIED}"
                )
            value = msgspec.json.decode(text)
        self._change(path, "add", value)

    def _change(self, path: str, kind: str, value: Json) -> None:
        steps = _steps(path)
        if not steps:
            self.document = None if kind == "remove" else value
            return
        holder = self.document
        for step in steps[:-1]:
            holder = _member(holder, step)
            if holder is _MISSING:
                raise _missing_path(kind, path)
        last = steps[-1]
        if isinstance(holder, dict):
            if kind != "add" and last not in holder:
                raise _missing_key(kind, path, last)
            if kind == "remove":
                del holder[last]
            else:
                holder[last] = value
        elif isinstance(holder, list):
            _change_item(holder, last, path, kind, value)
        else:
            raise _missing_path(kind, path)


def _given(operation: Mapping[str, Json], kind: str, name: str) -> str:
    found = operation.get(name)
    if found is None:
        raise PatchError(f"{kind} operation failed to decode {name}: missing value")
    return str(found)


def _change_item(items: list[Json], step: str, path: str, kind: str, value: Json) -> None:
    if kind == "add":
        at = len(items) if step == "-" else _index(step, len(items) + 1, path, kind)
        items.insert(at, value)
        return
    at = _index(step, len(items), path, kind)
    items[at : at + 1] = [value] if kind == "replace" else []


def _steps(path: str) -> list[str]:
    """The reference steps of a JSON pointer (RFC 6901)."""
    if path and not path.startswith("/"):
        raise PatchError(f'doc is missing path: "{path}": missing value')
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _member(value: Json, step: str) -> Json:
    """What is at a step of a path."""
    if isinstance(value, dict):
        return value.get(step, _MISSING)
    if isinstance(value, list) and _is_index(step) and int(step) < len(value):
        return value[int(step)]
    return _MISSING


def _value(document: Json, path: str) -> Json:
    for step in _steps(path):
        document = _member(document, step)
        if document is _MISSING:
            return document
    return document


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10 and (step[0] != "0" or step == "0")


def _index(step: str, size: int, path: str, kind: str) -> int:
    if not _is_index(step):
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
