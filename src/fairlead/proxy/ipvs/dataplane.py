"""The ipvs dataplane: what it finds is adopted, and changed by differences."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path

from fairlead.proxy.dataplane import Everything, Selected, Unusable
from fairlead.proxy.family import IPV4, IPV6, Family
from fairlead.proxy.iptables.commands import Tools, every, find
from fairlead.proxy.iptables.difference import Difference
from fairlead.proxy.iptables.names import MARK_FOREIGN, SHARED, Chain
from fairlead.proxy.iptables.settings import Settings
from fairlead.proxy.iptables.skeleton import JUMPS as IPTABLES_JUMPS
from fairlead.proxy.ipvs import sysctls
from fairlead.proxy.ipvs.channel import Request
from fairlead.proxy.ipvs.draining import LOOK, Draining, lingers
from fairlead.proxy.ipvs.interface import Addresses, interface
from fairlead.proxy.ipvs.kernel import Ipvs
from fairlead.proxy.ipvs.rendering import View, Wanted, node_port_addresses, render
from fairlead.proxy.ipvs.rules import JUMPS, Rules
from fairlead.proxy.ipvs.servers import Frontend, Server, Traits
from fairlead.proxy.ipvs.sets import IPVS_IPS, SETS, Member, Sets
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.selection import Target

log = logging.getLogger("fairlead.proxy")

_LOADED = Path("/proc/thread-self/net/ip_vs")
"""There where the kernel has IPVS."""


class IpvsDataplane:
    """One family's virtual servers, addresses, sets and rules, in the network namespace of the thread that made this.

    Its memory is what each Service wants and what the kernel holds of virtual servers. Nothing here is atomic; so
    what comes is made from the inside out, sets and servers before the address, and what goes from the outside in.
    """

    def __init__(self, options: ProxyOptions, family: Family = IPV4) -> None:
        self.family = family
        self.changed = 0
        """How many things the last `rebuild` or `commit` changed in the kernel."""
        self._options = options
        self._settings = Settings(family, options)
        self._primary: tuple[bytes, ...] = ()
        self._kernel: Ipvs | None = None
        self._addresses = Addresses(family)
        self._view = View(family, options.ipvs.scheduler)
        self._selected: dict[str, Selected] = {}
        """Of Services that depend on the node's addresses: what they want."""
        self._held: dict[str, Wanted] = {}
        self._servers: dict[Frontend, Server] = {}
        """What the kernel holds, but for real servers that drain."""
        self._counts: Counter[Member] = Counter()
        self._draining = Draining()
        self._drained = self._compared = time.monotonic()
        self._sample: list[Frontend] = []

    def close(self) -> None:
        """Lets the kernel keep everything as it is."""
        self._addresses.close()
        if self._kernel is not None:
            self._kernel.close()

    def node_changed(self, addresses: tuple[bytes, ...]) -> None:
        """The node's primary addresses, where node ports are open with `--nodeport-addresses primary`."""
        self._primary = addresses
        if self._kernel is not None:
            self._look_at_addresses()

    def rebuild(self, everything: Everything) -> None:
        """Reads all that the kernel holds and brings it to `everything`. Cost: linear in both.

        Raises `Unusable` where the kernel or a program is missing, `Refused` and OSError for what went wrong.
        """
        kernel, sets, tools = self._open(), Sets(self.family), find(self.family)
        self.changed = 0
        sysctls.apply(self._options.ipvs)
        timeouts = self._options.ipvs
        kernel.timeouts(timeouts.tcp_timeout, timeouts.tcp_fin_timeout, timeouts.udp_timeout)
        self._addresses.make_interface()
        self._addresses.changed()
        self._view = self._viewed()
        self._take_over(everything)
        held = sets.read()
        sets.make(each for each in SETS if each not in held)
        there = {Member(each, text) for each, texts in held.items() for text in texts}
        bound = self._addresses.bound()
        wanted = self._bound(self._counts)
        sets.change(self._counts.keys() - there)
        self._restore_rules(tools)
        self._adopt(kernel)
        self._addresses.bind(wanted - bound)
        self._addresses.bind(bound - wanted, unbind=True)
        sets.change(there - self._counts.keys(), remove=True)
        self.changed += len(self._counts.keys() ^ there) + len(wanted ^ bound)
        self._compared = time.monotonic()

    def commit(self, changes: Mapping[str, Selected]) -> None:
        """What the Services that changed want. Cost: linear in their endpoints, and a program where sets change."""
        self._enter({key: (selected, render(selected, self._view)) for key, selected in changes.items()})

    def harmed(self) -> bool:
        """Whether something of ours is gone. Costs two questions to the kernel; every sync period a full comparison.

        IPVS tells nobody of changes, so each time another virtual server is asked for: who clears the table, as
        people do, is found out at once.
        """
        if self._kernel is None:
            return False
        if not interface():
            return True
        if not self._sample:
            self._sample = list(self._servers)
        if self._sample and not self._has(self._sample.pop()):
            return True
        now = time.monotonic()
        if now - self._compared < self._options.ipvs.sync_period:
            return False
        self._compared = now
        return self._differs(self._kernel)

    def tidy(self) -> None:
        """Removes real servers whose last connection has ended; opens node ports on new addresses of the node."""
        if self._kernel is None:
            return
        if self._addresses.changed():
            self._look_at_addresses()
        now = time.monotonic()
        if now - self._drained >= LOOK:
            self._drained = now
            self._remove_drained(self._kernel)

    # ---- what Services want -----------------------------------------------------------------------------------------

    def _take_over(self, everything: Everything) -> None:
        self._held.clear()
        self._selected.clear()
        self._counts.clear()
        for key, selected in everything():
            wanted = render(selected, self._view)
            self._keep(key, selected, wanted)
            self._counts.update(wanted.members)

    def _keep(self, key: str, selected: Selected, wanted: Wanted) -> None:
        if not selected:
            self._held.pop(key, None)
            self._selected.pop(key, None)
            return
        self._held[key] = wanted
        if any(one.node_port or one.external_frontends for one in selected):
            self._selected[key] = selected
        else:
            self._selected.pop(key, None)

    def _enter(self, changes: Mapping[str, tuple[Selected, Wanted]]) -> None:
        assert self._kernel is not None
        before: set[Frontend] = set()
        after: dict[Frontend, Server] = {}
        touched: set[Member] = set()
        had: set[Member] = set()
        for key in changes:
            if old := self._held.get(key):
                before |= old.servers.keys()
                touched |= old.members
        for _, new in changes.values():
            after |= new.servers
            touched |= new.members
        had = {member for member in touched if self._counts[member]}
        for key, (selected, new) in changes.items():
            if old := self._held.get(key):
                self._counts.subtract(old.members)
            self._counts.update(new.members)
            self._keep(key, selected, new)
        have = {member for member in touched if self._counts[member] > 0}
        for member in touched - have:
            del self._counts[member]
        self._change(self._kernel, before - after.keys(), after, had, have)

    def _change(
        self,
        kernel: Ipvs,
        gone: set[Frontend],
        servers: Mapping[Frontend, Server],
        had: set[Member],
        have: set[Member],
    ) -> None:
        come, went = have - had, had - have
        sets = Sets(self.family) if come or went else None
        if sets is not None:
            sets.change(come)
        requests = [r for frontend, server in servers.items() for r in self._served(kernel, frontend, server)]
        kernel.tell(requests)
        self._addresses.bind(self._bound(come))
        self._addresses.bind(self._bound(went), unbind=True)
        kernel.tell([kernel.removed(frontend) for frontend in gone])
        for frontend in gone:
            self._servers.pop(frontend, None)
            self._draining.forget(frontend)
        if sets is not None:
            sets.change(went, remove=True)
        self.changed = len(requests) + len(come) + len(went) + len(gone)

    def _bound(self, members: Iterable[Member]) -> set[bytes]:
        packed = (self.family.pack(member.text) for member in members if member.held_by is IPVS_IPS)
        return {address for address in packed if address is not None}

    # ---- virtual servers --------------------------------------------------------------------------------------------

    def _served(self, kernel: Ipvs, frontend: Frontend, server: Server) -> list[Request]:
        """From what the kernel holds of a frontend to what it should."""
        held = self._servers.get(frontend)
        if held == server:
            return []
        requests = []
        if held is None or held.traits != server.traits:
            requests.append(kernel.added(frontend, server.traits, changed=held is not None))
        before = held.targets if held is not None else frozenset()
        for target in server.targets - before:
            if (frontend, target) in self._draining:
                self._draining.discard(frontend, target)
                requests.append(kernel.weighed(frontend, target, 1))
            else:
                requests.append(kernel.joined(frontend, target))
        for target in before - server.targets:
            requests.append(self._let_go(kernel, frontend, server, target))
        for target in self._draining.of(frontend):
            if not lingers(frontend, server, target):
                self._draining.discard(frontend, target)
                requests.append(kernel.left(frontend, target))
        self._servers[frontend] = server
        return requests

    def _let_go(self, kernel: Ipvs, frontend: Frontend, server: Server, target: Target) -> Request:
        if not lingers(frontend, server, target):
            return kernel.left(frontend, target)
        self._draining.add(frontend, target)
        self._drained = min(self._drained, time.monotonic() - LOOK + 1)
        return kernel.weighed(frontend, target, 0)

    def _adopt(self, kernel: Ipvs) -> None:
        """Brings the virtual servers that there are, whoever made them, to those wanted."""
        wanted = {
            frontend: server for held in self._held.values() for frontend, server in held.servers.items()
        }
        found = kernel.servers()
        self._servers.clear()
        self._draining.clear()
        requests = []
        for frontend, traits in found.items():
            if frontend in wanted:
                requests += self._adopt_real(kernel, frontend, traits, wanted[frontend])
        for frontend, server in wanted.items():
            requests += self._served(kernel, frontend, server)
        gone = [frontend for frontend in found.keys() - wanted.keys() if not self._excluded(frontend)]
        requests += map(kernel.removed, gone)
        kernel.tell(requests)
        self.changed += len(requests)
        self._sample = []

    def _adopt_real(self, kernel: Ipvs, frontend: Frontend, traits: Traits, wanted: Server) -> list[Request]:
        requests = []
        there = set()
        for target, load in kernel.real_servers(frontend).items():
            if target in wanted.targets:
                there.add(target)
                if load.weight != 1:
                    requests.append(kernel.weighed(frontend, target, 1))
            elif load.weight == 0 and lingers(frontend, wanted, target):
                self._draining.add(frontend, target)
            else:
                there.add(target)  # it goes as one that was wanted until now
        self._servers[frontend] = Server(traits, frozenset(there), wanted.serving)
        return requests

    def _remove_drained(self, kernel: Ipvs) -> None:
        requests = []
        for frontend in self._draining:
            for target in self._draining.done(frontend, kernel.real_servers(frontend)):
                self._draining.discard(frontend, target)
                requests.append(kernel.left(frontend, target))
        kernel.tell(requests)

    def _excluded(self, frontend: Frontend) -> bool:
        address = ip_address(frontend.address)
        networks = self.family.only(self._options.ipvs.exclude_cidrs)
        return any(address in ip_network(cidr, strict=False) for cidr in networks)

    # ---- the rest of the kernel -------------------------------------------------------------------------------------

    def _open(self) -> Ipvs:
        if self._kernel is None:
            self._kernel = Ipvs(self.family)
        return self._kernel

    def _has(self, frontend: Frontend) -> bool:
        return frontend not in self._servers or self._open().has(frontend)

    def _differs(self, kernel: Ipvs) -> bool:
        found = kernel.servers()
        if any(found.get(frontend) != server.traits for frontend, server in self._servers.items()):
            return True
        sizes = Sets(self.family).sizes()
        counts = Counter(member.held_by for member in self._counts)
        if any(sizes.get(each) != counts[each] for each in SETS):
            return True
        return self._addresses.bound() != self._bound(self._counts) or bool(
            self._rules_todo(find(self.family))
        )

    def _viewed(self) -> View:
        own = self._addresses.node()
        ports = node_port_addresses(own, self._primary, self._options.nodeport_addresses, self.family)
        return View(self.family, self._options.ipvs.scheduler, ports, frozenset(own))

    def _look_at_addresses(self) -> None:
        view = self._viewed()
        if view != self._view:
            self._view = view
            self._enter({key: (selected, render(selected, view)) for key, selected in self._selected.items()})

    def _restore_rules(self, tools: Tools) -> None:
        todo = self._rules_todo(tools)
        if todo:
            tools.tell(todo)
        self.changed += len(todo.written) + len(todo.jumps)

    def _rules_todo(self, tools: Tools) -> Difference:
        saved = tools.save()
        there = {**saved.ours, **saved.foreign}
        todo = Difference()
        todo.written = {
            chain: rules
            for chain, rules in Rules(self._settings).chains().items()
            if there.get(chain) != rules
        }
        todo.jumps = [(chain, rule) for chain, rule in JUMPS if rule not in there.get(chain, ())]
        return todo


