"""Values and the schemas of custom resources: pruned, completed, judged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.objects import embedded, formats, jsonpaths, jsonschema, listtypes, pruning, structural
from fairlead.objects.apiextensions_v1 import JSONSchemaProps
from fairlead.objects.jsonvalues import copied, deeper_than, equal
from fairlead.objects.resources import Resource
from fairlead.objects.schemas import type_of_schema


def schema(of: dict[str, Any]) -> JSONSchemaProps:
    return msgspec.convert(of, JSONSchemaProps)


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
KEEP = {"x-kubernetes-preserve-unknown-fields": True}

PRUNED: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "unknown members go": ({"type": "object", "properties": {"a": STRING}}, {"a": "x", "b": 1}, {"a": "x"}),
    "of objects in lists too": (
        {
            "type": "object",
            "properties": {"l": {"type": "array", "items": {"type": "object", "properties": {"a": STRING}}}},
        },
        {"l": [{"a": "x", "b": 1}]},
        {"l": [{"a": "x"}]},
    ),
    "members of maps stay": (
        {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": STRING}}},
        {"m": {"x": "1"}},
        {"m": {"x": "1"}},
    ),
    "what is preserved stays, what is specified in it is pruned": (
        {"type": "object", **KEEP, "properties": {"a": {"type": "object", "properties": {"k": STRING}}}},
        {"free": {"x": 1}, "a": {"k": "1", "z": 2}},
        {"free": {"x": 1}, "a": {"k": "1"}},
    ),
    "an object of the API keeps its own fields": (
        {"type": "object"},
        {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "spec": 1},
        {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}},
    ),
    "so does one inside": (
        {
            "type": "object",
            "properties": {
                "t": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"spec": INTEGER},
                }
            },
        },
        {"t": {"apiVersion": "v1", "kind": "A", "metadata": {}, "spec": 1, "other": 2}},
        {"t": {"apiVersion": "v1", "kind": "A", "metadata": {}, "spec": 1}},
    ),
}


@pytest.mark.parametrize(("of", "value", "expected"), PRUNED.values(), ids=PRUNED.keys())
def test_pruning(of: dict[str, Any], value: Any, expected: Any) -> None:
    value = copied(value)
    pruning.prune(value, schema(of), whole=True)
    assert value == expected


def test_what_was_pruned_is_told() -> None:
    of = schema({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "object"}}}})
    assert pruning.prune({"l": [{"a": 1}], "b": {"c": 2}}, of) == ["l[0].a", "b"]


DEFAULTED: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "absent": ({"type": "object", "properties": {"a": {**INTEGER, "default": 1}}}, {}, {"a": 1}),
    "given": ({"type": "object", "properties": {"a": {**INTEGER, "default": 1}}}, {"a": 2}, {"a": 2}),
    "null where none may be": (
        {"type": "object", "properties": {"a": {**INTEGER, "default": 1}}},
        {"a": None},
        {"a": 1},
    ),
    "null where it may be": (
        {"type": "object", "properties": {"a": {**INTEGER, "default": 1, "nullable": True}}},
        {"a": None},
        {"a": None},
    ),
    "null without a default goes": ({"type": "object", "properties": {"a": INTEGER}}, {"a": None}, {}),
    "a default has defaults": (
        {
            "type": "object",
            "properties": {
                "a": {"type": "object", "default": {}, "properties": {"b": {**STRING, "default": "x"}}}
            },
        },
        {},
        {"a": {"b": "x"}},
    ),
    "not without its parent": (
        {
            "type": "object",
            "properties": {"a": {"type": "object", "properties": {"b": {**STRING, "default": "x"}}}},
        },
        {},
        {},
    ),
    "in every item": (
        {
            "type": "object",
            "properties": {
                "l": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"b": {**INTEGER, "default": 0}}},
                }
            },
        },
        {"l": [{}, {"b": 2}]},
        {"l": [{"b": 0}, {"b": 2}]},
    ),
}


@pytest.mark.parametrize(("of", "value", "expected"), DEFAULTED.values(), ids=DEFAULTED.keys())
def test_defaults(of: dict[str, Any], value: Any, expected: Any) -> None:
    value = copied(value)
    pruning.settle(value, schema(of))
    assert value == expected


JUDGED: list[tuple[dict[str, Any], Any, list[str]]] = [
    (INTEGER, 1, []),
    (INTEGER, 1.0, []),
    (INTEGER, 1.5, ['a: Invalid value: "number": a in body must be of type integer: "number"']),
    (INTEGER, True, ['a: Invalid value: "boolean": a in body must be of type integer: "boolean"']),
    (STRING, None, ['a: Invalid value: "null": a in body must be of type string: "null"']),
    ({**STRING, "nullable": True}, None, []),
    (
        {**STRING, "nullable": True, "enum": ["x"]},
        None,
        ['a: Unsupported value: null: supported values: "x"'],
    ),
    ({"type": "number"}, 1, []),
    ({"x-kubernetes-int-or-string": True}, "50%", []),
    (
        {"x-kubernetes-int-or-string": True},
        1.5,
        ['a: Invalid value: "number": a in body must be of type integer,string: "number"'],
    ),
    ({**STRING, "enum": ["x", "y"]}, "z", ['a: Unsupported value: "z": supported values: "x", "y"']),
    ({**INTEGER, "enum": [1, 2]}, 2.0, []),
    ({**STRING, "pattern": "^a+$"}, "ab", ["a: Invalid value: \"ab\": a in body should match '^a+$'"]),
    ({**STRING, "pattern": "b"}, "abc", []),
    ({**STRING, "maxLength": 2}, "abc", ["a: Too long: may not be more than 2 bytes"]),
    ({**STRING, "minLength": 2}, "ä", ['a: Invalid value: "ä": a in body should be at least 2 chars long']),
    ({**INTEGER, "minimum": 1}, 0, ["a: Invalid value: 0: a in body should be greater than or equal to 1"]),
    (
        {**INTEGER, "minimum": 1, "exclusiveMinimum": True},
        1,
        ["a: Invalid value: 1: a in body should be greater than 1"],
    ),
    ({**INTEGER, "maximum": 5}, 6, ["a: Invalid value: 6: a in body should be less than or equal to 5"]),
    ({**INTEGER, "multipleOf": 3}, 4, ["a: Invalid value: 4: a in body should be a multiple of 3"]),
    ({"type": "number", "multipleOf": 0.1}, 0.3, []),
    (
        {**INTEGER, "format": "int32"},
        1 << 31,
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in a'],
    ),
    (
        {"type": "array", "items": STRING, "maxItems": 1},
        ["x", "y"],
        ["a: Too many: 2: must have at most 1 items"],
    ),
    (
        {"type": "array", "items": STRING, "minItems": 1},
        [],
        ["a: Invalid value: 0: a in body should have at least 1 items"],
    ),
    (
        {"type": "array", "items": STRING},
        [1],
        ['a[0]: Invalid value: "integer": a[0] in body must be of type string: "integer"'],
    ),
    ({"type": "object", "required": ["b"]}, {}, ["a.b: Required value"]),
    (
        {"type": "object", "additionalProperties": INTEGER},
        {"k": "x"},
        ['a.k: Invalid value: "string": a.k in body must be of type integer: "string"'],
    ),
    ({"type": "object", "maxProperties": 1}, {"b": 1, "c": 2}, ["a: Too many: 2: must have at most 1 items"]),
    (
        {"type": "object", "minProperties": 1},
        {},
        ["a: Invalid value: 0: a in body should have at least 1 properties"],
    ),
    ({**STRING, "format": "ipv4"}, "10.0.0.1", []),
    ({**STRING, "format": "ipv4"}, "x", ['a: Invalid value: "x": a in body must be of type ipv4: "x"']),
    ({**STRING, "format": "whatever"}, "x", []),
    (
        {"type": "object", "oneOf": [{"required": ["b"]}, {"required": ["c"]}]},
        {"b": 1, "c": 1},
        [
            '<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives'
        ],
    ),
    (
        {"type": "object", "anyOf": [{"required": ["b"]}, {"required": ["c"]}]},
        {},
        ['<nil>: Invalid value: "": "a" must validate at least one schema (anyOf)', "a.b: Required value"],
    ),
    (
        {"type": "string", "allOf": [{"minLength": 1}, {"maxLength": 3}]},
        "",
        [
            'a: Invalid value: "": a in body should be at least 1 chars long',
            '<nil>: Invalid value: "": "a" must validate all the schemas (allOf)',
        ],
    ),
    (
        {"type": "string", "not": {"enum": ["x"]}},
        "x",
        ['<nil>: Invalid value: "": "a" must not validate the schema (not)'],
    ),
]


@pytest.mark.parametrize(("of", "value", "expected"), JUDGED)
def test_values_judged_in_upstreams_words(of: dict[str, Any], value: Any, expected: list[str]) -> None:
    assert [str(error) for error in jsonschema.validate(value, schema(of), "a")] == expected


def test_what_has_not_changed_is_not_judged_again() -> None:
    item = {"type": "object", "required": ["k"], "properties": {"k": STRING, "v": {**STRING, "enum": ["x"]}}}
    listed = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
    }
    of = schema({"type": "object", "properties": {"l": listed, "s": {**STRING, "maxLength": 1}}})
    old = {"l": [{"k": "1", "v": "bad"}, {"k": "2", "v": "x"}], "s": "long"}
    moved = {"l": [{"k": "2", "v": "x"}, {"k": "1", "v": "bad"}], "s": "long"}
    assert jsonschema.validate(moved, of, old=old) == []
    worse = {"l": [{"k": "1", "v": "bad"}, {"k": "2", "v": "worse"}], "s": "longer"}
    assert [error.path for error in jsonschema.validate(worse, of, old=old)] == ["l[1].v", "s"]


def test_sets_and_maps_hold_each_item_once() -> None:
    of = schema(
        {
            "type": "object",
            "properties": {
                "s": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
                "m": {
                    "type": "array",
                    "items": {"type": "object"},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["a", "b"],
                },
            },
        }
    )
    value = {"s": ["x", "y", "x", "x"], "m": [{"a": 1, "b": 2}, {"a": 1}, {"b": 2, "a": 1, "c": 3}]}
    assert [str(error) for error in listtypes.validate(value, of)] == [
        's[2]: Duplicate value: "x"',
        'm[2]: Duplicate value: {"a":1,"b":2}',
    ]


def test_objects_inside_have_kind_version_and_good_metadata() -> None:
    of = schema(
        {"type": "object", "properties": {"t": {"type": "object", "x-kubernetes-embedded-resource": True}}}
    )
    bad = {"t": {"apiVersion": "a/b/c", "metadata": {"labels": {"x": "not good"}}}}
    wrong = sorted(error.path for error in embedded.validate(bad, of))
    assert wrong == ["t.apiVersion", "t.kind", "t.metadata.labels"]
    assert embedded.validate({"t": {"apiVersion": "v1", "kind": "Pod"}}, of) == []


FORMATS = [
    ("ipv6", "::1", "10.0.0.1"),
    ("cidr", "10.0.0.0/8", "10.0.0.0"),
    ("mac", "00:11:22:33:44:55", "00:11"),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000", "x"),
    ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
    ("date", "2026-11-25", "2026-13-01"),
    ("date-time", "2026-11-25T10:00:00Z", "yesterday"),
    ("duration", "1h30m", "soon"),
    ("byte", "aGk=", "***"),
    ("hostname", "a.example.com", "-a"),
    ("uri", "https://example.com/x", "x y"),
    ("email", "a@example.com", "a"),
    ("isbn10", "0321751043", "0321751044"),
    ("isbn13", "978-0321751041", "978-0321751042"),
    ("creditcard", "4111-1111-1111-1111", "4111-1111-1111-1112"),
    ("ssn", "111-11-1111", "111"),
    ("hexcolor", "#FFFFFF", "#F"),
    ("rgbcolor", "rgb(0,255,7)", "rgb(0,256,7)"),
    ("bsonobjectid", "507f1f77bcf86cd799439011", "x"),
    ("k8s-short-name", "a-b", "A"),
    ("k8s-long-name", "a.b", "a..b"),
]


@pytest.mark.parametrize(("name", "good", "bad"), FORMATS)
def test_formats(name: str, good: str, bad: str) -> None:
    check = formats.check(name)
    assert check is not None
    assert check(good)
    assert not check(bad)
    assert formats.recognized(name)


DOCUMENT = {
    "spec": {"a.b": 1, "list": [{"type": "A", "n": 1}, {"type": "B", "n": 2}]},
    "metadata": {"annotations": {"x.io/y": "v"}},
}
PATHS = [
    (".spec.list[0].n", [1]),
    (".spec.list[-1].n", [2]),
    (".spec.list[*].n", [1, 2]),
    (".spec.list[0:1].n", [1]),
    ('.spec.list[?(@.type=="B")].n', [2]),
    (".spec.list[?(@.type=='B')].n", [2]),
    (".spec.list[?(@.n>1)].type", ["B"]),
    (".spec.list[?(@.type!='B')].n", [1]),
    (".metadata.annotations.x\\.io/y", ["v"]),
    (".spec['a.b']", [1]),
    (".spec.absent.more", []),
    (".spec.list.n", []),
]


@pytest.mark.parametrize(("path", "expected"), PATHS)
def test_paths(path: str, expected: list[Any]) -> None:
    assert list(jsonpaths.parse(path).find(DOCUMENT)) == expected


@pytest.mark.parametrize("path", ["..x", ".a[", ".a[?(@.b", ".a{b}", "a"])
def test_paths_that_cannot_be_followed(path: str) -> None:
    with pytest.raises(ValueError, match="no JSON path"):
        jsonpaths.parse(path)


def test_a_schema_as_the_type_that_patches_go_by() -> None:
    of = schema(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "ports": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["port"],
                            "items": {"type": "object", "properties": {"port": INTEGER}},
                        },
                        "ref": {
                            "type": "object",
                            "x-kubernetes-map-type": "atomic",
                            "properties": {"a": STRING},
                        },
                    },
                }
            },
        }
    )
    found = type_of_schema(of, Resource("example.com", "v1", "widgets", "Widget", object))
    assert found.fields["metadata"].type.endswith("ObjectMeta")
    spec = found.fields["spec"].of
    assert spec is not None
    assert (spec.fields["ports"].list_type, spec.fields["ports"].list_keys) == ("map", ("port",))
    assert spec.fields["ref"].map_type == "atomic"


def test_depth() -> None:
    value: Any = {}
    for _ in range(10):
        value = {"a": [value]}
    assert deeper_than(20, value)
    assert not deeper_than(21, value)


# ---- properties ----

NAMES = st.sampled_from("abc")
LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "default": "d"},
        {"type": "integer"},
        {"type": "integer", "default": 7, "minimum": 0},
        {"type": "boolean", "nullable": True},
        {"x-kubernetes-int-or-string": True, "default": "5%"},
        {"x-kubernetes-preserve-unknown-fields": True},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    ]
)


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(NAMES, inner, max_size=3)
    return st.one_of(
        members.map(lambda of: {"type": "object", "properties": of}),
        members.map(lambda of: {"type": "object", "properties": of, "default": {}}),
        inner.map(lambda of: {"type": "array", "items": of}),
        inner.map(lambda of: {"type": "object", "additionalProperties": of}),
    )


SCHEMAS = st.recursive(LEAVES, grown, max_leaves=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from(["", "x", "5%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, VALUES)
def test_settling_is_done_once(of: dict[str, Any], value: Any) -> None:
    root = schema({"type": "object", "properties": {"spec": of}})
    once = {"spec": copied(value)}
    pruning.settle(once, root)
    twice = copied(once)
    assert pruning.settle(twice, root) == []
    assert equal(twice, once)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS)
def test_defaults_of_an_accepted_schema_are_good_by_it(of: dict[str, Any]) -> None:
    root = schema({"type": "object", "properties": {"spec": of}})
    assert structural.validate(root, "schema") == []
    value: dict[str, Any] = {}
    pruning.settle(value, root)
    assert jsonschema.validate(value, root) == []


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, VALUES, VALUES)
def test_an_unchanged_value_is_always_accepted(of: dict[str, Any], value: Any, other: Any) -> None:
    root = schema({"type": "object", "properties": {"spec": of}})
    assert jsonschema.validate({"spec": value}, root, old={"spec": value}) == []
    judged = {str(error) for error in jsonschema.validate({"spec": other}, root, old={"spec": value})}
    assert judged <= {str(error) for error in jsonschema.validate({"spec": other}, root)}


# ---- what is asked of a value has bounds -----------------------------------------------------------------------------


@given(options=st.lists(VALUES, max_size=20), value=VALUES)
@settings(derandomize=True, max_examples=300)
def test_an_enum_of_many_is_as_one_of_few(options: list[Any], value: Any) -> None:
    """Many options are looked up, few are compared."""
    filled = [*options, *(f"filler-{i}" for i in range(20))]
    expected = any(equal(value, option) for option in filled)
    found = jsonschema.validate(value, schema({"enum": filled, "nullable": True}))
    assert (not found) is expected


def test_an_enum_tells_a_boolean_from_a_number() -> None:
    of = schema({"enum": [1, "1", *range(10, 30)]})
    assert [bool(jsonschema.validate(value, of)) for value in (1, 1.0, True, "1", "2", None)] == [
        False,
        False,
        True,
        False,
        True,
        True,
    ]


def test_a_large_value_meets_a_large_enum() -> None:
    """Item by item and option by option that would be 10,000,000,000 comparisons."""
    of = schema({"type": "array", "items": {"enum": [f"v{i}" for i in range(100_000)]}})
    assert jsonschema.validate(["v99999"] * 100_000, of) == []


def test_checks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonschema, "MOST_CHECKS", 1000)
    options = [{"minimum": i + 10} for i in range(50)]
    of = schema({"type": "array", "items": {"type": "integer", "anyOf": options}})
    assert jsonschema.validate([99] * 10, of) == []
    (error,) = jsonschema.validate([1] * 100, of, "spec.l")
    assert str(error) == (
        'spec.l: Invalid value: "": the schema asks too much of so large a value: more than 1000 checks'
    )


def test_errors_are_told_up_to_a_number() -> None:
    found = jsonschema.validate(["x"] * 5000, schema({"type": "array", "items": INTEGER}), "spec.l")
    assert len(found) == jsonschema.MOST_ERRORS + 1
    assert str(found[-1]) == 'spec.l: Invalid value: "": has more errors than these 1000'
