"""Nobody else changes the table of a proxy that runs; one that went leaves it to the next."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from fairlead import libnftables
from fairlead.client.api import Api
from fairlead.node import namespaces
from fairlead.objects.resources import ENDPOINTSLICES, SERVICES
from fairlead.process import Health
from fairlead.proxy import server
from fairlead.proxy.dataplane import Refused, Selected
from fairlead.proxy.detection import LocalPods
from fairlead.proxy.netlink import KernelRefused, Link, Step
from fairlead.proxy.nftables import Nftables, cleanup, table
from fairlead.proxy.options import ProxyOptions
from fairlead.proxy.server import ProxyConfig, run
from tests.client.cluster import api_server, running
from tests.node.isolation import in_child
from tests.proxy.test_conntrack import service
from tests.proxy.test_faults import lose_what_leaves
from tests.proxy.test_server import NODE, WEB, WEB_SERVICE, answer, in_a_node, outcome, until, web_slice
from tests.proxy.topology import root

pytestmark = root

OPTIONS = ProxyOptions(LocalPods(("10.244.0.0/16",)))
can_own = pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (6, 9),
    reason="tables that outlive their owner came with Linux 6.9",
)


def alone(test: Callable[[], None]) -> None:
    """Runs the test in a network namespace of its own."""

    def child() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        test()

    in_child(child)


def everything() -> Iterator[tuple[str, Selected]]:
    yield "default/dns", service("ab")


def running_proxy(options: ProxyOptions = OPTIONS) -> Nftables:
    made = Nftables(options)
    made.rebuild(everything)
    return made


def survives_a_flush() -> bool:
    libnftables.run("flush ruleset\n")
    return "table ip fairlead" in libnftables.run("list tables\n")


@can_own
def test_nobody_else_changes_the_table() -> None:
    def test() -> None:
        proxy = running_proxy()
        before = libnftables.run("list table ip fairlead\n")
        libnftables.run("add table ip other\n")
        assert survives_a_flush()
        assert libnftables.run("list tables\n") == "table ip fairlead\n"
        for commands in (
            "delete table ip fairlead\n",
            "flush table ip fairlead\n",
            "flush map ip fairlead frontends\n",
            "add set ip fairlead more { type ipv4_addr; }\n",
        ):
            with pytest.raises(libnftables.NoRights):
                libnftables.run(commands)
        assert libnftables.run("list table ip fairlead\n") == before
        assert not proxy.harmed()
        proxy.commit({"default/dns": service("abc")})
        assert libnftables.run("list table ip fairlead\n") != before

    alone(test)


@can_own
def test_the_next_one_takes_the_table_when_the_one_before_is_gone() -> None:
    def test() -> None:
        first, second = running_proxy(), Nftables(OPTIONS)
        refusing: tuple[Callable[[], None], ...] = (lambda: second.rebuild(everything), cleanup)
        for refused in refusing:
            with pytest.raises(
                Refused, match=r"table ip fairlead is owned by another process, .*: stop the proxy"
            ):
                refused()
        first.commit({"default/dns": service("b")})
        first.close()
        second.rebuild(lambda: iter([("default/dns", service("b"))]))
        assert not second.last  # nothing had to change
        assert survives_a_flush()
        second.close()
        assert "table ip fairlead" in libnftables.run("list tables\n")
        assert not survives_a_flush()

    alone(test)


@can_own
def test_the_table_grows_and_is_read_again_and_stays_owned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SMALLEST", 1)

    def test() -> None:
        proxy = running_proxy()
        sizes = set()
        for letters in ("abc", "abcdefgh", "abcdefghijklmnopqrst"):
            proxy.commit({"default/dns": service(letters)})
            assert survives_a_flush()
            assert not proxy.harmed()
            sizes.add(proxy._endpoints)
        assert len(sizes) == 3
        proxy.rebuild(lambda: iter([("default/dns", service("abcdefghijklmnopqrst"))]))
        assert not proxy.last
        assert survives_a_flush()

    alone(test)


def test_a_table_from_before_is_kept_as_it_was_made() -> None:
    def test() -> None:
        libnftables.run("add table ip fairlead\n")
        proxy = running_proxy()
        assert not survives_a_flush()
        assert proxy.harmed()
        proxy.rebuild(everything)
        assert not proxy.harmed()

    alone(test)


def test_it_can_be_left_to_everybody() -> None:
    def test() -> None:
        proxy = running_proxy(ProxyOptions(own_table=False))
        assert not survives_a_flush()
        assert proxy.harmed()

    alone(test)


def test_kernels_without_such_tables_get_one_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Link.commit

    def old(link: Link, steps: Iterable[Step]) -> int:
        listed = list(steps)
        if any(request.what == "adding the table" for step in listed for request in step):
            raise KernelRefused(errno.EOPNOTSUPP, "nftables: adding the table: Operation not supported")
        return commit(link, listed)

    monkeypatch.setattr(Link, "commit", old)

    def test() -> None:
        proxy = running_proxy()
        assert "Kubernetes Services" in libnftables.run("list table ip fairlead\n")
        assert not proxy.harmed()
        assert not survives_a_flush()

    alone(test)


async def on_its_way_out(directory: Path) -> None:
    """A proxy of this mode runs still when one of another begins."""
    server.AGAIN = 0.05  # this process ends with the test
    before = running_proxy()
    async with api_server(directory) as config, Api(config) as api:
        health = Health()
        async with running(run(api, ProxyConfig("node1", "iptables"), health), health):
            assert "table ip fairlead" in libnftables.run("list tables\n")
            before.close()

            async def gone() -> bool:
                return "table ip fairlead" not in libnftables.run("list tables\n")

            await until(gone)


@can_own
def test_the_table_goes_when_the_proxy_of_another_mode_does(tmp_path: Path) -> None:
    in_a_node(on_its_way_out, tmp_path)


def tracked() -> bool:
    """Whether the kernel has an entry of a connection to the Service."""
    with NFCTSocket() as connections:
        return any(WEB in str(entry) for entry in connections.dump())


async def astray(directory: Path) -> None:
    """A connection that begins while there are no rules, on a node that tracks connections."""
    await asyncio.to_thread(lose_what_leaves)
    libnftables.run(
        "add table ip other\n"
        "add chain ip other tracking { type filter hook output priority 0; }\n"
        "add rule ip other tracking ct state invalid drop\n"
    )
    answering = await asyncio.start_server(answer, NODE, 8080)
    async with api_server(directory) as config, Api(config) as api:
        await api.create(SERVICES, WEB_SERVICE, "default")
        await api.create(ENDPOINTSLICES, web_slice(True), "default")
        asked = asyncio.create_task(outcome(WEB))
        await until(lambda: asyncio.to_thread(tracked))
        health = Health()
        async with running(run(api, ProxyConfig("node1"), health), health):
            assert await asked == "hello"  # the kernel sends the first packet again after a second, or three
    answering.close()


def test_a_connection_that_began_before_the_rules_is_led_on(tmp_path: Path) -> None:
    in_a_node(astray, tmp_path)
