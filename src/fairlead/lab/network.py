"""A lab's network in the kernel: made from its plan, found and removed by its names."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.lab.routes import grouped, install
from fairlead.lab.topology import UNDERLAY, Masquerade, Plan, Veth
from fairlead.node import namespaces

if TYPE_CHECKING:
    from pyroute2 import IPRoute

ROOT_DIRECTORY = Path("/run/netns")
"""Where `ip netns` looks: the namespaces of root's labs are mounted here."""

# What follows "fairlead-LAB-". The form is strict, so that lab "a" never takes what belongs to lab "a-b" for its own.
_SHORT = r"(?:underlay|outside|node\d+)"


class Refused(Exception):
    """The kernel does not do what a lab needs; the text is a sentence that says what, with what to do."""


class Network:
    """The namespaces of the lab `lab`, mounted in `directory`."""

    def __init__(self, lab: str, directory: Path) -> None:
        self.prefix = f"fairlead-{lab}-"
        self.directory = directory

    def path(self, name: str) -> Path:
        """The file on which a namespace is mounted; `name` is the plan's: node1, underlay, outside."""
        return self.directory / (self.prefix + name)

    @contextlib.contextmanager
    def entered(self, name: str) -> Iterator[None]:
        """Runs the block inside the namespace `name`."""
        fd = namespaces.open_network(self.path(name))
        try:
            with namespaces.entered(fd):
                yield
        finally:
            os.close(fd)

    def make(self, plan: Plan) -> None:
        """Makes all that the plan says, in about 5 ms a node. Raises Refused; what was made till then stays."""
        # Here, for the sake of the commands that make nothing: it takes a tenth of a second.
        from pyroute2 import IPRoute

        with _in_words("make network namespaces"):
            for name in plan.namespaces:
                self._namespace(name)
        # Before there are links: a link copies the settings that are the default when it is made.
        with _in_words("write settings below /proc/sys/net (is /proc/sys mounted read-only?)"):
            for name in plan.namespaces:
                with self.entered(name):
                    for sysctl in plan.sysctls:
                        if sysctl.namespace == name:
                            namespaces.set_sysctl(sysctl.name, sysctl.value)
        sockets: dict[str, IPRoute] = {}
        try:
            others = (veth.namespace for veth in plan.veths)
            for name in dict.fromkeys((*plan.namespaces, *others)):
                with self.entered(name):
                    sockets[name] = IPRoute()
            self._links(plan, sockets)
            _addresses(plan, sockets)
            with _in_words("set routes"):
                ways = grouped((r.namespace, (r.destination, r.gateway)) for r in plan.routes if r.gateway)
                for name, routes in ways.items():
                    with self.entered(name):
                        install(routes)
        finally:
            for socket in sockets.values():
                socket.close()
        for masquerade in plan.masquerades:
            with self.entered(masquerade.namespace):
                _masquerade(masquerade)

    def _namespace(self, name: str) -> None:
        while True:
            self.directory.mkdir(parents=True, exist_ok=True)
            try:
                os.close(namespaces.make_network(self.path(name)))
            except FileNotFoundError:
                if self.directory.exists():
                    raise
                continue  # another lab, removed at this moment, took the empty directory along
            return

    def _links(self, plan: Plan, sockets: dict[str, IPRoute]) -> None:
        for namespace, name in plan.bridges:
            with _in_words("make a bridge (kernel module 'bridge')"):
                # A fixed hardware address: without one a bridge takes the lowest of its ports' each time.
                sockets[namespace].link("add", ifname=name, kind="bridge", address="02:fa:1e:ad:00:01")
        for veth in plan.veths:
            with _in_words("make a pair of links (kernel module 'veth')"):
                self._veth(veth, sockets[veth.namespace])
        for name in plan.namespaces:
            with _in_words("bring up the links"):
                sockets[name].link("set", index=1, state="up")
        for namespace, name in (
            *plan.bridges,
            *((veth.namespace, veth.name) for veth in plan.veths),
            *((veth.peer_namespace, veth.peer) for veth in plan.veths),
        ):
            with _in_words("bring up the links"):
                sockets[namespace].link("set", index=_index(sockets[namespace], name), state="up")

    def _veth(self, veth: Veth, socket: IPRoute) -> None:
        peer = namespaces.open_network(self.path(veth.peer_namespace))
        try:
            socket.link(
                "add",
                ifname=veth.name,
                kind="veth",
                peer={"ifname": veth.peer, "net_ns_fd": peer},
            )
        finally:
            os.close(peer)
        if veth.bridge:
            socket.link("set", index=_index(socket, veth.name), master=_index(socket, veth.bridge))

    def remove_node(self, name: str) -> None:
        """Removes a node's namespace, and its link at once: the namespace itself lives as long as a process in it."""
        from pyroute2 import IPRoute

        with contextlib.suppress(FileNotFoundError), self.entered(UNDERLAY), IPRoute() as socket:
            for index in socket.link_lookup(ifname=name):
                socket.link("del", index=index)
        if self.path(name).exists():
            namespaces.remove_network(self.path(name))

    def forget_routes(self, names: Iterable[str], destinations: Collection[str]) -> None:
        """Removes the routes to networks from nodes, where there are any."""
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        for name in names:
            with self.entered(name), IPRoute() as socket:
                for destination in destinations:
                    with contextlib.suppress(NetlinkError):
                        socket.route("del", dst=destination)

    def leftovers(self) -> list[Path]:
        """The files of this lab's namespaces that there are now, in the order of their names."""
        pattern = re.compile(re.escape(self.prefix) + _SHORT)
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        return [self.directory / name for name in sorted(names) if pattern.fullmatch(name)]

    def remove(self) -> list[str]:
        """Removes every namespace of this lab, with the links in them; gives their names. Idempotent."""
        removed = []
        for path in self.leftovers():
            namespaces.remove_network(path)
            removed.append(path.name)
        # Only an empty directory that is not `ip netns`'s own mount goes; it makes a new one when it needs it.
        with contextlib.suppress(OSError):
            self.directory.rmdir()
        return removed


