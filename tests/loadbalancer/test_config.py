"""Pools from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.loadbalancer.config import read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools: [{name: a, addresses: [10.0.0.0/33]}]", "pool 'a': '10.0.0.0/33' is neither a network"),
        ("pools: [{name: a, addresses: []}]", "pool 'a': a pool needs addresses"),
        ("pools: [{name: a}]", "missing required field `addresses` - at `$.pools[0]`"),
        ("pools: [{name: a, addresses: [10.0.0.1], x: 1}]", "unknown field `x` - at `$.pools[0]`"),
        (
            "pools: [{name: a, addresses: [10.0.0.0/24]}, {name: a, addresses: [10.0.1.0/24]}]",
            "two pools are called 'a'",
        ),
        (
            "pools: [{name: a, addresses: [10.0.0.0/24]}, {name: b, addresses: [10.0.0.9-10.0.1.0]}]",
            "pool 'b': its addresses 10.0.0.9-10.0.1.0 overlap with 10.0.0.0-10.0.0.255 of pool 'a'",
        ),
        ("pools: [", "while parsing a flow node"),
        ("- pools", "Expected `object`, got `array`"),
        (
            "{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: a}}",
            "L2Advertisement is not read here, only IPAddressPool is",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a}}",
            "Pod of v1 is no pool of fairlead.dev or metallb.io",
        ),
        (
            "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: a}, spec: {}}",
            "pool 'a': Object missing required field `addresses`",
        ),
    ],
)
def test_files_that_are_wrong(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=str(path)) as caught:
        read(path)
    assert said in str(caught.value)


def test_pools_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text("""
pools:
- name: public
  addresses: [203.0.113.0/25, "2001:db8::/64"]
  avoidBuggyIPs: true
- name: team
  addresses: [203.0.113.128/25]
  autoAssign: false
  serviceAllocation:
    priority: 1
    namespaces: [team]
    namespaceSelectors: [{matchLabels: {env: prod}}]
    serviceSelectors: [{matchExpressions: [{key: tier, operator: In, values: [gold]}]}]
""")
    public, team = read(path)
    assert (public.name, public.avoid_buggy, public.versions) == ("public", True, frozenset({4, 6}))
    assert team.admits("team", {}, {"tier": "gold"})
    assert team.admits("x", {"env": "prod"}, {"tier": "gold"})
    assert not team.admits("team", {}, {})
    assert not team.admits("x", {}, {"tier": "gold"})
    assert not team.auto_assign


def test_pools_from_manifests(tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_text("""
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: first-pool, namespace: metallb-system}
spec:
  addresses: [192.168.10.0/24, 192.168.9.1-192.168.9.5, "fc00:f853:0ccd:e799::/124"]
---
apiVersion: fairlead.dev/v1
kind: IPAddressPool
metadata: {name: second}
spec: {addresses: [10.0.0.1], autoAssign: false}
""")
    first, second = read(path)
    assert [str(piece) for piece in first.ranges] == [
        "192.168.9.1-192.168.9.5",
        "192.168.10.0-192.168.10.255",
        "fc00:f853:ccd:e799::-fc00:f853:ccd:e799::f",
    ]
    assert (second.name, second.auto_assign) == ("second", False)
