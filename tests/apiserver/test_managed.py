"""Who manages which fields: sets of fields, comparison, updates and applies as pure functions.

The histories read: before, who does what, after, who manages what. Upstream: structured-merge-diff/merge/*_test.go.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.apiserver.managed import fieldsets
from fairlead.apiserver.managed.applying import Applied, BadConfiguration, Conflicts, apply
from fairlead.apiserver.managed.comparison import compare, field_set
from fairlead.apiserver.managed.entries import Entries, capped, fields_of, manager_of, ordered
from fairlead.apiserver.managed.fieldsets import Fields
from fairlead.apiserver.managed.merging import errors_of, merged
from fairlead.apiserver.managed.shapes import DEDUCED, MapShape, shape_of
from fairlead.apiserver.managed.tracking import bare, changes, updated
from fairlead.objects.meta_v1 import ManagedFieldsEntry
from fairlead.objects.schema import Field, Type, type_named

STRING, NUMBER = "string", "int64"


def custom(**fields: Field) -> MapShape:
    """The shape of a custom resource with these fields, given as a definition gives them: by a `schema.Type`."""
    return shape_of(Type("Custom", fields))


def field(name: str, kind: str = STRING, **facts: Any) -> Field:
    return Field(name, kind, 0, **facts)


ITEM = Type(
    "Item",
    {
        "name": field("name"),
        "id": field("id", NUMBER),
        "value": field("value", NUMBER),
        "more": field("more", is_map=True),
    },
)

WIDGET = custom(
    count=field("count", NUMBER),
    text=field("text"),
    on=field("on", "bool"),
    labels=field("labels", is_map=True),
    frozen=field("frozen", is_map=True, map_type="atomic"),
    names=field("names", is_list=True, list_type="set"),
    steps=field("steps", is_list=True, list_type="atomic"),
    items=field("items", "", of=ITEM, is_list=True, list_type="map", list_keys=("name",)),
    pairs=field("pairs", "", of=ITEM, is_list=True, list_type="map", list_keys=("name", "id")),
    part=field("part", "", of=ITEM),
    block=field("block", "", of=Type("Block", ITEM.fields, map_type="atomic")),
    free=field("free", "k8s.io.apimachinery.pkg.runtime.RawExtension"),
)


def tree(*paths: str) -> Fields:
    """A set of fields from paths like `f:a/f:b` (`/` in keys is not needed here)."""
    root: Fields = {}
    for path in paths:
        one: Fields = {}
        for name in reversed(path.split("/")):
            one = {name: one}
        root = fieldsets.union(root, one)
    return root


class Object:
    """An object that several managers write, one after the other."""

    def __init__(self, shape: MapShape = WIDGET) -> None:
        self.shape = shape
        self.live: dict[str, Any] = {}
        self.entries: Entries = ()
        self.time = 0

    def _writer(self, manager: str, operation: str) -> ManagedFieldsEntry:
        self.time += 1
        return ManagedFieldsEntry(
            manager=manager,
            operation=operation,
            apiVersion="v1",
            time=f"2026-01-01T00:00:{self.time % 60:02}Z",
        )

    def apply(self, manager: str, config: dict[str, Any], *, force: bool = False) -> Applied:
        """Applies, and keeps the result."""
        done = apply(self.live, config, self.shape, self.entries, self._writer(manager, "Apply"), force=force)
        self.live, self.entries = without_nulls(done.document), done.entries
        return done

    def update(self, manager: str, new: dict[str, Any]) -> None:
        """Updates the whole object."""
        found = changes(bare(self.live), bare(new), self.shape, {})
        self.entries = updated(self.entries, found, self._writer(manager, "Update"))
        self.live = new

    @property
    def owned(self) -> dict[str, Fields]:
        """The sets by manager; appliers have a name in capitals."""
        return {entry.manager: fields_of(entry) for entry in self.entries}


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(of) for name, of in value.items() if of is not None}
    return value


UPDATE, APPLY, FORCE = "update", "apply", "force"


@pytest.mark.parametrize(
    ("history", "live", "owned"),
    [
        pytest.param(
            [(APPLY, "A", {"count": 1, "text": "x"}), (APPLY, "A", {"count": 2})],
            {"count": 2},
            {"A": tree("f:count")},
            id="what an applier gives up goes",
        ),
        pytest.param(
            [(APPLY, "A", {"count": 1}), (APPLY, "B", {"count": 1}), (APPLY, "A", {})],
            {"count": 1},
            {"B": tree("f:count")},
            id="what another applies too stays",
        ),
        pytest.param(
            [(UPDATE, "u", {"count": 1, "text": "x"}), (APPLY, "A", {"count": 1}), (APPLY, "A", {})],
            {"count": 1, "text": "x"},
            {"u": tree("f:count", "f:text")},
            id="what an updater wrote stays",
        ),
        pytest.param(
            [(APPLY, "A", {"count": 1, "text": "x"}), (UPDATE, "u", {"count": 2, "text": "x"})],
            {"count": 2, "text": "x"},
            {"A": tree("f:text"), "u": tree("f:count")},
            id="a change takes the field over",
        ),
        pytest.param(
            [(APPLY, "A", {"count": 1, "text": "x"}), (UPDATE, "u", {"text": "x"})],
            {"text": "x"},
            {"A": tree("f:text")},
            id="a removal takes it from everyone",
        ),
        pytest.param(
            [(APPLY, "A", {"count": 1}), (FORCE, "B", {"count": 2})],
            {"count": 2},
            {"B": tree("f:count")},
            id="force takes over, and who has nothing left is forgotten",
        ),
        pytest.param(
            [(APPLY, "A", {"labels": {"a": "1"}}), (APPLY, "B", {"labels": {"b": "2"}})],
            {"labels": {"a": "1", "b": "2"}},
            {"A": tree("f:labels/f:a"), "B": tree("f:labels/f:b")},
            id="a map is shared by key",
        ),
        pytest.param(
            [(APPLY, "A", {"labels": {"a": "1"}}), (APPLY, "A", {})],
            {},
            {},
            id="an emptied map goes",
        ),
        pytest.param(
            [
                (UPDATE, "u", {"labels": {"a": "1", "b": "2"}}),
                (APPLY, "A", {"labels": {"a": "1"}}),
                (APPLY, "A", {}),
            ],
            {"labels": {"a": "1", "b": "2"}},
            {"u": tree("f:labels", "f:labels/f:a", "f:labels/f:b")},
            id="a shared key stays",
        ),
        pytest.param(
            [(APPLY, "A", {"frozen": {"a": "1"}}), (FORCE, "B", {"frozen": {"b": "2"}})],
            {"frozen": {"b": "2"}},
            {"B": tree("f:frozen")},
            id="an atomic map is replaced",
        ),
        pytest.param(
            [(APPLY, "A", {"steps": ["a", "b"]}), (APPLY, "A", {"steps": ["b"]})],
            {"steps": ["b"]},
            {"A": tree("f:steps")},
            id="an atomic list is replaced",
        ),
        pytest.param(
            [
                (APPLY, "A", {"names": ["a", "b"]}),
                (APPLY, "B", {"names": ["c", "b"]}),
                (APPLY, "A", {"names": ["a"]}),
            ],
            {"names": ["a", "c", "b"]},
            {"A": tree('f:names/v:"a"'), "B": tree('f:names/v:"c"', 'f:names/v:"b"')},
            id="a set is shared by value",
        ),
        pytest.param(
            [
                (APPLY, "A", {"items": [{"name": "a", "value": 1}, {"name": "b", "value": 1}]}),
                (APPLY, "B", {"items": [{"name": "c", "value": 3}]}),
                (APPLY, "A", {"items": [{"name": "b", "value": 2}]}),
            ],
            {"items": [{"name": "b", "value": 2}, {"name": "c", "value": 3}]},
            {
                "A": tree(*(f'f:items/k:{{"name":"b"}}{below}' for below in ("", "/f:name", "/f:value"))),
                "B": tree(*(f'f:items/k:{{"name":"c"}}{below}' for below in ("", "/f:name", "/f:value"))),
            },
            id="items are found by their key",
        ),
        pytest.param(
            [
                (UPDATE, "u", {"items": [{"name": "a", "value": 1}]}),
                (APPLY, "A", {"items": [{"name": "a", "more": {"x": "1"}}]}),
                (APPLY, "A", {"items": []}),
            ],
            {"items": [{"name": "a", "value": 1}]},
            {
                "u": tree(
                    "f:items",
                    'f:items/k:{"name":"a"}',
                    'f:items/k:{"name":"a"}/f:name',
                    'f:items/k:{"name":"a"}/f:value',
                )
            },
            id="of another's item only the own field goes",
        ),
        pytest.param(
            [(APPLY, "A", {"pairs": [{"name": "a", "id": 2}, {"name": "a", "id": 1}]})],
            {"pairs": [{"name": "a", "id": 2}, {"name": "a", "id": 1}]},
            {
                "A": tree(
                    *(
                        f'f:pairs/k:{{"id":{n},"name":"a"}}{below}'
                        for n in (1, 2)
                        for below in ("", "/f:name", "/f:id")
                    )
                )
            },
            id="keys stand in the order of their names",
        ),
        pytest.param(
            [(APPLY, "A", {"part": {"value": 1, "more": {"a": "b"}}}), (APPLY, "A", {"part": {"value": 1}})],
            {"part": {"value": 1}},
            {"A": tree("f:part/f:value")},
            id="a part is owned by its fields",
        ),
        pytest.param(
            [(APPLY, "A", {"part": {}}), (APPLY, "B", {"part": {"value": 1}}), (APPLY, "B", {})],
            {"part": {}},
            {"A": tree("f:part")},
            id="an empty part is owned itself",
        ),
        pytest.param(
            [(APPLY, "A", {"block": {"value": 1}}), (APPLY, "A", {"block": {"name": "x"}})],
            {"block": {"name": "x"}},
            {"A": tree("f:block")},
            id="an atomic part is replaced",
        ),
        pytest.param(
            [(APPLY, "A", {"free": {"a": {"b": 1}, "list": [1]}}), (APPLY, "B", {"free": {"a": {"c": 2}}})],
            {"free": {"a": {"b": 1, "c": 2}, "list": [1]}},
            {
                "A": tree("f:free/f:a", "f:free/f:a/f:b", "f:free/f:list"),
                "B": tree("f:free/f:a", "f:free/f:a/f:c"),
            },
            id="what no schema knows merges by member",
        ),
        pytest.param(
            [(UPDATE, "u", {"free": {"a": 1}}), (UPDATE, "v", {"free": {"a": True}})],
            {"free": {"a": True}},
            {"u": tree("f:free"), "v": tree("f:free/f:a")},
            id="true is not 1",
        ),
        pytest.param(
            [(UPDATE, "u", {"free": {"a": 1}}), (UPDATE, "v", {"free": {"a": {"b": 1}}})],
            {"free": {"a": {"b": 1}}},
            {"u": tree("f:free"), "v": tree("f:free/f:a", "f:free/f:a/f:b")},
            id="a value may become a map",
        ),
        pytest.param(
            [(UPDATE, "u", {"items": [{"name": "a", "value": 1}, {"name": "a", "value": 2}]})],
            {"items": [{"name": "a", "value": 1}, {"name": "a", "value": 2}]},
            {"u": tree("f:items", 'f:items/k:{"name":"a"}')},
            id="items with the same key are one leaf",
        ),
        pytest.param(
            [
                (UPDATE, "u", {"items": [{"name": "a", "value": 1}, {"name": "a", "value": 2}]}),
                (UPDATE, "v", {"items": [{"name": "a", "value": 1}]}),
            ],
            {"items": [{"name": "a", "value": 1}]},
            {
                "u": tree("f:items"),
                "v": tree(
                    'f:items/k:{"name":"a"}',
                    'f:items/k:{"name":"a"}/f:name',
                    'f:items/k:{"name":"a"}/f:value',
                ),
            },
            id="an item that is alone again is taken apart",
        ),
        pytest.param(
            [
                (APPLY, "A", {"metadata": {"name": "x", "labels": {"a": "b"}, "finalizers": ["p/q"]}}),
                (
                    UPDATE,
                    "u",
                    {"metadata": {"name": "x", "uid": "1", "labels": {"a": "b"}, "finalizers": []}},
                ),
            ],
            {"metadata": {"name": "x", "uid": "1", "labels": {"a": "b"}, "finalizers": []}},
            {"A": tree("f:metadata/f:labels/f:a")},
            id="names and the like are nobody's",
        ),
    ],
)
def test_histories(history: list[Any], live: Any, owned: dict[str, Fields]) -> None:
    obj = Object()
    for how, manager, value in history:
        if how == UPDATE:
            obj.update(manager, value)
        else:
            obj.apply(manager, value, force=how == FORCE)
    assert obj.live == live
    assert obj.owned == owned


SERVICE = shape_of(type_named("k8s.io.api.core.v1.Service"))
POD = shape_of(type_named("k8s.io.api.core.v1.Pod"))


@pytest.mark.parametrize(
    ("shape", "before", "config", "conflicts"),
    [
        (WIDGET, {"count": 1}, {"count": 2}, [".count"]),
        (WIDGET, {"count": 1}, {"count": 1}, []),
        (WIDGET, {"labels": {"a": "1"}}, {"labels": {"a": "2", "b": "3"}}, [".labels.a"]),
        (WIDGET, {"names": ["a"]}, {"names": ["b"]}, []),
        (WIDGET, {"steps": ["a"]}, {"steps": ["b"]}, [".steps"]),
        (
            WIDGET,
            {"items": [{"name": "a", "value": 1}]},
            {"items": [{"name": "a", "value": 2}]},
            ['.items[name="a"].value'],
        ),
        (
            WIDGET,
            {"pairs": [{"name": "a", "id": 1, "value": 1}]},
            {"pairs": [{"name": "a", "id": 1, "value": 2}]},
            ['.pairs[id=1,name="a"].value'],
        ),
        (WIDGET, {"frozen": {"a": "1"}}, {"frozen": {"a": "2"}}, [".frozen"]),
        (WIDGET, {"free": {"a": [1]}}, {"free": {"a": [2]}}, [".free.a"]),
        (
            SERVICE,
            {"spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "a"}], "selector": {"a": "b"}}},
            {"spec": {"ports": [{"port": 80, "name": "b"}], "selector": {"a": "c"}}},
            [".spec.selector", '.spec.ports[port=80,protocol="TCP"].name'],
        ),
        (
            POD,
            {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}},
            {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 2}}}]}},
            ['.spec.containers[name="c"].resources.limits.cpu'],
        ),
    ],
)
def test_conflicts(shape: MapShape, before: Any, config: Any, conflicts: list[str]) -> None:
    obj = Object(shape)
    obj.apply("A", before)
    was = deepcopy(obj.live)
    try:
        obj.apply("B", config)
        found = []
    except Conflicts as error:
        found = [fieldsets.path_text(one.path) for one in error.conflicts]
        assert obj.live == was
    assert found == conflicts
    obj.apply("B", config, force=True)


@pytest.mark.parametrize(
    ("shape", "config", "said"),
    [
        (
            WIDGET,
            {"nope": 1, "part": {"nope": 2}},
            "errors:\n  .nope: field not declared in schema\n  .part.nope: field not declared in schema",
        ),
        (WIDGET, {"count": "1"}, ".count: expected numeric (int or float), got &{1}"),
        (WIDGET, {"on": 1}, ".on: expected boolean, got &{1}"),
        (WIDGET, {"count": True}, ".count: expected numeric (int or float), got &{true}"),
        (WIDGET, {"text": {"a": 1}}, ".text: expected string, got &{map[a:1]}"),
        (WIDGET, {"labels": []}, ".labels: expected map, got &{[]}"),
        (WIDGET, {"items": {}}, ".items: expected list, got &{map[]}"),
        (WIDGET, {"names": ["a", "a"]}, '.names: duplicate entries for key [="a"]'),
        (WIDGET, {"items": [{"name": "a"}, {"name": "a"}]}, '.items: duplicate entries for key [name="a"]'),
        (
            WIDGET,
            {"items": [{"value": 1}]},
            '.items: element 0: associative list with keys has an element that omits all key fields ["name"] '
            "(and doesn't have default values for any key fields)",
        ),
        (
            WIDGET,
            {"items": [None]},
            ".items: element 0: associative list with keys may not have a null element",
        ),
        (
            WIDGET,
            {"items": [1]},
            ".items: element 0: associative list with keys may not have non-map elements",
        ),
        (
            WIDGET,
            {"names": [{}]},
            ".names: element 0: associative list without keys has an element that's a map type",
        ),
        (
            WIDGET,
            {"names": [None]},
            ".names: element 0: associative list without keys has an element that's an explicit null",
        ),
        (SERVICE, {"spec": {"ports": [{"name": "x"}], "typ": 1}}, ".spec.typ: field not declared in schema"),
    ],
)
def test_configurations_that_have_not_the_form(shape: MapShape, config: Any, said: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        Object(shape).apply("A", config)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("", "abc", "abc"),
        ("abc", "", "abc"),
        ("abc", "cba", "cba"),
        ("abc", "xb", "axbc"),
        ("abc", "ca", "bca"),
        ("abcd", "xdb", "acxdb"),
        ("ab", "cd", "abcd"),
    ],
)
def test_the_order_of_merged_items(old: str, new: str, result: str) -> None:
    assert "".join(merged({"names": list(old)}, {"names": list(new)}, WIDGET)["names"]) == result


@pytest.mark.parametrize(
    ("parameter", "agent", "name"),
    [
        ("given", "kubectl/1.2", "given"),
        ("", "kubectl/v1.36.2 (linux/amd64) kubernetes/abc", "kubectl"),
        ("", "", "unknown"),
        ("", "/x", "unknown"),
        ("", "curl", "curl"),
        ("", "a\x07b\u00e9/1", "ab\u00e9"),
        ("", "x" * 300, "x" * 128),
        ("", "\u00e9" * 100, "\u00e9" * 64),
    ],
)
def test_the_name_of_a_manager(parameter: str, agent: str, name: str) -> None:
    assert manager_of(parameter, agent) == name


LAST = "kubectl.kubernetes.io/last-applied-configuration"


def by_kubectl(spec: dict[str, Any], **live: Any) -> Object:
    """An object that kubectl applied from the client's side, and what has become of it."""
    text = json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    obj = Object(SERVICE)
    base = {"metadata": {"name": "web", "annotations": {LAST: text}}}
    obj.update("kubectl-client-side-apply", {**base, "spec": spec})
    if live:
        obj.update("other", {**base, "spec": {**spec, **live}})
    return obj


