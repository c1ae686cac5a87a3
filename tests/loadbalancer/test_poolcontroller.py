"""What the controller of pools makes of changes, in whatever order and company they come."""

from __future__ import annotations

from typing import Any

from fairlead.client.api import Api
from fairlead.client.kubeconfig import Config
from fairlead.loadbalancer.book import Book
from fairlead.loadbalancer.config import LoadBalancerConfig
from fairlead.loadbalancer.ipaddresspools import GROUP, RESOURCES, IPAddressPool
from fairlead.loadbalancer.poolcontroller import PoolController
from fairlead.loadbalancer.pools import parse_address
from fairlead.loadbalancer.requests import Request
from fairlead.objects.meta_v1 import ObjectMeta


class Told:
    """In a recorder's place."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def event(self, about: object, type: str, reason: str, message: str) -> None:
        self.reasons.append(reason)


def pool(version: str, addresses: str) -> IPAddressPool:
    meta = ObjectMeta(name="lan", uid="1", resourceVersion=version, creationTimestamp="2026-01-01T00:00:00Z")
    made: IPAddressPool = RESOURCES[GROUP].type(metadata=meta, spec={"addresses": [addresses]})
    return made


def test_a_pool_that_changes_and_goes_in_one_moment_is_told_of() -> None:
    book, told = Book(), Told()
    book.take(Request("default/web", (4,)), (parse_address("192.0.2.1"),))
    recorder: Any = told
    made = PoolController(
        Api(Config(server="http://127.0.0.1:1")),
        LoadBalancerConfig(),
        book,
        recorder,
        lambda: None,
        lambda: None,
    )
    informer: Any = made.informers[0]
    before, after = pool("1", "192.0.2.1"), pool("2", "192.0.2.1-192.0.2.2")
    for old, new in ((None, before), (before, after), (after, None)):
        informer._apply("lan", new)
        if old is None:
            assert set(made.catalog.pools) == {"lan"}
    assert told.reasons == ["PoolRemovedInUse"]
    assert not made.catalog.pools
