"""The iptables dataplane: kube-proxy's chains, adopted as they are found, changed by differences."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from fairlead.proxy import metrics
from fairlead.proxy.dataplane import Everything, Selected
from fairlead.proxy.family import IPV4, Family
from fairlead.proxy.iptables.adoption import adoption, removal
from fairlead.proxy.iptables.commands import Tools, every, find
from fairlead.proxy.iptables.difference import Difference
from fairlead.proxy.iptables.names import CANARIES, FILTER, NAT, SERVICES, SHARED, Chain
from fairlead.proxy.iptables.rendering import render
from fairlead.proxy.iptables.settings import Settings, crowded
from fairlead.proxy.iptables.skeleton import tails
from fairlead.proxy.iptables.watch import Watch
from fairlead.proxy.options import ProxyOptions

log = logging.getLogger("fairlead.proxy")

LEGACY_LOOK = 15.0
"""Seconds between looks at legacy tables, which tell nothing of changes and are copied as a whole."""

_ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")
_LIBERAL = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal")


class Iptables:
    """One family's rules in the network namespace of the thread that made this.

    Its memory is what the Services want, from which it writes anew what the kernel holds of the ones that change.
    """

    def __init__(self, options: ProxyOptions, family: Family = IPV4) -> None:
        self.family = family
        self.last = Difference()
        """What the last `rebuild` or `commit` took."""
        self.settings = Settings(family, options)
        self._tools: Tools | None = None
        self._watch: Watch | None = None
        self._looked = 0.0
        self._applied: dict[str, Selected] = {}
        self.rules = Counter[str]()
        """How many rules of each table are ours."""

    def close(self) -> None:
        """Lets the kernel keep everything as it is."""
        if self._watch is not None:
            self._watch.close()

    def rebuild(self, everything: Everything) -> None:
        """Reads the tables and brings them to `everything`. Costs some ten microseconds a rule that is there.

        Raises `Unusable` without the programs, `Refused` with what iptables-restore said.
        """
        self._tools = find(self.family)
        wanted = dict(everything())
        self._prepare(wanted.values())
        todo = adoption(self._tools.save(), wanted.values(), self.settings)
        self._applied = wanted
        self.rules.clear()
        self._restore(todo)

    def commit(self, changes: Mapping[str, Selected]) -> None:
        """Brings in what the Services that changed want; chains of the others are not touched.

        A Service that comes or goes costs iptables a search in the chain that leads to all of them.
        """
        todo = Difference()
        for key, selected in changes.items():
            before = self._applied.get(key, ())
            todo.change(render(before, self.settings), render(selected, self.settings))
            if selected:
                self._applied[key] = selected
            else:
                self._applied.pop(key, None)
        for chain in todo.crowded():
            todo.whole[chain] = self._whole(chain)
        self._restore(todo)

    def node_changed(self, addresses: tuple[bytes, ...]) -> None:
        """The node's primary addresses, where node ports are open if that is asked for."""
        before = self.settings
        self.settings = replace(before, addresses=addresses)
        if self._tools is not None and tails(before) != tails(self.settings):
            todo = Difference()
            todo.whole[SERVICES] = self._whole(SERVICES)
            self._restore(todo)

    def harmed(self) -> bool:
        """Whether somebody else changed or flushed our chains since the last look."""
        if self._watch is not None:
            return self._watch.harmed()
        if self._tools is None or time.monotonic() - self._looked < LEGACY_LOOK:
            return False
        self._looked = time.monotonic()
        return not self._tools.save().ours.keys() >= set(CANARIES)

    def tidy(self) -> None:
        """Nothing: what is not needed goes with the change that made it so."""

    def _prepare(self, wanted: Iterable[Selected]) -> None:
        """Looks at what the rules depend on, and lets the kernel route to 127.0.0.1."""
        options = self.settings.options
        if self.settings.localhost and not _route_localnet():
            options = replace(options, localhost_nodeports=False)
        self.settings = replace(
            self.settings, options=options, liberal=_read(_LIBERAL) not in ("", "0"), brief=crowded(wanted)
        )

    def _restore(self, todo: Difference) -> None:
        assert self._tools is not None, "rebuild comes first"
        self.last = todo
        if todo:
            self._tools.tell(todo)
        self.rules.update(todo.total)
        label, told = self.family.address_type, todo.told()
        for table in (NAT, FILTER):
            metrics.IPTABLES_RULES.labels(label, table).set(self.rules[table])
            metrics.IPTABLES_LAST.labels(label, table).set(told[table])
        if self._tools.legacy:
            self._looked = time.monotonic()
            return
        if self._watch is None:
            self._watch = Watch(self.family)
        if todo or not self._watch.remembers:
            self._watch.remember()

    def _whole(self, chain: Chain) -> list[str]:
        """All rules of a chain that Services share."""
        rendered = (render(selected, self.settings).portals for selected in self._applied.values())
        rules = {rule: None for portals in rendered for where, rule in portals if where == chain}
        return [*rules, *tails(self.settings).get(chain, ())]


def cleanup(family: Family = IPV4, *, beside: str = "") -> None:
    """Removes every chain of ours and every jump to one, but for what the mode `beside` has taken over.

    Connections that they translated go on.

    A chain that somebody else's rules lead to stays, but empty. Costs microseconds where there is nothing of ours.
    Raises `Refused`, `Unusable`.
    """
    for tools in every(family):
        if tools.legacy or _present(family):
            tools.tell(removal(tools.save(), SHARED if beside == "ipvs" else ()))


def _present(family: Family) -> bool:
    watch = Watch(family)
    try:
        return watch.any_of_ours()
    finally:
        watch.close()


def _route_localnet() -> bool:
    """Lets packets to 127.0.0.0/8 be routed, without which their translation leads nowhere; says whether it could."""
    if _read(_ROUTE_LOCALNET) == "1":
        return True
    try:
        _ROUTE_LOCALNET.write_text("1")
    except OSError as error:
        log.warning("node ports are not open on 127.0.0.1: %s: %s", _ROUTE_LOCALNET, error.strerror)
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