def test_kubectl_takes_over_from_its_own_client_side_apply() -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort"},
    }
    obj = by_kubectl({"type": "ClusterIP"})
    with pytest.raises(Conflicts):
        obj.apply("someone", config)
    obj.apply("kubectl", config)
    assert obj.live["spec"] == {"type": "NodePort"}
    assert obj.owned["kubectl"] == tree("f:spec/f:type")
    # The annotation is kept in step, so that the way back is open.
    assert json.loads(obj.live["metadata"]["annotations"][LAST]) == config


def test_what_another_changed_since_is_still_a_conflict() -> None:
    obj = by_kubectl({"type": "ClusterIP", "sessionAffinity": "None"}, type="LoadBalancer")
    config = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    wanted = {"type": "NodePort", "sessionAffinity": "ClientIP"}
    with pytest.raises(Conflicts) as caught:
        obj.apply("kubectl", {**config, "spec": wanted})
    assert [fieldsets.path_text(one.path) for one in caught.value.conflicts] == [".spec.type"]


# Properties.

names = st.sampled_from("abc")
scalars = st.integers(0, 2)
items = st.lists(
    st.fixed_dictionaries(
        {"name": names},
        optional={"value": scalars, "more": st.dictionaries(names, names, max_size=2)},
    ),
    max_size=3,
    unique_by=lambda item: item["name"],
)
free = st.recursive(
    scalars | st.booleans() | names,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
widgets = st.fixed_dictionaries(
    {},
    optional={
        "count": scalars,
        "labels": st.dictionaries(names, names, max_size=2),
        "frozen": st.dictionaries(names, names, max_size=2),
        "names": st.lists(names, max_size=3, unique=True),
        "steps": st.lists(names, max_size=2),
        "items": items,
        "part": st.fixed_dictionaries(
            {}, optional={"value": scalars, "more": st.dictionaries(names, names, max_size=2)}
        ),
        "free": free,
    },
)
steps = st.lists(
    st.tuples(st.sampled_from([APPLY, UPDATE]), st.sampled_from("xyz"), widgets), min_size=1, max_size=6
)


def played(history: Any) -> Object:
    obj = Object()
    for how, manager, value in history:
        if how == APPLY:
            obj.apply(manager.upper(), value, force=True)
        else:
            obj.update(manager, value)
    return obj


def leaves(fields: Fields) -> set[tuple[str, ...]]:
    return set(fieldsets.paths(fields))


@given(steps, widgets)
def test_applying_twice_is_applying_once(history: Any, config: Any) -> None:
    obj = played(history)
    once = obj.apply("A", config, force=True)
    twice = obj.apply("A", config)
    assert without_nulls(twice.document) == without_nulls(once.document)
    assert obj.owned == {entry.manager: fields_of(entry) for entry in once.entries}


@given(steps, widgets)
def test_what_is_applied_is_there(history: Any, config: Any) -> None:
    obj = played(history)
    obj.apply("A", config, force=True)
    found = compare(config, obj.live, WIDGET)
    assert not found.modified
    assert not found.removed


@given(steps)
def test_no_manager_has_a_field_that_is_not_there(history: Any) -> None:
    obj = played(history)
    everything = leaves(fieldsets.union(field_set(obj.live, WIDGET), compare({}, obj.live, WIDGET).added))
    for fields in obj.owned.values():
        assert fields
        assert leaves(fields) <= everything


@given(steps)
def test_every_field_has_a_manager(history: Any) -> None:
    obj = played([(UPDATE, "maker", {}), *history])
    owned: Fields = {}
    for fields in obj.owned.values():
        owned = fieldsets.union(owned, fields)
    # A map or list that an update has emptied is nobody's, as upstream.
    held = {path for path in leaves(field_set(obj.live, WIDGET)) if is_leaf(obj.live, path, empty=False)}
    assert held <= leaves(owned)


def is_leaf(value: Any, path: tuple[str, ...], *, empty: bool = True) -> bool:
    """Whether what is at a path is no map or list that has something in it."""
    for name in path:
        if name.startswith("f:"):
            value = value[name[2:]]
        elif name.startswith("k:"):
            keys = json.loads(name[2:])
            value = next(item for item in value if all(item.get(key) == of for key, of in keys.items()))
        else:
            return True
    return not isinstance(value, dict | list) or (empty and not value)


@given(steps, widgets)
def test_giving_up_leaves_what_others_have(history: Any, config: Any) -> None:
    obj = played(history)
    before = obj.owned
    obj.apply("A", config, force=True)
    kept = {manager: fields for manager, fields in obj.owned.items() if manager != "A"}
    obj.apply("A", {})
    assert {manager: fields for manager, fields in obj.owned.items() if manager != "A"} == kept
    there = leaves(compare({}, obj.live, WIDGET).added)
    for path in leaves(field_set(config, WIDGET)):
        others = any(path in leaves(fields) for fields in before.values())
        if path in there and is_leaf(obj.live, path):
            assert others, path


elements = st.sampled_from(["f:a", "f:b", 'k:{"id":1,"name":"x"}', 'v:"x"', "v:1", "i:0"])
field_sets = st.lists(st.lists(elements, min_size=1, max_size=3).map("/".join), max_size=6).map(
    lambda p: tree(*p)
)


@given(field_sets)
def test_sets_survive_being_written(fields: Fields) -> None:
    assert fieldsets.parse(fieldsets.encode(fields)) == fields
    assert tree(*("/".join(path) for path in fieldsets.paths(fields))) == fields


@given(field_sets, field_sets)
def test_sets_are_sets(one: Fields, other: Fields) -> None:
    ours, theirs = leaves(one), leaves(other)
    assert leaves(fieldsets.union(one, other)) == ours | theirs
    assert leaves(fieldsets.difference(one, other)) == ours - theirs
    assert leaves(fieldsets.intersection(one, other)) == ours & theirs
    below = {path for path in ours if not any(path[:n] in theirs for n in range(1, len(path) + 1))}
    assert leaves(fieldsets.without(one, other)) == below


@given(widgets, widgets)
def test_a_comparison_has_each_change_once(old: Any, new: Any) -> None:
    found = compare(old, new, WIDGET)
    added, modified, removed = map(leaves, (found.added, found.modified, found.removed))
    assert not added & modified
    assert not removed & modified
    assert compare(new, old, WIDGET).added == found.removed
    if json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True):
        assert not added | modified | removed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.sampled_from(list(WIDGET.fields)), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(list(WIDGET.fields)), json_values, max_size=3), steps)