def check() -> None:
    """Raises `Unusable` where the kernel or a program is missing."""
    Ipvs(IPV4).close()
    Sets(IPV4)
    find(IPV4)


def cleanup(family: Family = IPV4, *, beside: str = "") -> None:
    """Removes every trace: virtual servers of the family, the interface, rules, sets. Kernels without IPVS have none.

    What the mode `beside` has under the same name stays. Without `kube-ipvs0` and without our sets nothing is ours:
    virtual servers are somebody else's. Raises `Refused` for what could not be removed.
    """
    if not _LOADED.exists():
        return  # asking for IPVS would load it
    try:
        sets = Sets(family)
    except Unusable:
        return
    if not interface() and not sets.read():
        return
    _remove_servers(family)
    for tools in every(family):
        _remove_rules(tools, family, beside)
    sets.destroy()


def _remove_servers(family: Family) -> None:
    kernel, addresses = Ipvs(family), Addresses(family)
    other = Addresses(IPV6 if family is IPV4 else IPV4)
    try:
        kernel.tell([kernel.removed(frontend) for frontend in kernel.servers()])
        if interface():
            addresses.bind(addresses.bound(), unbind=True)
            if not other.bound():
                addresses.remove_interface()
    finally:
        for each in (kernel, addresses, other):
            each.close()


def _remove_rules(tools: Tools, family: Family, beside: str) -> None:
    kept = SHARED if beside == "iptables" else frozenset[Chain]()
    theirs = IPTABLES_JUMPS if beside == "iptables" else ()
    saved = tools.save()
    there = {**saved.ours, **saved.foreign}
    todo = Difference()
    todo.unjumped = [
        (chain, rule) for chain, rule in JUMPS if rule in there.get(chain, ()) and (chain, rule) not in theirs
    ]
    # Each before those that it leads to.
    chains = reversed([*Rules(Settings(family, ProxyOptions())).chains(), MARK_FOREIGN])
    todo.dead = {chain: None for chain in chains if chain in there and chain not in kept}
    if todo:
        tools.tell(todo)
