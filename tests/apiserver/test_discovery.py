"""Discovery: the documents that clients find the kinds by."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.apiserver.discovery import Discovery
from fairlead.apiserver.kinds import KINDS

DISCOVERY = Discovery(KINDS, "192.168.1.1:6443")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def document(path: str, accept: str = "application/json") -> Any:
    found = DISCOVERY.answer(path, {"Accept": accept})
    assert found is not None
    assert "ETag" not in found.headers
    return msgspec.json.decode(found.body)


def test_versions_of_the_core() -> None:
    where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "192.168.1.1:6443"}]
    assert document("/api") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": where,
    }


UPSTREAMS_ORDER = (
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
)
"""By it kubectl decides which of two groups a name means."""


def test_groups() -> None:
    names = [group["name"] for group in document("/apis/")["groups"]]
    assert names == [name for name in UPSTREAMS_ORDER if name in names]
    assert {"apps", "batch", "discovery.k8s.io", "networking.k8s.io"} <= set(names)
    version = {"groupVersion": "discovery.k8s.io/v1", "version": "v1"}
    expected = {"kind": "APIGroup", "apiVersion": "v1", "name": "discovery.k8s.io"}
    assert document("/apis/discovery.k8s.io") == expected | {
        "versions": [version],
        "preferredVersion": version,
    }


def test_resources_of_a_version() -> None:
    resources = {one["name"]: one for one in document("/api/v1")["resources"]}
    assert resources["services"]["shortNames"] == ["svc"]
    assert resources["services"]["storageVersionHash"] == "0/CO1lhkEBI="
    assert resources["services/status"]["verbs"] == ["get", "patch", "update"]
    assert resources["nodes"]["namespaced"] is False


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_the_aggregated_form(path: str) -> None:
    found = DISCOVERY.answer(path, {"Accept": f"{AGGREGATED},application/json"})
    assert found is not None
    assert found.content_type == AGGREGATED
    assert {"Vary": "Accept", "Cache-Control": "public"}.items() <= found.headers.items()
    again = DISCOVERY.answer(path, {"Accept": AGGREGATED, "If-None-Match": found.headers["ETag"]})
    assert again is not None
    assert (again.status, again.body, again.headers) == (304, b"", found.headers)
    listed = msgspec.json.decode(found.body)
    assert listed["apiVersion"] == "apidiscovery.k8s.io/v2"
    groups = [group["name"] for group in document("/apis")["groups"]] if path == "/apis" else [None]
    assert [item["metadata"].get("name") for item in listed["items"]] == groups


def test_what_is_not_there() -> None:
    assert DISCOVERY.answer("/apis/unknown.io", {}) is None
