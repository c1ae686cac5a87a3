"""The operations of the served kinds, beside those that the official Python client was generated from.

That client is made by a generator from upstream's own document, so its methods tell what that document says: names,
paths, parameters, media types, answers. It leaves the deprecated watches out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import pytest

from fairlead.apiserver.kind import Kind
from fairlead.apiserver.kinds import KINDS
from fairlead.apiserver.openapi import elsewhere, operations
from fairlead.apiserver.openapi.operations import Operation

NOT_SERVED = {
    "pods": {"attach", "exec", "log", "portforward", "proxy"},
    "nodes": {"proxy"},
    "services": {"proxy"},
}
"""Parts that upstream has and this server does not."""


@dataclass(frozen=True)
class Method:
    """A method of a client."""

    name: str
    http: str
    path: str
    query: frozenset[str]
    accepts: frozenset[str]
    sends: frozenset[str]
    answers: frozenset[tuple[str, str]]
    """Each code with the kind that comes with it."""


def snake(camel: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", camel).lower()


def without_cbor(media: list[str]) -> frozenset[str]:
    return frozenset(one for one in media if "cbor" not in one)


@cache
def upstreams(tag: str) -> dict[str, Method]:
    """The methods of a module of the client, which is a tag of the document."""
    text = (resources.files("kubernetes.client") / "api" / f"{snake(tag)}_api.py").read_text()
    answers = {
        name: frozenset(re.findall(r"'(\d+)': \"(\w+)\"", block))
        for name, block in re.findall(
            r"\n    def (\w+)_with_http_info\(.*?_response_types_map: [^=]*= \{(.*?)\}", text, re.DOTALL
        )
    }
    found = {}
    for name, block in re.findall(
        r"\n    def _(\w+)_serialize\((.*?)\n            auth_settings=", text, re.DOTALL
    ):
        accepts, _, sends = block.partition("_default_content_type = (")
        (http,), (path,) = re.findall(r"method='(\w+)'", block), re.findall(r"resource_path='(.*)'", block)
        found[name] = Method(
            name,
            http,
            path,
            frozenset(re.findall(r"_query_params\.append\(\('(\w+)'", block)),
            without_cbor(
                re.findall(r"'(\S+/\S+?)'", accepts.partition("select_header_accept(")[2].partition("]")[0])
            ),
            without_cbor(re.findall(r"'(application/\S+?)'", sends.partition("return self")[0])),
            # The client says `object` for the Status of a deletion, which may be the object.
            frozenset(
                (code, "Status" if kind == "object" else re.sub(r"^\w*?V\d[a-z0-9]*", "", kind))
                for code, kind in answers[name]
            ),
        )
    return found


def own(operation: Operation, path: str, kind: Kind) -> Method:
    """An operation as a method of a client."""
    version = operations.words(operations.group_word(kind.resource.group)) + kind.resource.version.title()
    named = {"*/*": frozenset[str]()}
    return Method(
        snake(operation.name.replace(version, "", 1)),
        operation.method.upper(),
        path,
        frozenset(one.name for one in operation.parameters if one.where == "query"),
        frozenset(operation.produces),
        named.get(operation.consumes[0], frozenset(operation.consumes)),
        frozenset((str(code), name.rpartition(".")[2]) for code, name in operation.answers.items()),
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.qualified)
def test_the_operations_are_those_of_upstreams_document(kind: Kind) -> None:
    found = operations.of_kind(kind)
    ours = [own(of, path, kind) for path, listed in found.items() for of in listed]
    collections = {path for path in found if path.endswith(f"/{kind.plural}") and "/watch/" not in path}
    theirs = {
        name: method
        for name, method in upstreams(operations.tag(kind.resource.group, kind.resource.version)).items()
        if any(
            re.fullmatch(f"{re.escape(path)}(/{{name}}(/(?!{{).*)?)?", method.path) for path in collections
        )
        if method.path.partition("{name}/")[2].partition("/")[0] not in NOT_SERVED.get(kind.plural, ())
    }
    assert {one.name: one for one in ours if "/watch/" not in one.path} == theirs


def test_watches_have_paths_of_their_own() -> None:
    """Which the client leaves out, as they are deprecated."""
    pods = next(kind for kind in KINDS if kind.plural == "pods")
    watched = {
        path: [(one.name, one.action) for one in of]
        for path, of in operations.of_kind(pods).items()
        if "/watch/" in path
    }
    assert watched == {
        "/api/v1/watch/pods": [("watchCoreV1PodListForAllNamespaces", "watchlist")],
        "/api/v1/watch/namespaces/{namespace}/pods": [("watchCoreV1NamespacedPodList", "watchlist")],
        "/api/v1/watch/namespaces/{namespace}/pods/{name}": [("watchCoreV1NamespacedPod", "watch")],
    }


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [of.name for kind in KINDS for listed in operations.of_kind(kind).values() for of in listed]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("at", "name", "tag"),
    [
        ("api", "getCoreAPIVersions", "core"),
        ("api/v1", "getCoreV1APIResources", "core_v1"),
        ("apis", "getAPIVersions", "apis"),
        ("apis/apps", "getAppsAPIGroup", "apps"),
        ("apis/rbac.authorization.k8s.io", "getRbacAuthorizationAPIGroup", "rbacAuthorization"),
        ("apis/rbac.authorization.k8s.io/v1", "getRbacAuthorizationV1APIResources", "rbacAuthorization_v1"),
        (
            "apis/stable.example.com/v1beta1",
            "getStableExampleComV1beta1APIResources",
            "stableExampleCom_v1beta1",
        ),
    ],
)
def test_discovery_is_described_too(at: str, name: str, tag: str) -> None:
    ((path, (operation,)),) = elsewhere.of_discovery(at).items()
    assert (path, operation.name, operation.tag) == (f"/{at}/", name, tag)
