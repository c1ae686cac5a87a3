"""What is asked of the kernel for a bad link, and what cannot be asked for."""

from __future__ import annotations

import os

import pytest
import typer

from fairlead import libnftables
from fairlead.cli.lablinks import percent
from fairlead.lab import links, members
from fairlead.lab.members import Member
from fairlead.lab.network import Refused
from fairlead.lab.state import StateDirectory
from fairlead.node import namespaces
from tests.lab.conftest import record


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (1.0, "ingress drop"),
        (0.1, "ingress numgen random mod 1000000 < 100000 drop"),
        (1e-9, "ingress numgen random mod 1000000 < 1 drop"),
    ],
)
def test_packets_are_dropped_in_both_directions(loss: float, rule: str) -> None:
    text = links.ruleset("node1", loss)
    assert f"add rule netdev fairlead-link-node1 {rule}\n" in text
    assert f"add rule netdev fairlead-link-node1 {rule.replace('ingress', 'egress')}\n" in text


def test_a_link_that_is_well_has_no_table() -> None:
    assert links.ruleset("node1", 0) == (
        "add table netdev fairlead-link-node1\ndelete table netdev fairlead-link-node1\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
@pytest.mark.parametrize("loss", [0, 0.25, 1])
def test_the_kernel_takes_it(loss: float) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            namespaces.unshare(namespaces.CLONE_NEWNET)
            for _ in range(2):
                libnftables.run(links.ruleset("lo", loss))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("outside", "'outside' has no link in a lab"),
        ("node", "has no link in a lab"),
        ("pod/a/b/c", "has no link in a lab"),
        ("node/node3", "there is no node 'node3'"),
        ("node/node2", "node2 is stopped"),
        ("pod/web", "no running pod 'web' in namespace 'default'"),
    ],
)
def test_what_has_no_link_is_refused(directory: StateDirectory, target: str, said: str) -> None:
    directory.path.mkdir()
    directory.write(record())
    members.write(directory, (Member(1), Member(2, stopped=True)))
    with pytest.raises(Refused, match=said):
        links.find(directory, target)


@pytest.mark.parametrize(("text", "share"), [("0%", 0), ("10%", 0.1), ("0.5%", 0.005), ("100%", 1)])
def test_a_share_is_read(text: str, share: float) -> None:
    assert percent(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "10", "-1%", "100.1%", "1e1%", "ten%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no share"):
        percent(text)
