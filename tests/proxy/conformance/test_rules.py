"""Who answers whom: a table of Services, of requests, and of what must become of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from fairlead.proxy.family import IPV4
from tests.proxy.conformance.cluster import Cluster, Frontends, On, Served
from tests.proxy.conformance.traffic import DROPPED, REFUSED, Ask, check

NETWORKS = {
    "outside": ("192.168.1.1/32", "fd00:192:1::1/128"),
    "node1": ("192.168.1.10/32", "fd00:192:1::10/128"),
    "pods of node1": ("10.244.1.0/24", "fd00:244:1::/64"),
    "nobody": ("192.0.2.0/24", "fd00:dead::/64"),
    "everybody": ("0.0.0.0/0", "::/0"),
}
"""For loadBalancerSourceRanges, in both families."""


@dataclass(frozen=True)
class Rule:
    """A Service of TCP and UDP port 80, its endpoints, and requests."""

    title: str
    on: Served
    asks: tuple[Ask, ...]
    spec: dict[str, Any] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    """Names of NETWORKS that loadBalancerSourceRanges has."""
    ipvs: tuple[Ask, ...] = ()
    """The requests in that mode, where something else becomes of them.

    A virtual server has one set of real servers for everybody, so that the short cut is taken only where the node has
    no endpoint. kube-proxy does the same (pkg/proxy/ipvs/proxier.go, syncEndpoint; kubernetes#97081).
    """


NODE_PORT = {"type": "NodePort", "externalTrafficPolicy": "Cluster"}
BALANCED = {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}
LOCAL_OUT = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
LOCAL_IN = {"internalTrafficPolicy": "Local"}


def draining(place: str) -> On:
    """An endpoint whose pod ends, and still serves."""
    return On(place, ready=False, serving=True, terminating=True)


def gone(place: str) -> On:
    """An endpoint whose pod ends, and serves no more."""
    return On(place, ready=False, serving=False, terminating=True)


RULES = (
    # ---- the kinds of frontends ------------------------------------------------------------------------------
    Rule(
        "a ClusterIP leads to all endpoints, and pods are seen with their own address",
        "abcde",
        (
            Ask("a", "clusterIP", "abcde", "a"),
            Ask("e", "clusterIP", "abcde", "e"),
            Ask("node1", "clusterIP", "abcde", "node1"),
            Ask("node2", "clusterIP", "abcde", "node2"),
        ),
    ),
    Rule(
        "a ClusterIP asked from elsewhere leads back by way of the node",
        "ad",
        (Ask("outside", "clusterIP", "ad", "node1"),),
    ),
    Rule("a pod that is its only endpoint reaches itself", "a", (Ask("a", "clusterIP", "a"),)),
    Rule(
        "an endpoint in the node's network",
        [On("node1"), On("node2")],
        (Ask("a", "clusterIP", "node1", "a"),),
        LOCAL_IN,
    ),
    Rule(
        "an endpoint in the other node's network",
        [On("node2")],
        (
            Ask("a", "clusterIP", "node2", "a"),
            Ask("e", "clusterIP", "node2", "e"),
            Ask("node1", "clusterIP", "node2", "node1"),
            Ask("outside", "node1's nodePort", "node2", "node1"),
        ),
        NODE_PORT,
    ),
    Rule(
        "a node port is open on every node, and its clients are seen with the node's address",
        "abcde",
        (
            Ask("outside", "node1's nodePort", "abcde", "node1"),
            Ask("outside", "node2's nodePort", "abcde", "node2"),
            Ask("a", "node1's nodePort", "abcde", "node1"),
            Ask("a", "node2's nodePort", "abcde", "node2"),
            Ask("node1", "node1's nodePort", "abcde", "node1"),
            Ask("node1", "node2's nodePort", "abcde", "node2"),
        ),
        NODE_PORT,
    ),
    Rule(
        "a pod reaches itself by a node port",
        "a",
        (Ask("a", "node1's nodePort", "a"), Ask("a", "node2's nodePort", "a", "node2")),
        NODE_PORT,
    ),
    Rule(
        "an externalIP",
        "abcde",
        (
            Ask("outside", "externalIP", "abcde", "node1"),
            Ask("a", "externalIP", "abcde", "node1"),
            Ask("d", "externalIP", "abcde", "node2"),
            Ask("node2", "externalIP", "abcde", "node2"),
        ),
        NODE_PORT,
    ),
    Rule(
        "a load balancer's address is the Service's, unless its ipMode is Proxy",
        "abcde",
        (
            Ask("outside", "loadBalancer", "abcde", "node1"),
            Ask("a", "loadBalancer", "abcde", "node1"),
            Ask("d", "loadBalancer", "abcde", "node2"),
            Ask("node1", "loadBalancer", "abcde", "node1"),
            Ask("a", "loadBalancer of ipMode Proxy", "outside", "a"),
            Ask("node1", "loadBalancer of ipMode Proxy", "outside", "node1"),
        ),
        BALANCED,
    ),
    # ---- nobody answers --------------------------------------------------------------------------------------
    Rule(
        "without endpoints every frontend refuses",
        "",
        (
            Ask("a", "clusterIP", REFUSED),
            Ask("node1", "clusterIP", REFUSED),
            Ask("outside", "clusterIP", REFUSED),
            Ask("outside", "node1's nodePort", REFUSED),
            Ask("node1", "node1's nodePort", REFUSED),
            Ask("a", "node2's nodePort", REFUSED),
            Ask("outside", "externalIP", REFUSED),
            Ask("a", "externalIP", REFUSED),
            Ask("outside", "loadBalancer", REFUSED),
            Ask("d", "loadBalancer", REFUSED),
        ),
        BALANCED,
    ),
    Rule(
        "without endpoints every frontend refuses, whatever the policies",
        "",
        (
            Ask("a", "clusterIP", REFUSED),
            Ask("outside", "node1's nodePort", REFUSED),
            Ask("outside", "externalIP", REFUSED),
            Ask("outside", "loadBalancer", REFUSED),
        ),
        LOCAL_OUT | LOCAL_IN,
    ),
    Rule(
        "a port that the Service does not have is refused",
        "a",
        (
            Ask("a", "another port of the clusterIP", REFUSED),
            Ask("node1", "another port of the clusterIP", REFUSED),
            Ask("outside", "another port of the clusterIP", REFUSED),
        ),
    ),
    Rule(
        "an address that no Service has is dropped",
        "a",
        (Ask("a", "a free address", DROPPED), Ask("node1", "a free address", DROPPED)),
    ),
    # ---- internalTrafficPolicy -------------------------------------------------------------------------------
    Rule(
        "internalTrafficPolicy Local keeps to the node",
        "abd",
        (
            Ask("a", "clusterIP", "ab", "a"),
            Ask("c", "clusterIP", "ab", "c"),
            Ask("node1", "clusterIP", "ab", "node1"),
            Ask("e", "clusterIP", "d", "e"),
            Ask("node2", "clusterIP", "d", "node2"),
            Ask("outside", "clusterIP", "ab", "node1"),
        ),
        LOCAL_IN,
    ),
    Rule(
        "internalTrafficPolicy Local drops where the node has no endpoint",
        "d",
        (
            Ask("a", "clusterIP", DROPPED),
            Ask("node1", "clusterIP", DROPPED),
            Ask("outside", "clusterIP", DROPPED),
            Ask("e", "clusterIP", "d", "e"),
        ),
        LOCAL_IN,
    ),
    Rule(
        "internalTrafficPolicy Local binds ClusterIPs alone",
        "d",
        (
            Ask("outside", "node1's nodePort", "d", "node1"),
            Ask("a", "node1's nodePort", "d", "node1"),
            Ask("outside", "externalIP", "d", "node1"),
            Ask("outside", "loadBalancer", "d", "node1"),
        ),
        BALANCED | LOCAL_IN,
    ),
    # ---- externalTrafficPolicy -------------------------------------------------------------------------------
    Rule(
        "externalTrafficPolicy Local keeps to the node, and shows the client's address",
        "abd",
        (
            Ask("outside", "node1's nodePort", "ab", "outside"),
            Ask("outside", "node2's nodePort", "d", "outside"),
            Ask("outside", "externalIP", "ab", "outside"),
            Ask("outside", "loadBalancer", "ab", "outside"),
        ),
        LOCAL_OUT,
    ),
    Rule(
        "externalTrafficPolicy Local drops where the node has no endpoint",
        "d",
        (
            Ask("outside", "node1's nodePort", DROPPED),
            Ask("outside", "externalIP", DROPPED),
            Ask("outside", "loadBalancer", DROPPED),
            Ask("outside", "node2's nodePort", "d", "outside"),
        ),
        LOCAL_OUT,
    ),
    Rule(
        "externalTrafficPolicy Local does not bind ClusterIPs",
        "d",
        (Ask("a", "clusterIP", "d", "a"), Ask("node1", "clusterIP", "d", "node1")),
        LOCAL_OUT,
    ),
    Rule(
        "the node's own pods take the short cut past externalTrafficPolicy Local, with their own address",
        "d",
        (
            Ask("a", "node1's nodePort", "d", "a"),
            Ask("a", "externalIP", "d", "a"),
            Ask("a", "loadBalancer", "d", "a"),
        ),
        LOCAL_OUT,
    ),
    Rule(
        "the node itself takes the short cut past externalTrafficPolicy Local",
        "d",
        (
            Ask("node1", "node1's nodePort", "d", "node1"),
            Ask("node1", "externalIP", "d", "node1"),
            Ask("node1", "loadBalancer", "d", "node1"),
        ),
        LOCAL_OUT,
    ),
    Rule(
        "the short cut leads to the endpoints of all nodes",
        "ad",
        (
            Ask("b", "node1's nodePort", "ad", "b"),
            Ask("a", "node1's nodePort", "ad", "a"),
            Ask("node1", "node1's nodePort", "ad", "node1"),
        ),
        LOCAL_OUT,
        ipvs=(
            Ask("b", "node1's nodePort", "a", "b"),
            Ask("a", "node1's nodePort", "a"),
            Ask("node1", "node1's nodePort", "a", "node1"),
        ),
    ),
    Rule(
        "another node's pods take no short cut: its node port under Local has no endpoint, and fails",
        "a",
        (
            Ask("a", "node2's nodePort", DROPPED),
            Ask("b", "node2's nodePort", DROPPED),
            Ask("node1", "node2's nodePort", DROPPED),
            Ask("d", "node1's nodePort", "a", "d"),
            Ask("d", "node2's nodePort", "a", "d"),
        ),
        LOCAL_OUT,
    ),
    Rule(
        "both policies Local",
        "d",
        (
            Ask("a", "clusterIP", DROPPED),
            Ask("a", "node1's nodePort", "d", "a"),
            Ask("outside", "node1's nodePort", DROPPED),
            Ask("outside", "node2's nodePort", "d", "outside"),
        ),
        LOCAL_OUT | LOCAL_IN,
    ),
    # ---- conditions of endpoints -----------------------------------------------------------------------------
    Rule("an endpoint that is not ready gets nothing", [On("a", ready=False), On("d")],
         (Ask("b", "clusterIP", "d"),)),
    Rule("an endpoint that says nothing of itself is ready", [On("a", ready=None)], (Ask("b", "clusterIP", "a"),)),
    Rule("endpoints that are all not ready are none", [On("a", ready=False)], (Ask("b", "clusterIP", REFUSED),)),
    Rule(
        "publishNotReadyAddresses: what is published as ready is served, though it serves no more",
        [On("a", ready=True, serving=False, terminating=True)],
        (Ask("b", "clusterIP", "a"),),
    ),
    Rule(
        "a terminating endpoint that serves gets nothing while another is ready",
        [draining("a"), On("d")],
        (Ask("b", "clusterIP", "d"), Ask("outside", "node1's nodePort", "d")),
        NODE_PORT,
    ),
    Rule(
        "terminating endpoints that serve are used when none is ready",
        [draining("a"), draining("d"), On("b", ready=False), gone("e")],
        (Ask("b", "clusterIP", "ad"), Ask("outside", "node1's nodePort", "ad")),
        NODE_PORT,
    ),
    Rule(
        "a terminating endpoint that serves no more is none",
        [gone("a")],
        (Ask("b", "clusterIP", REFUSED), Ask("outside", "node1's nodePort", REFUSED)),
        NODE_PORT,
    ),
    Rule(
        "under externalTrafficPolicy Local a node's own terminating endpoint comes before another's ready one",
        [draining("a"), On("d")],
        (
            Ask("outside", "node1's nodePort", "a", "outside"),
            Ask("outside", "node2's nodePort", "d", "outside"),
            Ask("b", "clusterIP", "d"),
            Ask("b", "node1's nodePort", "d", "b"),
        ),
        LOCAL_OUT,
        ipvs=(
            Ask("outside", "node1's nodePort", "a", "outside"),
            Ask("outside", "node2's nodePort", "d", "outside"),
            Ask("b", "clusterIP", "d"),
            Ask("b", "node1's nodePort", "a", "b"),
        ),
    ),
    Rule(
        "under internalTrafficPolicy Local a node's own terminating endpoint comes before another's ready one",
        [draining("a"), On("d")],
        (Ask("b", "clusterIP", "a"), Ask("e", "clusterIP", "d")),
        LOCAL_IN,
    ),
    Rule(
        "under Local a ready endpoint of the node comes before its terminating one",
        [draining("a"), On("b"), On("d")],
        (Ask("outside", "node1's nodePort", "b", "outside"),),
        LOCAL_OUT,
    ),
    # ---- hints -----------------------------------------------------------------------------------------------
    Rule(
        "hints keep traffic in the zone, from outside too",
        [On("a", zones=("east",)), On("d", zones=("west",)), On("e", zones=("east", "west"))],
        (
            Ask("b", "clusterIP", "ae"),
            Ask("d", "clusterIP", "de"),
            Ask("outside", "node1's nodePort", "ae", "node1"),
            Ask("outside", "node2's nodePort", "de", "node2"),
        ),
        NODE_PORT,
    ),
    Rule(
        "hints do not count where one endpoint has none",
        [On("a", zones=("east",)), On("d", zones=("west",)), On("e")],
        (Ask("b", "clusterIP", "ade"),),
    ),
    Rule(
        "hints do not count where none is for the zone",
        [On("d", zones=("west",)), On("e", zones=("west",))],
        (Ask("b", "clusterIP", "de"),),
    ),
    Rule(
        "hints for nodes come before those for zones",
        [
            On("a", zones=("east",), nodes=("node2",)),
            On("b", zones=("east",), nodes=("node1",)),
            On("d", zones=("west",), nodes=("node2",)),
        ],
        (Ask("c", "clusterIP", "b"), Ask("e", "clusterIP", "ad")),
    ),
    Rule(
        "hints do not count for policies of Local",
        [On("a", zones=("west",)), On("d", zones=("east",))],
        (Ask("outside", "node1's nodePort", "a", "outside"), Ask("b", "clusterIP", "d")),
        LOCAL_OUT,
    ),
    Rule(
        "the hint of an endpoint that is not ready does not count",
        [On("a", zones=("east",)), On("d", zones=("west",)), On("b", ready=False)],
        (Ask("c", "clusterIP", "a"),),
    ),
    # ---- loadBalancerSourceRanges ----------------------------------------------------------------------------
    Rule(
        "source ranges let in whom they name, and drop everybody else",
        "ad",
        (
            Ask("outside", "loadBalancer", "ad", "node1"),
            Ask("a", "loadBalancer", DROPPED),
            Ask("d", "loadBalancer", DROPPED),
            Ask("node1", "loadBalancer", DROPPED),
        ),
        BALANCED,
        ("outside",),
    ),
    Rule(
        "source ranges bind the load balancer's address alone",
        "ad",
        (
            Ask("outside", "loadBalancer", DROPPED),
            Ask("outside", "externalIP", "ad"),
            Ask("outside", "node1's nodePort", "ad"),
            Ask("a", "clusterIP", "ad"),
        ),
        BALANCED,
        ("nobody",),
    ),
    Rule(
        "source ranges of pods",
        "ad",
        (
            Ask("a", "loadBalancer", "ad"),
            Ask("d", "loadBalancer", DROPPED),
            Ask("outside", "loadBalancer", DROPPED),
        ),
        BALANCED,
        ("pods of node1", "nobody"),
    ),
    Rule(
        "a source range with the node's address lets the node in",
        "ad",
        (Ask("node1", "loadBalancer", "ad", "node1"), Ask("outside", "loadBalancer", DROPPED)),
        BALANCED,
        ("node1",),
    ),
    Rule(
        "a source range of everybody is none",
        "ad",
        (Ask("outside", "loadBalancer", "ad"), Ask("a", "loadBalancer", "ad")),
        BALANCED,
        ("nobody", "everybody"),
    ),
    Rule(
        "source ranges under externalTrafficPolicy Local",
        "ad",
        (
            Ask("outside", "loadBalancer", "a", "outside"),
            Ask("b", "loadBalancer", DROPPED),
        ),
        LOCAL_OUT,
        ("outside",),
    ),
    Rule(
        "source ranges do not turn a drop into a refusal",
        "d",
        (Ask("outside", "loadBalancer", DROPPED), Ask("a", "loadBalancer", "d", "a")),
        LOCAL_OUT,
        ("outside", "pods of node1"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.title)
def test_rule(cluster: Cluster, at: Frontends, rule: Rule, protocol: str) -> None:
    four = at.family is IPV4
    # The API lets entries be padded with spaces.
    ranges = tuple(f" {NETWORKS[name][0 if four else 1]} " for name in rule.allowed)
    cluster.serve(at.service(loadBalancerSourceRanges=ranges, **rule.spec), rule.on)
    check(cluster.network, at, (cluster.mode == "ipvs" and rule.ipvs) or rule.asks, protocol)
