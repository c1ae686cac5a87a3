"""Patches: what each of the three kinds makes of an object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.apiserver.patch import MalformedPatch, PatchError, json_patch, merge_patch, strategic_merge
from fairlead.objects.schema import Type, type_named

SERVICE = type_named("k8s.io.api.core.v1.Service")
POD = type_named("k8s.io.api.core.v1.Pod")


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        # RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(document: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(document, patch) == expected


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/spec/c", "value": 3}], {"spec": {"a": 1, "list": ["x", "y"], "c": 3}}),
        ([{"op": "add", "path": "/spec/list/-", "value": "z"}], {"spec": {"a": 1, "list": ["x", "y", "z"]}}),
        ([{"op": "add", "path": "/spec/list/0", "value": "z"}], {"spec": {"a": 1, "list": ["z", "x", "y"]}}),
        ([{"op": "remove", "path": "/spec/list/0"}], {"spec": {"a": 1, "list": ["y"]}}),
        ([{"op": "replace", "path": "/spec/a", "value": None}], {"spec": {"a": None, "list": ["x", "y"]}}),
        ([{"op": "move", "from": "/spec/a", "path": "/b"}], {"spec": {"list": ["x", "y"]}, "b": 1}),
        (
            [{"op": "copy", "from": "/spec/a", "path": "/spec/b"}],
            {"spec": {"a": 1, "list": ["x", "y"], "b": 1}},
        ),
        ([{"op": "test", "path": "/spec/a", "value": 1}], {"spec": {"a": 1, "list": ["x", "y"]}}),
        ([{"op": "add", "path": "/a~1b~0", "value": 1}], {"spec": {"a": 1, "list": ["x", "y"]}, "a/b~": 1}),
        ([{"op": "replace", "path": "", "value": {}}], {}),
    ],
)
def test_json_patch(operations: Any, expected: Any) -> None:
    document = {"spec": {"a": 1, "list": ["x", "y"]}}
    assert json_patch(document, operations) == expected
    assert document == {"spec": {"a": 1, "list": ["x", "y"]}}


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ([{"op": "test", "path": "/spec/a", "value": 2}], "testing value /spec/a failed: test failed"),
        ([{"op": "test", "path": "/spec/a", "value": True}], "testing value /spec/a failed: test failed"),
        (
            [{"op": "remove", "path": "/spec/b"}],
            "error in remove for path: '/spec/b': Unable to remove nonexistent key: b: missing value",
        ),
        (
            [{"op": "replace", "path": "/spec/b", "value": 1}],
            "replace operation does not apply: doc is missing key: /spec/b: missing value",
        ),
        (
            [{"op": "add", "path": "/status/b", "value": 1}],
            'add operation does not apply: doc is missing path: "/status/b": missing value',
        ),
        (
            [{"op": "add", "path": "/spec/list/7", "value": 1}],
            "error in add for path: '/spec/list/7': Unable to access invalid index: 7: invalid index referenced",
        ),
        ([{"op": "leap", "path": "/spec"}], "Unexpected kind: leap"),
        ([{}], "Unexpected kind: unknown"),
        ([{"op": "add", "value": 1}], "add operation failed to decode path: missing value"),
        ([{"op": "copy", "path": "/b"}], "copy operation failed to decode from: missing value"),
        (
            [{"op": "move", "from": "/spec", "path": "/spec/b"}],
            "move operation does not apply: /spec cannot be moved into itself",
        ),
        (
            [{"op": "replace", "path": "/spec/list/01", "value": 1}],
            "error in replace for path: '/spec/list/01': invalid array index: 01",
        ),
    ],
)
def test_json_patch_that_does_not_apply(operations: Any, said: str) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({"spec": {"a": 1, "list": ["x", "y"]}}, operations)
    assert str(caught.value) == said
    assert caught.value.code == 422


@pytest.mark.parametrize(
    "operations",
    [{}, None, ["add"], [{"op": 1}], [{"op": "add", "path": ["a"]}], [{"op": "copy", "from": {}}]],
)
def test_what_is_no_json_patch(operations: Any) -> None:
    with pytest.raises(MalformedPatch) as caught:
        json_patch({}, operations)
    assert caught.value.code == 400


def test_copies_are_bounded() -> None:
    document = {"a": ["x" * 1000]}
    grow = [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "copy", "from": "/b", "path": "/a/-"}] * 20
    with pytest.raises(PatchError) as caught:
        json_patch(document, grow)
    assert str(caught.value).endswith("exceeding the limit 3145728")
    assert document == {"a": ["x" * 1000]}


def test_operations_are_bounded() -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)
    assert (caught.value.code, str(caught.value)) == (
        413,
        "The allowed maximum operations in a JSON patch is 10000, got 10001",
    )


def test_what_was_copied_changes_alone() -> None:
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": "/a", "value": {"x": [1]}},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/x/-", "value": 2},
    ]
    assert json_patch({}, operations) == {"a": {"x": [1]}, "b": {"x": [1, 2]}}
    assert operations[0]["value"] == {"x": [1]}


def service(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"ports": list(ports)}}


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


@pytest.mark.parametrize(
    ("of", "document", "patch", "expected"),
    [
        pytest.param(
            SERVICE,
            service({"port": 80, "name": "http"}, {"port": 443, "name": "https"}),
            service({"port": 443, "nodePort": 30443}),
            service({"port": 80, "name": "http"}, {"port": 443, "name": "https", "nodePort": 30443}),
            id="ports merge by their number",
        ),
        pytest.param(
            SERVICE,
            service({"port": 80}),
            service({"port": 443}),
            service({"port": 443}, {"port": 80}),
            id="a new item comes first",
        ),
        pytest.param(
            SERVICE,
            service({"port": 80}, {"port": 443}),
            service({"$patch": "delete", "port": 80}),
            service({"port": 443}),
            id="an item is deleted by its key",
        ),
        pytest.param(
            SERVICE,
            service({"port": 80}, {"port": 443}),
            service({"$patch": "replace"}, {"port": 8080}),
            service({"port": 8080}),
            id="a list is replaced",
        ),
        pytest.param(
            SERVICE,
            {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"selector": {"x": "1"}}},
            {
                "metadata": {"labels": {"a": None, "c": "3"}},
                "spec": {"selector": {"$patch": "replace", "y": "2"}},
            },
            {"metadata": {"labels": {"b": "2", "c": "3"}}, "spec": {"selector": {"y": "2"}}},
            id="maps merge, or are replaced",
        ),
        pytest.param(
            SERVICE,
            {"spec": {"externalIPs": ["1.1.1.1"], "clusterIP": "10.96.0.1"}},
            {"spec": {"externalIPs": ["2.2.2.2"], "clusterIP": None}},
            {"spec": {"externalIPs": ["2.2.2.2"]}},
            id="atomic lists are replaced, null removes",
        ),
        pytest.param(
            SERVICE,
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"]}},
            {"metadata": {"finalizers": ["d", "a", "c"]}},
            id="sets of strings lose and gain items",
        ),
        pytest.param(
            POD,
            pod(containers=[{"name": "a"}, {"name": "b"}, {"name": "server-only"}]),
            pod(**{"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": []}),
            pod(containers=[{"name": "b"}, {"name": "a"}, {"name": "server-only"}]),
            id="the order of items is set",
        ),
        pytest.param(
            POD,
            pod(containers=[{"name": "a", "image": "old"}, {"name": "b"}]),
            pod(
                **{
                    "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}],
                    "containers": [
                        {"name": "a", "image": "new"},
                        {"name": "c"},
                        {"$patch": "delete", "name": "b"},
                    ],
                }
            ),
            pod(containers=[{"name": "a", "image": "new"}, {"name": "c"}]),
            id="what kubectl apply sends",
        ),
        pytest.param(
            POD,
            pod(volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}]),
            pod(volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]),
            pod(volumes=[{"name": "v", "hostPath": {"path": "/x"}}]),
            id="the other member of a union goes",
        ),
        pytest.param(
            POD,
            pod(containers=[{"name": "a", "env": [{"name": "X", "value": "1"}], "args": ["1", "2"]}]),
            pod(containers=[{"name": "a", "env": [{"name": "Y", "value": "2"}], "args": ["3"]}]),
            pod(
                containers=[
                    {
                        "name": "a",
                        "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}],
                        "args": ["3"],
                    }
                ]
            ),
            id="lists within lists",
        ),
        pytest.param(
            SERVICE,
            {"spec": {"unknown": [1], "known": {"a": 1}}},
            {"spec": {"unknown": [2], "known": {"b": 2}}},
            {"spec": {"unknown": [2], "known": {"a": 1, "b": 2}}},
            id="unknown lists are replaced",
        ),
        pytest.param(
            SERVICE,
            {},
            {"spec": {"ports": [{"port": 1, "name": None}, {"$patch": "delete", "port": 2}], "type": None}},
            {"spec": {"ports": [{"port": 1}]}},
            id="nothing of the patch's own words is kept",
        ),
        pytest.param(SERVICE, {"spec": {"a": 1}}, {"$patch": "delete"}, {}, id="all is deleted"),
    ],
)
def test_strategic_merge(of: Type | None, document: Any, patch: Any, expected: Any) -> None:
    assert strategic_merge(document, patch, of) == expected


@pytest.mark.parametrize(
    ("patch", "code", "said"),
    [
        ([], 400, "invalid JSON document"),
        (
            service({"name": "http"}),
            400,
            "map: map[name:http] does not contain declared merge key: port",
        ),
        (
            {"spec": {"$patch": "explode"}},
            400,
            "unknown patch type found: explode in map: map[$patch:explode]",
        ),
        (
            {"spec": {"$retainKeys": ["type"], "clusterIP": "None"}},
            400,
            "invalid patch format of retainKeys",
        ),
        (
            {"spec": {"$setElementOrder/ports": [{"port": 80}], "ports": [{"port": 81}]}},
            400,
            "The order in patch list:\n[map[port:81]]\n doesn't match $setElementOrder list:\n[map[port:80]]\n",
        ),
        ({"spec": {"$patch": "merge"}}, 400, "unknown patch type found: merge in map: map[$patch:merge]"),
        (
            service({"$patch": "merge", "port": 80}),
            400,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            service({"$patch": "delete"}),
            400,
            "map: map[$patch:delete] does not contain declared merge key: port",
        ),
        ({"spec": {"ports": [[1]]}}, 422, "lists of lists are not supported"),
        ({"spec": {"ports": [1]}}, 400, "list element types are not identical"),
        (
            {"spec": {"$setElementOrder/ports": {"port": 80}}},
            400,
            "expected a []interface {}, but received a map[string]interface {}",
        ),
        ({"spec": {"$deleteFromPrimitiveList/": ["x"]}}, 400, "invalid patch format of primitive list"),
        ({"spec": {"$retainKeys": "type"}}, 400, "invalid patch format of retainKeys"),
    ],
)
def test_strategic_merge_patch_that_cannot_be_applied(patch: Any, code: int, said: str) -> None:
    with pytest.raises(PatchError) as caught:
        strategic_merge(service({"port": 80}), patch, SERVICE)
    assert (caught.value.code, str(caught.value)) == (code, said)


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return value


@given(documents, documents)
def test_merging_a_patch_twice_changes_nothing_more(document: Any, patch: Any) -> None:
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once


@given(documents, documents.map(without_nulls))
def test_a_patch_without_nulls_stands_in_the_result(document: Any, patch: Any) -> None:
    merged = merge_patch(document, patch)
    assert merge_patch(merged, patch) == merged
    if isinstance(patch, dict):
        assert set(patch) <= set(merged)
    else:
        assert merged == patch


def difference(old: dict[str, Any], new: dict[str, Any], keys: dict[str, str]) -> dict[str, Any]:
    """The strategic merge patch from old to new as kubectl makes it, for lists that merge by `keys`."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if name in keys and isinstance(before, list):
            key = keys[name]
            had = {item[key]: item for item in before}
            wanted = [item[key] for item in value]
            changed = [
                difference(had.get(i[key], {}), i, {}) | {key: i[key]} for i in value if had.get(i[key]) != i
            ]
            gone = [{"$patch": "delete", key: k} for k in had if k not in wanted]
            patch[name] = changed + gone
            patch[f"$setElementOrder/{name}"] = [{key: k} for k in wanted]
        elif isinstance(value, dict) and isinstance(before, dict):
            patch[name] = difference(before, value, {})
        elif before != value:
            patch[name] = value
    return patch


def items(key: str, values: Any) -> Any:
    members = st.fixed_dictionaries({key: values}, optional={"protocol": st.sampled_from(["TCP", "UDP"])})
    return st.lists(members, max_size=4, unique_by=lambda item: item[key])


specs = st.fixed_dictionaries(
    {"ports": items("port", st.integers(1, 5))},
    optional={
        "selector": st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3),
        "type": st.sampled_from(["ClusterIP", "NodePort"]),
        "externalIPs": st.lists(st.sampled_from(["1.1.1.1", "2.2.2.2"]), max_size=2),
    },
)


@given(specs, specs)
def test_a_difference_merged_in_gives_the_target(old: dict[str, Any], new: dict[str, Any]) -> None:
    patch = {"spec": difference(old, new, {"ports": "port"})}
    assert strategic_merge({"spec": old}, patch, SERVICE) == {"spec": new}
