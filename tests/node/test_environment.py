"""Environments, resolv.conf and hosts files, as upstream makes them."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.node import environment, resolver
from fairlead.node.environment import ConfigError, Sources
from fairlead.node.fieldrefs import NodeFacts
from fairlead.objects import codec
from fairlead.objects.core_v1 import Container, Pod

HOST = "search example.org\nnameserver 1.1.1.1\noptions rotate\n"


def pod(**spec: Any) -> Pod:
    meta = {"name": "web-0", "namespace": "shop", "uid": "u", "labels": {"app": "web"}}
    return codec.decode(Pod, codec.encode({"metadata": meta, "spec": {"containers": [], **spec}}))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "12"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NONE)", "$(NONE)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2"}) == expanded


def container(env: list[dict[str, Any]], **more: Any) -> Container:
    return codec.decode(Container, codec.encode({"name": "c", "env": env, **more}))


def source(kind: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": "X", "valueFrom": {kind: fields}}]


FACTS = NodeFacts("node1", ["10.0.0.1"], ["10.244.1.2", "fd00::2"], {"memory": "1Gi"})
SOURCES = Sources(FACTS, {("configmaps", "m"): {"k": "v"}})


@pytest.mark.parametrize(
    ("env", "value"),
    [
        (source("fieldRef", fieldPath="metadata.name"), "web-0"),
        (source("fieldRef", fieldPath="metadata.labels['app']"), "web"),
        (source("fieldRef", fieldPath="status.podIPs"), "10.244.1.2,fd00::2"),
        (source("fieldRef", fieldPath="spec.nodeName"), "node1"),
        (source("configMapKeyRef", name="m", key="k"), "v"),
        (source("configMapKeyRef", name="none", key="k", optional=True), None),
    ],
)
def test_values_from_elsewhere(env: list[dict[str, Any]], value: str | None) -> None:
    assert environment.make(pod(), container(env), {}, SOURCES).get("X") == value


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        (source("configMapKeyRef", name="none", key="k"), 'configmap "none" not found'),
        (source("configMapKeyRef", name="m", key="no"), "couldn't find key no in ConfigMap shop/m"),
        (source("secretKeyRef", name="none", key="k"), 'secret "none" not found'),
        (source("fieldRef", fieldPath="spec.x"), "unsupported fieldPath: spec.x"),
    ],
)
def test_what_is_missing_is_said(env: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem.replace("(", r"\(")):
        environment.make(pod(), container(env), {}, SOURCES)


def test_a_whole_config_map_with_a_prefix() -> None:
    whole = container([], envFrom=[{"prefix": "P_", "configMapRef": {"name": "m"}}])
    assert environment.make(pod(), whole, {}, SOURCES) == {"P_k": "v"}


CLUSTER = (
    "search shop.svc.cluster.local svc.cluster.local cluster.local example.org\n"
    "nameserver 10.96.0.10\noptions ndots:5\n"
)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, HOST),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "Default"}, HOST),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}}, "nameserver 9.9.9.9\n"),
        (
            {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}},
            CLUSTER.replace("ndots:5", "ndots:2 edns0"),
        ),
    ],
)
def test_resolv_conf(spec: dict[str, Any], text: str) -> None:
    assert resolver.resolv_conf(pod(**spec), ["10.96.0.10"], "cluster.local", HOST) == text


def test_hosts_has_the_pods_full_name_and_its_aliases() -> None:
    aliases = [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]
    text = resolver.hosts(pod(subdomain="db", hostAliases=aliases), ["10.244.1.2"], "cluster.local", "")
    assert "10.244.1.2\tweb-0.db.shop.svc.cluster.local\tweb-0\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
