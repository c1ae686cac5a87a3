"""A controller whose informer has not heard yet of what the controller wrote."""

from __future__ import annotations

import pytest

from fairlead.client import events
from fairlead.client.api import Api
from fairlead.loadbalancer.config import LoadBalancerConfig, parse_pool
from fairlead.loadbalancer.controller import Controller
from fairlead.loadbalancer.servicewriter import FINALIZER
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import EVENTS, SERVICES
from tests.client.cluster import with_server
from tests.loadbalancer.cluster import POOL
from tests.waiting import LIMIT

WEB = Service(
    metadata=ObjectMeta(name="web", namespace="default"),
    spec=ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=80, protocol="TCP"),)),
)


def test_nothing_is_written_or_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "CLOSING", LIMIT)

    async def test(api: Api) -> None:
        made = Controller(api, LoadBalancerConfig((parse_pool(POOL),)))

        async def hears() -> Service:
            """The informer hears of what there is now."""
            now = await api.get(SERVICES, "web", "default")
            made.services._apply("default/web", now)
            return now

        await api.create(SERVICES, WEB)
        await hears()
        await made.sync("default/web")
        written = await api.get(SERVICES, "web", "default")
        assert [each.ip for each in written.status.loadBalancer.ingress] == ["192.0.2.1"]
        assert written.metadata.finalizers == (FINALIZER,)
        await made.sync("default/web")
        assert await hears() == written
        await made.sync("default/web")
        # What is not as we wrote it counts as soon as it is heard of.
        await api.patch(SERVICES, "web", "default", {"spec": {"loadBalancerIP": "192.0.2.3"}})
        await hears()
        await made.sync("default/web")
        assert [each.ip for each in (await hears()).status.loadBalancer.ingress] == ["192.0.2.3"]
        await api.delete(SERVICES, "web", "default")
        await hears()
        for _ in range(2):
            await made.sync("default/web")
        made.services._apply("default/web", None)
        await made.sync("default/web")
        assert not made._written._written
        await made.recorder.close()
        told = [(each.reason, each.count) for each in (await api.list(EVENTS, "default")).items]
        assert sorted(told) == [("IPAllocated", 1), ("IPAllocated", 1), ("IPReleased", 1)]

    with_server(test)
