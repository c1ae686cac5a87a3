"""Any history of Services and their endpoints ends in the same tables as a cold start with what is left."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.node import namespaces
from fairlead.proxy.family import IPV4
from fairlead.proxy.iptables.commands import find
from fairlead.proxy.iptables.dataplane import Iptables, cleanup
from fairlead.proxy.iptables.skeleton import jumps
from tests.proxy.iptables.cluster import ALL, ledger, piece, service
from tests.proxy.iptables.test_kernel import dataplane, tables
from tests.proxy.topology import namespace, root

pytestmark = root

NAMES = ("a", "b", "c")
Change = tuple[str, str | None, str | None]
"""A Service's name; what kind it becomes, None if it goes; its endpoints, None if they stay as they are."""

changes = st.tuples(
    st.sampled_from(NAMES),
    st.none() | st.sampled_from(sorted(ALL)),
    st.none() | st.text("abcxy", max_size=4).map(lambda pods: "".join(sorted(set(pods)))),
)
turns = st.lists(st.lists(changes, min_size=1, max_size=4), max_size=8)


@pytest.fixture(scope="module")
def network() -> Iterator[int]:
    made = namespace()
    yield made
    os.close(made)


def counted(made: Iptables) -> Counter[str]:
    """How many rules of ours each table has."""
    found = Counter(chain.table for chain, _ in jumps(made.settings))
    for chain, rules in find(IPV4).save().ours.items():
        found[chain.table] += len(rules)
    return found


@given(history=turns)
@settings(max_examples=25)
def test_every_history_ends_as_a_cold_start(network: int, history: list[list[Change]]) -> None:
    with namespaces.entered(network):
        known, made = ledger(services={}), dataplane()
        made.rebuild(known.everything)
        kinds: dict[str, str | None] = {}
        slices = {name: piece(name, IPV4, pods="") for name in NAMES}
        for turn in history:
            for name, kind, pods in turn:
                kinds[name] = kind
                number = NAMES.index(name)
                # Two of them ask for one address and one node port when both are of such a kind.
                new = service(name, number // 2, IPV4, **{**ALL[kind], "protocol": "TCP"}) if kind else None
                known.service_changed(f"default/{name}", new)
                if pods is not None:
                    before, slices[name] = slices[name], piece(name, IPV4, pods=pods)
                    known.slice_changed(f"default/{name}", before, slices[name])
            made.commit(known.changes())
        assert made.rules == counted(made)
        incremental = tables()
        made.rebuild(known.everything)
        assert not made.last, made.last.text(1000, 1000)
        made.close()
        cleanup()
        cold = dataplane()
        cold.rebuild(known.everything)
        assert tables() == incremental
        assert cold.rules == counted(cold)
        cold.close()
        cleanup()
