"""What differs between two objects of a kind, as sets of fields.

Objects with a type are compared as they are, member by member, in C where members are equal; only what differs and has
fields of its own becomes JSON. Objects made of one template come one after the other, so that of every member the last
value is kept, with its fields.
"""

from __future__ import annotations

from itertools import compress
from operator import ne
from typing import Any

import msgspec
from msgspec.structs import astuple, replace

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.managed import tracking
from fairlead.apiserver.managed.comparison import Changes, compare, whole
from fairlead.apiserver.managed.fieldsets import MEMBER, SELF, Fields, union, without
from fairlead.apiserver.managed.shapes import MapShape, Shape
from fairlead.apiserver.models import Typed
from fairlead.objects.core_v1 import PodSpec

Json = Any
NONE: frozenset[str] = frozenset()


class Part(msgspec.Struct, frozen=True, gc=False):
    """A member of a typed value."""

    field: str
    name: str
    """What JSON calls it."""
    default: Any
    """The value that is not written; none where every value is."""
    is_map: bool
    """Whether an empty map is not written."""

    def absent(self, value: Any) -> bool:
        """What msgspec leaves out: a value that is the default, and an empty map."""
        return value is self.default or (self.is_map and not value)


_PARTS: dict[type[Any], tuple[Part, ...]] = {}


def parts(of: type[Any]) -> tuple[Part, ...]:
    """The members of a type; found out once."""
    found = _PARTS.get(of)
    if found is None:
        found = _PARTS[of] = tuple(
            Part(field.name, field.encode_name, field.default, field.default_factory is dict)
            for field in msgspec.structs.fields(of)
        )
    return found


_BY_NAME: dict[type[Any], dict[str, Part]] = {}


def parts_by_name(of: type[Any]) -> dict[str, Part]:
    """The same by their names in JSON."""
    found = _BY_NAME.get(of)
    if found is None:
        found = _BY_NAME[of] = {part.name: part for part in parts(of)}
    return found


def without_entries(obj: Any) -> Any:
    """The object without `managedFields`."""
    metadata = obj.metadata
    return replace(obj, metadata=replace(metadata, managedFields=())) if metadata.managedFields else obj


def blank(kind: Kind) -> dict[str, Json]:
    """An object of a kind before anything is put into it: the parts that Go always writes are there, and empty."""
    if not isinstance(kind.model, Typed):
        return {"metadata": {}}
    return tracking.bare(kind.model.document(_blank(kind.resource.type)))


_BLANKS: dict[type[Any], Any] = {}


def _blank(of: type[Any]) -> Any:
    found = _BLANKS.get(of)
    if found is None:
        found = _BLANKS[of] = of()
    return found


def made(kind: Kind, obj: Any, reset: Fields) -> Fields:
    """The fields of a new object, but for those of `reset`."""
    if isinstance(kind.model, Typed):
        found = changes(kind, _blank(kind.resource.type), obj, reset)
    else:
        document = tracking.bare(kind.model.document(obj))
        found = tracking.changes(blank(kind), document, kind.shape, reset)
    return union(found.added, found.modified)


def changes(kind: Kind, old: Any, new: Any, reset: Fields) -> Changes:
    """What differs between two objects, but for what this way of writing leaves as it was (`reset`)."""
    if not isinstance(kind.model, Typed):
        documents = [tracking.bare(kind.model.document(without_entries(obj))) for obj in (old, new)]
        return tracking.changes(documents[0], documents[1], kind.shape, reset)
    found = Changes()
    _compare_members(kind.resource.type, old, new, kind.shape, found, _unmanaged(reset), tracking.STRIPPED)
    if reset:
        found.added = without(found.added, reset)
        found.modified = without(found.modified, reset)
        found.removed = without(found.removed, reset)
    return found


def _unmanaged(reset: Fields) -> frozenset[str]:
    """The members of an object that are not looked at, since nobody manages them or all of them are reset."""
    return frozenset({"kind", "apiVersion", *(name[2:] for name, node in reset.items() if not node)})


