"""Which objects of a collection a request selects, by labels and fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from fairlead.apiserver.kinds import Kind
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

    @property
    def shallow(self) -> bool:
        """Whether metadata is enough to decide."""
        return all(term.field in METADATA_FIELDS for term in self.fields.terms)

    def matches(self, value: bytes) -> bool:
        """Whether a stored object is selected."""
        obj = decoder(Labelled).decode(value) if self.shallow else self.kind.model.decode(value)
        return self.labels.matches(obj.metadata.labels) and self.fields.matches(
            lambda name: self.field(obj, name)
        )

    def field(self, obj: Any, name: str) -> str:
        """The text of a selectable field."""
        if name == "metadata.name":
            return str(obj.metadata.name)
        if name == "metadata.namespace":
            return str(obj.metadata.namespace)
        return self.kind.selectable_fields[name](obj)


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
