"""What iptables-restore is told, and in which order."""

from __future__ import annotations

import pytest

from fairlead.proxy.family import IPV4
from fairlead.proxy.iptables.difference import Difference
from fairlead.proxy.iptables.names import NAT, Chain
from fairlead.proxy.iptables.rendering import ServiceRules, render
from fairlead.proxy.iptables.settings import Settings
from tests.proxy.iptables.cluster import ledger

MUCH = 1 << 40


def rules(pods: str | None, **traits: object) -> ServiceRules:
    """What a Service with these endpoints wants; None is no Service."""
    if pods is None:
        return ServiceRules()
    known = ledger(services={"web": {"pods": pods, **traits}})
    return render((one for _, selected in known.everything() for one in selected), Settings(IPV4))


def told(old: ServiceRules, new: ServiceRules, limit: int = MUCH, most: int = MUCH) -> list[str]:
    """Every line up to the chain's kind, sections between blank lines."""
    todo = Difference()
    todo.change(old, new)
    lines = []
    for line in todo.text(limit, most).splitlines():
        command, _, rest = line.partition(" ")
        chain = (rest if command.startswith("-") else command).partition(" ")[0]
        kind = chain.rpartition("-")[0] if len(chain) > 24 else chain
        lines.append(f"{command} {kind}" if command.startswith("-") else kind)
    return lines


NEW_ENDPOINT = [":KUBE-SEP", "-A KUBE-SEP", "-A KUBE-SEP"]
CASES = {
    "an endpoint comes: its chain before the one that leads to it": (
        rules("a"),
        rules("ab"),
        ["*nat", *NEW_ENDPOINT, ":KUBE-SVC", "-A KUBE-SVC", "-A KUBE-SVC", "COMMIT"],
    ),
    "an endpoint goes: its chain when nothing leads to it any more": (
        rules("ab"),
        rules("a"),
        ["*nat", ":KUBE-SVC", "-A KUBE-SVC", ":KUBE-SEP", "-X KUBE-SEP", "COMMIT"],
    ),
    "the first endpoint comes: it is no longer refused when the way is there": (
        rules(""),
        rules("a"),
        ["*nat", *NEW_ENDPOINT, ":KUBE-SVC", "-A KUBE-SVC", "-I KUBE-SERVICES", "COMMIT",
         "*filter", "-D KUBE-SERVICES", "COMMIT"],
    ),
    "the last endpoint goes: it is refused before the way is gone": (
        rules("a"),
        rules(""),
        ["*filter", "-I KUBE-SERVICES", "COMMIT",
         "*nat", "-D KUBE-SERVICES", ":KUBE-SEP", ":KUBE-SVC", "-X KUBE-SEP", "-X KUBE-SVC", "COMMIT"],
    ),
    "a Service goes": (
        rules("a"),
        rules(None),
        ["*nat", "-D KUBE-SERVICES", ":KUBE-SEP", ":KUBE-SVC", "-X KUBE-SEP", "-X KUBE-SVC", "COMMIT"],
    ),
    "a Service stays as it is": (rules("ab"), rules("ab"), []),
    "it becomes a node port": (
        rules("a"),
        rules("a", type="NodePort"),
        ["*nat", ":KUBE-EXT", "-A KUBE-EXT", "-A KUBE-EXT", "-I KUBE-NODEPORTS", "COMMIT"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_iptables_is_told(case: str) -> None:
    old, new, lines = CASES[case]
    assert told(old, new) == lines


def test_a_chain_that_is_too_long_for_one_section_leads_somewhere_after_each() -> None:
    """Where a batch is limited: the end comes first, then rule by rule what stands before it."""
    todo = Difference()
    todo.written[Chain(NAT, "KUBE-SVC-X")] = [f"rule{number}" for number in range(8)]
    kernel: list[str] = []
    seen = []
    for line in todo.text(limit=3, most=3).splitlines():
        command, _, rule = line.replace("KUBE-SVC-X ", "").partition(" ")
        if command == ":KUBE-SVC-X" or line.startswith(":"):
            kernel.clear()
        elif command == "-A":
            kernel.append(rule)
        elif command == "-I":
            kernel.insert(0, rule)
        elif command == "COMMIT":
            seen.append(list(kernel))
    whole = [f"rule{number}" for number in range(8)]
    assert seen[-1] == whole
    assert all(state == whole[len(whole) - len(state) :] for state in seen)
    assert len(seen) == 3