def _index(socket: IPRoute, name: str) -> int:
    found: list[int] = list(socket.link_lookup(ifname=name))
    return found[0]


def _addresses(plan: Plan, sockets: dict[str, IPRoute]) -> None:
    with _in_words("set addresses and routes"):
        for entry in plan.addresses:
            socket = sockets[entry.namespace]
            address, _, length = entry.address.partition("/")
            socket.addr("add", index=_index(socket, entry.link), address=address, prefixlen=int(length))
        for route in plan.routes:
            if not route.gateway:
                socket = sockets[route.namespace]
                socket.route("add", dst=route.destination, oif=_index(socket, route.link), scope="link")


def _masquerade(masquerade: Masquerade) -> None:
    """Loads the rule into the namespace that the thread is in, as table `fairlead-lab` of its family."""
    family = "ip" if masquerade.version == 4 else "ip6"
    ruleset = f"""
table {family} fairlead-lab {{
    chain postrouting {{
        type nat hook postrouting priority srcnat + 10; policy accept;
        {family} saddr {masquerade.source} {family} daddr != {{ {", ".join(masquerade.except_for)} }} masquerade
    }}
}}
"""
    load(
        ruleset,
        "take nf_tables rules with address translation (it needs nf_tables, nf_nat "
        "and nft_masq; try 'modprobe nft_masq' as root)",
    )


def load(ruleset: str, what: str) -> None:
    """Loads rules into the namespace that the thread is in. Raises Refused: the kernel does not do `what`."""
    # Here, for the sake of the commands that make nothing, as above.
    from fairlead import libnftables

    try:
        libnftables.run(ruleset)
    except libnftables.Unusable as error:
        raise Refused(str(error)) from error
    except libnftables.Refused as error:
        raise Refused(f"the kernel does not {what}: {str(error).splitlines()[0]}") from error


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Turns an error of the kernel into a sentence."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        code, text = error.code, os.strerror(error.code)
        raise Refused(_sentence(what, code, text)) from error
    except OSError as error:
        raise Refused(_sentence(what, error.errno or 0, error.strerror or str(error))) from error


def _sentence(what: str, code: int, text: str) -> str:
    if code in (errno.EPERM, errno.EACCES):
        return f"not allowed to {what}: it needs CAP_SYS_ADMIN and CAP_NET_ADMIN (root, or a privileged container)"
    if code == errno.EOPNOTSUPP:
        return f"the kernel cannot {what}"
    if code == errno.ENOSPC:
        return f"cannot {what}: the limit is reached, see the sysctls user.max_net_namespaces, user.max_user_namespaces"
    return f"cannot {what}: {text}"