def test_any_json_is_taken_or_refused(config: Any, history: Any) -> None:
    obj = played(history)
    if not errors_of(config, WIDGET):
        obj.apply("A", config, force=True)
        obj.apply("A", {})


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_set_or_none(raw: bytes) -> None:
    try:
        fields = fieldsets.parse(raw)
    except ValueError:
        return
    assert fieldsets.parse(fieldsets.encode(fields)) == fields


def test_entries_stand_in_one_order_and_are_capped_by_version() -> None:
    def entry(
        manager: str, second: int, version: str = "v1", operation: str = "Update"
    ) -> ManagedFieldsEntry:
        obj = Object()
        obj.update(manager, {"count": second})
        (made,) = obj.entries
        return ManagedFieldsEntry(
            manager=manager,
            operation=operation,
            apiVersion=version,
            time=f"2026-01-01T00:00:{second:02}Z",
            fieldsType="FieldsV1",
            fieldsV1=made.fieldsV1,
        )

    entries = ordered(
        [
            *(entry(f"m{i}", i) for i in range(9)),
            entry("old", 0, "v2"),
            entry("z", 59, "v2"),
            entry("a", 30, operation="Apply"),
        ]
    )
    found = capped(entries)
    assert [(e.manager, e.apiVersion) for e in found][:3] == [
        ("a", "v1"),
        ("old", "v2"),
        ("ancient-changes", "v1"),
    ]
    assert len(found) == 11
    joined = found[2]
    assert joined.time == "2026-01-01T00:00:01Z"
    assert capped(found) is found


def test_deduced_shapes_know_nothing() -> None:
    assert field_set({"a": {"b": [1]}, "c": 1}, DEDUCED) == tree("f:a/f:b", "f:a", "f:c")
