"""Tables: the answers that kubectl prints.

`TABLES` says for each kind which columns it has (`corelayouts`, `workloadlayouts`) and what stands in them (`rows`,
`workloadrows`, `volumerows`); a kind without an entry gets its name and when it was made. Upstream:
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from fairlead.apiserver import corelayouts, rows, workloadlayouts
from fairlead.apiserver.answers import META, Partial
from fairlead.apiserver.kind import Kind
from fairlead.apiserver.tablecolumns import AGE, NAME, Column, Layout, column
from fairlead.objects import core_v1
from fairlead.objects.meta_v1 import ListMeta

TABLES: dict[type[Any], Layout] = {**corelayouts.LAYOUTS, **workloadlayouts.LAYOUTS}

ANY = (NAME, column("Created At", "date", about=AGE.description))


class Row(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one object has to say: a cell for every column, and as much of the object as was asked for."""

    cells: list[Any]
    conditions: tuple[rows.Condition, ...] = ()
    object: Any = msgspec.field(default_factory=lambda: None)


class Table(msgspec.Struct, frozen=True, gc=False):
    """The answer."""

    kind: str
    apiVersion: str
    metadata: ListMeta
    columnDefinitions: tuple[Column, ...] | None
    rows: list[Row]


def table(
    kind: Kind,
    objects: Iterable[Any],
    include_object: str,
    now: float,
    *,
    metadata: ListMeta | None = None,
    columns: bool = True,
) -> Table:
    """The objects as a table. `include_object` is "None", "Metadata", or "Object"; `now` in seconds since the epoch.

    The frames of a watch need the columns in the first only.
    """
    shown, cells = kind.columns or TABLES.get(kind.resource.type, (ANY, rows.anything))
    listed: list[Row] = []
    for one in objects:
        found = cells(one, now)
        attached: Any = None
        if include_object == "Object":
            attached = kind.model.document(one)
        elif include_object != "None":
            attached = Partial(metadata=one.metadata)
        conditions = rows.pod_conditions(one) if isinstance(one, core_v1.Pod) else ()
        listed.append(Row(found, conditions, attached))
    return Table("Table", META, metadata or ListMeta(), shown if columns else None, listed)
