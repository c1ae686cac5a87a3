"""The rules as iptables-save prints them, without their ever having been in a kernel. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fairlead.proxy.dataplane import Selected
from fairlead.proxy.family import Family
from fairlead.proxy.iptables.adoption import adoption
from fairlead.proxy.iptables.names import FILTER, MANGLE, NAT, Chain
from fairlead.proxy.iptables.saved import Saved
from fairlead.proxy.iptables.settings import Settings, crowded
from fairlead.proxy.options import ProxyOptions


def listing(
    options: ProxyOptions, family: Family, addresses: tuple[bytes, ...], wanted: Sequence[Selected]
) -> str:
    """All three tables. The rules that others have there are not among them."""
    settings = Settings(family, options, addresses, brief=crowded(wanted))
    todo = adoption(Saved(), wanted, settings)
    chains = {chain: list(rules) for chain, rules in todo.written.items()}
    for chain, rules in todo.added.items():
        chains[chain][:0] = rules  # before the tail
    jumps: dict[Chain, list[str]] = {}
    for chain, rule in todo.jumps:
        jumps.setdefault(chain, []).insert(0, rule)
    return tables(jumps, chains)


def tables(jumps: Mapping[Chain, Sequence[str]], chains: Mapping[Chain, Sequence[str]]) -> str:
    """All three, from the rules of the kernel's own chains and of ours, as iptables-save writes rules."""
    return "".join(_table(table, jumps, chains) for table in (MANGLE, NAT, FILTER))


def _table(table: str, jumps: Mapping[Chain, Sequence[str]], chains: Mapping[Chain, Sequence[str]]) -> str:
    own = sorted(chain for chain in chains if chain.table == table)
    base = [chain for chain in jumps if chain.table == table]
    lines = [f"*{table}", *(f":{chain.name} - [0:0]" for chain in own)]
    lines += _rules(base, jumps)
    lines += _rules(own, chains)
    return "\n".join((*lines, "COMMIT", ""))


def _rules(names: Iterable[Chain], chains: Mapping[Chain, Sequence[str]]) -> list[str]:
    return [f"-A {chain.name} {rule}" for chain in names for rule in chains[chain]]
