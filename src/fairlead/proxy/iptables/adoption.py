"""From what the tables hold, whoever left it there, to what they should hold, or to nothing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from fairlead.proxy.dataplane import Selected
from fairlead.proxy.iptables.difference import Difference
from fairlead.proxy.iptables.names import (
    CANARIES,
    FIREWALL,
    KUBELET_CANARY,
    LOCALNET,
    MARK_FOREIGN,
    NAT,
    PORTALS,
    Chain,
    is_service_chain,
)
from fairlead.proxy.iptables.rendering import render
from fairlead.proxy.iptables.saved import Saved, target
from fairlead.proxy.iptables.settings import Settings
from fairlead.proxy.iptables.skeleton import JUMPS, LOCALNET_JUMPS, LOCALNET_RULE, constant, jumps, tails


def adoption(saved: Saved, wanted: Iterable[Selected], settings: Settings) -> Difference:
    """The way to what the Services want. Rules that are there as they should be stay."""
    todo = Difference()
    fixed = {chain: list[str]() for chain in CANARIES} | constant(settings)
    todo.written = {chain: rules for chain, rules in fixed.items() if saved.ours.get(chain) != rules}
    portals: dict[Chain, dict[str, None]] = {chain: {} for chain in PORTALS}
    own: dict[Chain, list[str]] = {}
    for selected in wanted:
        rules = render(selected, settings)
        own |= {Chain(NAT, name): lines for name, lines in rules.chains.items()}
        for chain, rule in rules.portals:
            portals[chain][rule] = None
    ends = tails(settings)
    for chain in reversed(PORTALS):
        _adopt_portals(chain, portals[chain], ends.get(chain, []), saved, todo)
    for chain, lines in (fixed | own).items():
        todo.total[chain.table] += len(lines)
    for chain in PORTALS:
        todo.total[chain.table] += len(portals[chain]) + len(ends.get(chain, ()))
    todo.total.update(chain.table for chain, _ in jumps(settings))
    todo.written |= {chain: lines for chain, lines in own.items() if saved.ours.get(chain) != lines}
    _adopt_jumps(saved, settings, todo)
    stale = [
        chain
        for chain in saved.ours
        if chain not in own and chain not in fixed and (is_service_chain(chain.name) or chain == MARK_FOREIGN)
    ]
    if stale:
        foreign = saved.led_to()
        todo.dead = {chain: None for chain in stale if chain not in foreign}
    return todo


def _adopt_portals(
    chain: Chain, wanted: dict[str, None], last: list[str], saved: Saved, todo: Difference
) -> None:
    """Brings a shared chain to the rules wanted, in any order, and the last ones."""
    held = saved.ours.get(chain)
    if held is None:
        todo.written[chain] = held = last
    middle = len(held) - len(last)
    there = Counter(held[:middle])
    gone = list((there - Counter(wanted.keys())).elements())
    todo.portals(((chain, rule) for rule in gone), ((chain, rule) for rule in wanted if rule not in there))
    if held[middle:] != last or len(gone) != len(set(gone)) or chain in todo.crowded():
        todo.whole[chain] = [*wanted, *last]


def _adopt_jumps(saved: Saved, settings: Settings, todo: Difference) -> None:
    held = saved.foreign
    if settings.localhost:
        if LOCALNET not in held:
            todo.written[LOCALNET] = [LOCALNET_RULE]
        elif LOCALNET_RULE not in held[LOCALNET]:
            todo.jumps.append((LOCALNET, LOCALNET_RULE))
    todo.jumps += [(chain, rule) for chain, rule in jumps(settings) if rule not in held.get(chain, ())]


def removal(saved: Saved, others: Collection[Chain] = ()) -> Difference:
    """The way to nothing of ours. What a kubelet looks after is left to it, where there is one.

    So are `others`, chains that another mode has taken over, with the jumps to them; but for the firewall's, which
    it makes in its own way.
    """
    todo = Difference()
    going = set(saved.ours).difference(others)
    leading = set(JUMPS)
    for chain, rule in JUMPS:
        if FIREWALL in others and target(rule) == FIREWALL.name and rule in saved.foreign.get(chain, ()):
            todo.unjumped.append((chain, rule))
    if KUBELET_CANARY not in saved.foreign:
        leading |= set(LOCALNET_JUMPS)
        going |= {LOCALNET} & saved.foreign.keys()
    kept = set[Chain]()
    staying = saved.foreign | {chain: saved.ours[chain] for chain in others if chain in saved.ours}
    for chain, rules in staying.items():
        for rule in rules:
            to = Chain(chain.table, target(rule))
            if to not in going or chain in going:
                continue
            if (chain, rule) in leading:
                todo.unjumped.append((chain, rule))
            else:
                kept.add(to)
    todo.dead = {chain: None for chain in (*saved.ours, LOCALNET) if chain in going and chain not in kept}
    todo.written = {chain: [] for chain in kept}
    return todo
