"""The turns of the proxy: what waits, what is taken up together, and what happens when the kernel is told apart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import pytest
from prometheus_client import REGISTRY

from fairlead.client.informer import Change
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.process import Health
from fairlead.proxy import proxier as module
from fairlead.proxy.dataplane import Everything, Refused, Selected, Unusable
from fairlead.proxy.family import IPV4
from fairlead.proxy.ledger import Ledger
from fairlead.proxy.proxier import Proxier
from fairlead.proxy.selection import Node
from tests.waiting import LIMIT


class Slow:
    """A dataplane that takes as long as it is let, and refuses what it is told to."""

    family = IPV4

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.refusals: list[Exception] = []
        self.harm: list[Exception | bool] = []
        """What `harmed` finds, one after the other; nothing after that."""
        self.untidy: list[Exception] = []
        self.took: list[tuple[str, set[str]]] = []
        self.threads: set[int] = set()
        self.addresses: tuple[bytes, ...] = ()

    def _take(self, how: str, keys: set[str]) -> None:
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.may_end.wait(LIMIT)
        if self.refusals:
            raise self.refusals.pop()
        self.took.append((how, keys))

    def rebuild(self, everything: Everything) -> None:
        self._take("rebuild", {key for key, _ in everything()})

    def commit(self, changes: Mapping[str, Selected]) -> None:
        self._take("commit", set(changes))

    def node_changed(self, addresses: tuple[bytes, ...]) -> None:
        self.addresses = addresses

    def harmed(self) -> bool:
        found = self.harm.pop(0) if self.harm else False
        if isinstance(found, Exception):
            raise found
        return found

    def tidy(self) -> None:
        if self.untidy:
            raise self.untidy.pop()

    def close(self) -> None:
        pass


def change(number: int) -> Change[Service]:
    name = f"s{number}"
    spec = ServiceSpec(clusterIP=f"10.96.0.{number}", ports=(ServicePort(port=80, protocol="TCP"),))
    return Change(
        f"default/{name}", None, Service(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)
    )


def pending() -> float | None:
    return REGISTRY.get_sample_value(
        "kubeproxy_sync_proxy_rules_service_changes_pending", {"ip_family": "IPv4"}
    )


async def until(took: list[tuple[str, set[str]]], count: int) -> None:
    async with asyncio.timeout(LIMIT):
        while len(took) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def meanwhile(dataplane: Slow, proxier: Proxier) -> None:
    proxier.service_changed(change(1))
    beginning = asyncio.create_task(proxier.begin())
    # The event loop goes on while the dataplane is at it, and changes come.
    await asyncio.to_thread(dataplane.begun.wait, LIMIT)
    proxier.service_changed(change(2))
    proxier.service_changed(change(3))
    await asyncio.sleep(0)
    assert not beginning.done()
    assert pending() == 3
    dataplane.may_end.set()
    await beginning
    await until(dataplane.took, 2)
    assert dataplane.took == [("rebuild", {"default/s1"}), ("commit", {"default/s2", "default/s3"})]
    assert dataplane.threads.isdisjoint({threading.get_ident()})
    assert len(dataplane.threads) == 1
    async with asyncio.timeout(LIMIT):
        while pending():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def refused(dataplane: Slow, proxier: Proxier) -> None:
    dataplane.may_end.set()
    await proxier.begin()
    dataplane.refusals = [Unusable("where is it?"), OSError("not yet"), Refused("no")]
    proxier.service_changed(change(1))
    await until(dataplane.took, 2)
    # What was refused may be there in part: everything is compared.
    assert dataplane.took == [("rebuild", set()), ("rebuild", {"default/s1"})]


async def impossible(dataplane: Slow, proxier: Proxier) -> None:
    dataplane.may_end.set()
    dataplane.refusals = [Unusable("there is no such thing here")]
    with pytest.raises(Unusable):
        await proxier.begin()


async def harmed(dataplane: Slow, proxier: Proxier) -> None:
    """What a turn finds harmed it mends: after its commit it would look as if it had been left so."""
    dataplane.may_end.set()
    await proxier.begin()
    found: tuple[Exception | bool, ...] = (True, Refused("no"), OSError("no"), False)
    for number, harm in enumerate(found, 1):
        dataplane.harm = [harm]
        proxier.service_changed(change(number))
        await until(dataplane.took, 1 + number)
    every = [f"default/s{number}" for number in range(1, 5)]
    assert dataplane.took == [
        ("rebuild", set()),
        *(("rebuild", set(every[:number])) for number in (1, 2, 3)),
        ("commit", {every[3]}),
    ]


async def untidy(dataplane: Slow, proxier: Proxier) -> None:
    """What cannot be tidied up, or looked at, is compared anew; the proxy goes on."""
    dataplane.may_end.set()
    await proxier.begin()
    dataplane.harm = [False, Refused("it cannot be told")]
    dataplane.untidy = [Refused("it stays")]
    watching = asyncio.create_task(proxier.watch())
    await until(dataplane.took, 3)
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert dataplane.took == [("rebuild", set())] * 3


async def cancelled(dataplane: Slow, proxier: Proxier) -> None:
    beginning = asyncio.create_task(proxier.begin())
    await asyncio.to_thread(dataplane.begun.wait, LIMIT)
    beginning.cancel()
    await asyncio.sleep(0)
    assert not beginning.done()  # the kernel is being told
    dataplane.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert dataplane.took == [("rebuild", set())]


@pytest.mark.parametrize("test", [meanwhile, refused, impossible, harmed, untidy, cancelled])
def test_a_dataplane_that_is_told_apart(test: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.01)

    async def run() -> None:
        dataplane = Slow()
        proxier = Proxier(Ledger(Node("node1")), dataplane, Health(), mode="iptables", apart=True)
        try:
            await test(dataplane, proxier)  # type: ignore[operator]
        finally:
            dataplane.may_end.set()
            proxier.close()

    asyncio.run(run())