def _compare_members(
    of: type[Any],
    old: Any,
    new: Any,
    shape: MapShape,
    found: Changes,
    skipped: frozenset[str] = NONE,
    of_metadata: frozenset[str] = NONE,
) -> None:
    """What differs in two values of a type. Cost: a comparison in C for each member, and what follows from it.

    `skipped` are members that are not looked at, `of_metadata` those of the member `metadata`.
    """
    steps = shape.steps
    olds, news = astuple(old), astuple(new)
    # In C for what is equal, nearly all.
    for part, before, after in compress(zip(parts(of), olds, news, strict=True), map(ne, olds, news)):
        name = part.name
        if name in skipped:
            continue
        key, below = steps.get(name) or shape.step(name)
        # `Part.absent`, of which the loop spares itself the calls.
        default, is_map = part.default, part.is_map
        lacked, lacks = (
            before is default or (is_map and not before),
            after is default or (is_map and not after),
        )
        if lacked or lacks:
            if not lacks:
                found.added[key] = MEMBER if below.leaf else _whole(of, part, after, below)
            elif not lacked:
                found.removed[key] = MEMBER if below.leaf else _whole(of, part, before, below)
        elif below.leaf:
            if isinstance(after, (str, int)) or msgspec.json.encode(before) != msgspec.json.encode(after):
                found.modified[key] = MEMBER
        elif (
            isinstance(below, MapShape) and isinstance(after, msgspec.Struct) and type(after) is type(before)
        ):
            unmanaged = of_metadata if name == "metadata" else NONE
            inner = _within_struct(before, after, below, unmanaged)
            if inner.added:
                found.added[key] = inner.added
            if inner.modified:
                found.modified[key] = inner.modified
            if inner.removed:
                found.removed[key] = inner.removed
        else:
            _add(found, _within(of, part, before, after, shape))


_TEMPLATES: dict[bytes, Changes] = {}
MOST_TEMPLATES, LARGEST_TEMPLATE = 256, 4096


def _within_struct(before: Any, after: Any, shape: MapShape, unmanaged: frozenset[str]) -> Changes:
    """What differs in two values of one type. Specs of new pods come from templates: those of the last are kept."""
    text = b""
    if isinstance(after, PodSpec) and before == _NO_SPEC:
        text = msgspec.json.encode(after)
        known = _TEMPLATES.get(text)
        if known is not None:
            return known
    found = Changes()
    _compare_members(type(after), before, after, shape, found, unmanaged)
    if text and len(text) <= LARGEST_TEMPLATE:
        if len(_TEMPLATES) >= MOST_TEMPLATES:
            _TEMPLATES.clear()
        _TEMPLATES[text] = found
    return found


_NO_SPEC = PodSpec()


def _add(found: Changes, more: Changes) -> None:
    found.added |= more.added
    found.modified |= more.modified
    found.removed |= more.removed


_LAST: dict[tuple[type[Any], str], tuple[Any, Fields]] = {}
_LAST_CHANGES: dict[tuple[type[Any], str], tuple[Any, Any, Changes]] = {}


def _within(of: type[Any], part: Part, before: Any, after: Any, shape: MapShape) -> Changes:
    """What differs within a member that both values have; the last one of each is kept."""
    last = _LAST_CHANGES.get((of, part.field))
    if last is not None and last[0] == before and last[1] == after:
        return last[2]
    one, other = {part.name: msgspec.to_builtins(before)}, {part.name: msgspec.to_builtins(after)}
    found = compare(one, other, shape)
    if isinstance(after, tuple):
        _LAST_CHANGES[of, part.field] = (before, after, found)
    return found


def _whole(of: type[Any], part: Part, value: Any, shape: Shape) -> Fields:
    """The node of a member that is all new, or all gone and no leaf; one value of each is kept."""
    last = _LAST.get((of, part.field))
    if last is not None and last[0] == value:
        return last[1]
    if isinstance(value, dict) and value and isinstance(shape, MapShape):
        element = shape.element
        if element is not None and element.leaf and not shape.steps:  # labels, say
            return {SELF: MEMBER, **{f"f:{name}": MEMBER for name in value}}
    fields = whole(msgspec.to_builtins(value), shape)
    if isinstance(value, (tuple, msgspec.Struct)):
        _LAST[of, part.field] = (value, fields)
    return fields
