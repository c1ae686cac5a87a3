"""Which objects of a collection a request selects, by labels and fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec

from fairlead.apiserver.kind import Kind
from fairlead.objects import fieldselectors, labels
from fairlead.objects.codec import decoder
from fairlead.objects.status import bad_request

METADATA_FIELDS = ("metadata.name", "metadata.namespace")


class Labelled(msgspec.Struct, gc=False):
    """What is read of an object to match its labels, name, namespace."""

    class Metadata(msgspec.Struct, gc=False):
        """Of the metadata, no more than that."""

        name: str = ""
        namespace: str = ""
        labels: dict[str, str] = {}

    metadata: Metadata


@dataclass(frozen=True)
class Selection:
    """A label selector with a field selector, for one kind."""

    kind: Kind
    labels: labels.Selector = field(default_factory=labels.Selector)
    fields: fieldselectors.FieldSelector = field(default_factory=fieldselectors.FieldSelector)

    @property
    def everything(self) -> bool:
        """Whether nothing has to be decoded to know that an object is selected."""
        return self.labels.everything and not self.fields.terms

    @property
    def name(self) -> str | None:
        """The only name that is selected, if it is only one."""
        return self.fields.exact("metadata.name")

    def matches(self, value: bytes) -> bool:
        """Whether a stored object is selected."""
        return self.holds(Seen(self.kind, value))

    def holds(self, seen: Seen) -> bool:
        """The same of an object that others look at too."""
        return self.labels.matches(seen.metadata.labels) and self.fields.matches(seen.field)


class Seen:
    """A stored object that is decoded once, and only as far as somebody asks."""

    def __init__(self, kind: Kind, value: bytes) -> None:
        self._kind = kind
        self._value = value

    @cached_property
    def metadata(self) -> Labelled.Metadata:
        """Its name, namespace and labels."""
        return decoder(Labelled).decode(self._value).metadata

    @cached_property
    def _typed(self) -> Any:
        return self._kind.model.decode(self._value)

    def field(self, name: str) -> str:
        """The text of a selectable field."""
        if name == "metadata.name":
            return self.metadata.name
        if name == "metadata.namespace":
            return self.metadata.namespace
        return self._kind.selectable_fields[name](self._typed)


def selection(kind: Kind, label_selector: str, field_selector: str) -> Selection:
    """The selection that the texts of a request give. Raises 400 where one is malformed, or a field not selectable."""
    try:
        by_label, by_field = labels.parse(label_selector), fieldselectors.parse(field_selector)
    except ValueError as error:
        raise bad_request(str(error)) from None
    for term in by_field.terms:
        if term.field in METADATA_FIELDS or term.field in kind.selectable_fields:
            continue
        if kind.selectable_fields:
            raise bad_request(f"field label not supported: {term.field}")
        raise bad_request(
            f'"{term.field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
        )
    return Selection(kind, by_label, by_field)


def only(wanted: Selection, name: str) -> Selection:
    """The selection of the one object whose name is in the path. Raises 400 where the fields say another."""
    if wanted.fields.terms and wanted.name != name:
        raise bad_request("fieldSelector metadata.name doesn't match requested name")
    return replace(wanted, fields=fieldselectors.parse(f"metadata.name={fieldselectors.escape(name)}"))
