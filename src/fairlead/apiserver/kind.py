"""What the server knows of a kind that it serves: its names, its paths, how its objects are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fairlead.apiserver.managed.shapes import MapShape, shape_of
from fairlead.apiserver.models import Converted, Model, Typed
from fairlead.apiserver.strategies import Strategy
from fairlead.objects.autoscaling_v1 import Scale
from fairlead.objects.resources import Resource

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What upstream lists for every stored kind, in its order."""


@dataclass(frozen=True)
class Subresource:
    """A part of an object with a path of its own; group and version where they are not the parent's."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""
    passed_on: bool = False
    """Whether a node, a pod or a service answers (`connect/`)."""


@dataclass(frozen=True)
class Scaling:
    """How the number of replicas is read from an object, as its scale, and put into it."""

    read: Callable[[Any], Scale]
    write: Callable[[Any, int], Any]


@dataclass(frozen=True)
class Conversion:
    """How a kind whose objects are stored as those of another kind reads and writes these."""

    stored: Kind
    read: Callable[[Any], Any]
    """Makes this kind's object of the stored one."""
    write: Callable[[Any], Any]
    """The other way round."""


@dataclass(frozen=True, eq=False)
class Kind:
    """One served kind: its collection, the names kubectl knows it by, and the rules of storage it keeps.

    `selectable_fields` maps each field selector that it takes, besides those of metadata, to its value.
    """

    resource: Resource[Any]
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    status: bool = False
    """Whether it has a status subresource; then the status in a plain write is ignored."""
    subresources: tuple[Subresource, ...] = ()
    """Those besides status."""
    selectable_fields: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    generation: bool = False
    """Whether `metadata.generation` counts the changes of spec."""
    create_on_update: bool = False
    """Whether a PUT to a name that does not exist creates it (upstream: AllowCreateOnUpdate)."""
    unconditional_update: bool = True
    """Whether a PUT may leave `metadata.resourceVersion` out (upstream: AllowUnconditionalUpdate)."""
    returns_deleted: bool = False
    """Whether DELETE answers with the object instead of a Status (upstream: ReturnDeletedObject)."""
    orphans: bool = False
    """Whether a deletion that says nothing of dependents leaves them (upstream: DefaultGarbageCollectionPolicy)."""
    scaling: Scaling | None = None
    """What its scale subresource does, if it has one."""
    kept: bool = True
    """Whether its objects are stored. Those of the others are answered at once, and are nowhere then."""
    conversion: Conversion | None = None
    """How it is stored, if not as itself."""
    own_model: Model | None = None
    """How its objects are read and written, where it is not by their type."""
    strategy: Strategy = field(default_factory=Strategy)
    """How its objects are written, where the server's configuration does not say."""
    own_list_kind: str = ""
    """The kind of its lists, where it is not its own with List at the end."""
    columns: tuple[tuple[Any, ...], Callable[[Any, float], list[Any]]] | None = None
    """The columns of its table with what stands in them, where it is not by its type (`tables.py`)."""
    deprecation: str = ""
    """What those who use it are warned of."""
    heavy: Callable[[Any], bool] = lambda _: False
    """Whether an object may take so long to judge that others should not wait for it."""

    @cached_property
    def model(self) -> Model:
        """How its objects are read and written."""
        if self.conversion is not None:
            conversion = self.conversion
            return Converted(self.resource, conversion.stored.resource, conversion.read, conversion.write)
        return self.own_model or Typed(self.resource)

    @cached_property
    def shape(self) -> MapShape:
        """How the values in its objects merge."""
        return shape_of(self.model.schema)

    @cached_property
    def head(self) -> bytes:
        """What every value of it begins with, stored or shown."""
        resource = self.resource
        return f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}","metadata":{{'.encode()

    @property
    def list_kind(self) -> str:
        """The kind of its lists."""
        return self.own_list_kind or f"{self.resource.kind}List"

    @property
    def plural(self) -> str:
        """The last part of its collection's path."""
        return self.resource.plural

    @cached_property
    def prefix(self) -> str:
        """Where its objects are in the store: `/pods/`, `/endpointslices.discovery.k8s.io/`."""
        return f"/{self.qualified}/" if self.conversion is None else self.conversion.stored.prefix

    @cached_property
    def qualified(self) -> str:
        """The plural with the group, as messages have it: `services`, `leases.coordination.k8s.io`."""
        return f"{self.plural}.{self.resource.group}" if self.resource.group else self.plural

    def key(self, namespace: str, name: str) -> str:
        """The key of an object in the store."""
        return f"{self.prefix}{namespace}/{name}" if self.resource.namespaced else self.prefix + name

    def place(self, key: str) -> tuple[str, str]:
        """The namespace, "" where there is none, and the name in a key."""
        namespace, _, name = key[len(self.prefix) :].rpartition("/")
        return namespace, name

    def list_prefix(self, namespace: str = "") -> str:
        """What the keys of a collection begin with."""
        return f"{self.prefix}{namespace}/" if namespace and self.resource.namespaced else self.prefix
