"""Which frontends are looked at after a change, and which flows are forgotten then."""

from __future__ import annotations

from socket import IPPROTO_TCP, IPPROTO_UDP

import pytest

from fairlead.proxy.conntrack import Flow, Frontend, UdpFrontends, astray, noting, stale
from fairlead.proxy.dataplane import Selected
from fairlead.proxy.selection import Selection, Target

CLUSTER, EXTERNAL = (b"\x0a\x60\x00\x01", 53), (b"\xcb\x00\x71\x05", 53)
NODE_PORT = (b"", 30053)


def target(name: str, port: int = 5353) -> Target:
    return b"\x0a\xf4\x01" + name.encode() + port.to_bytes(2, "big") + b"\0\0"


def service(
    serving: str, protocol: int = IPPROTO_UDP, *, external: bool = True, port: int = 5353
) -> Selected:
    """A Service port; each letter is an endpoint that serves."""
    targets = tuple(target(name, port) for name in serving)
    one = Selection(
        name="default/dns",
        protocol=protocol,
        internal=targets,
        external=targets,
        cluster=targets,
        cluster_frontends=(CLUSTER,),
        external_frontends=(EXTERNAL,) if external else (),
        node_port=NODE_PORT[1] if external else 0,
        masquerade_external=True,
        affinity=0,
        guarded=(),
        sources=(),
        skipped=0,
        local=(),
        serving=targets if protocol == IPPROTO_UDP else (),
    )
    return (one,)


ALL = {CLUSTER, EXTERNAL, NODE_PORT}


@pytest.mark.parametrize(
    ("before", "after", "looked_at"),
    [
        pytest.param((), service("a"), ALL, id="a new Service"),
        pytest.param(service("a"), service("a"), set(), id="nothing changed"),
        pytest.param(service("a"), service("ab"), set(), id="one more endpoint"),
        pytest.param(service("ab"), service("b"), ALL, id="one endpoint less"),
        pytest.param(service("a"), service("b"), ALL, id="another endpoint"),
        pytest.param(service("a"), service("a", port=53), ALL, id="another target port"),
        pytest.param(service("a"), service(""), set(), id="the last endpoint went"),
        pytest.param(service(""), service("a"), ALL, id="the first endpoint"),
        pytest.param(service("a"), (), set(), id="the Service went"),
        pytest.param(service("a", external=False), service("a"), {EXTERNAL, NODE_PORT}, id="more frontends"),
        pytest.param(service("a"), service("a", external=False), set(), id="fewer frontends"),
        pytest.param((), service("a", IPPROTO_TCP), set(), id="TCP"),
    ],
)
def test_what_is_looked_at(before: Selected, after: Selected, looked_at: set[Frontend]) -> None:
    frontends = UdpFrontends()
    frontends.changed({"default/dns": before})
    assert set(frontends.changed({"default/dns": after})) == looked_at


def test_an_endpoint_that_went_with_all_others_is_looked_for_when_the_next_one_comes() -> None:
    frontends = UdpFrontends()
    for serving in ("a", ""):
        frontends.changed({"default/dns": service(serving)})
    assert set(frontends.changed({"default/dns": service("a")})) == ALL


@pytest.mark.parametrize(
    ("destination", "answering", "goes"),
    [
        pytest.param(CLUSTER, target("a"), False, id="to an endpoint that serves"),
        pytest.param(CLUSTER, target("b"), True, id="to one that does not"),
        pytest.param(CLUSTER, target("a", 53), True, id="to another port of its"),
        pytest.param(
            EXTERNAL, EXTERNAL[0] + b"\0\x35\0\0", True, id="to nobody, before there was an endpoint"
        ),
        pytest.param((b"\xc0\xa8\x01\x0a", 30053), target("b"), True, id="by the node port"),
        pytest.param(
            (b"\xc0\xa8\x01\x0a", 30053), target("a"), False, id="by the node port, to one that serves"
        ),
        pytest.param((b"\x08\x08\x08\x08", 53), target("b"), False, id="no frontend of ours"),
    ],
)
def test_what_is_forgotten(destination: Frontend, answering: Target, goes: bool) -> None:
    doubtful = UdpFrontends().changed({"default/dns": service("a")})
    assert stale(Flow(*destination, answering), doubtful) is goes


@pytest.mark.parametrize(
    ("answering", "answered", "goes"),
    [
        pytest.param(
            CLUSTER[0] + b"\0\x35\0\0", False, True, id="where the client said, and nobody answered"
        ),
        pytest.param(CLUSTER[0] + b"\0\x35\0\0", True, False, id="somebody there answered"),
        pytest.param(target("a"), False, False, id="to an endpoint that has not answered yet"),
        pytest.param(CLUSTER[0] + b"\0\x36\0\0", False, False, id="to another port"),
    ],
)
def test_what_went_astray(answering: Target, answered: bool, goes: bool) -> None:
    assert astray(Flow(*CLUSTER, answering, IPPROTO_TCP, answered)) is goes


def test_noting_passes_everything_and_notes_udp() -> None:
    noted: dict[str, Selected] = {"left from a first try": ()}
    every = [("default/dns", service("a")), ("default/web", service("a", IPPROTO_TCP))]
    assert list(noting(lambda: iter(every), noted)()) == every
    assert set(noted) == {"default/dns"}
