"""What never happens, whatever Services and pools go through: random histories of the allocation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fairlead.loadbalancer.allocation import Given, Refused, allocate, conflict
from fairlead.loadbalancer.book import Book
from fairlead.loadbalancer.pools import Address, Pool, parse_address, parse_range
from fairlead.loadbalancer.requests import Request

EVERY = [f"192.0.2.{n}" for n in range(8)] + [f"2001:db8::{n:x}" for n in range(4)]
PORTS = [frozenset({("TCP", 80)}), frozenset({("TCP", 443)}), frozenset({("UDP", 80), ("TCP", 22)})]


def _possible(request: Request) -> Request:
    """As `request_of` gives it: what is asked for by name is of the Service's families."""
    return replace(request, wanted=tuple(a for a in request.wanted if a.version in request.versions))


requests = st.builds(
    Request,
    key=st.sampled_from([f"default/{name}" for name in "abcdefg"]),
    versions=st.sampled_from([(4,), (4,), (6,), (4, 6), (6, 4)]),
    all_versions=st.booleans(),
    wanted=st.sampled_from(["", "", "", "192.0.2.1", "192.0.2.6", "2001:db8::1"]).map(
        lambda text: tuple(map(parse_address, text.split()))
    ),
    pool=st.sampled_from(["", "", "", "one", "two"]),
    sharing=st.sampled_from(["", "", "k", "j"]),
    backend=st.sampled_from(["", "app=a", "app=b"]),
    ports=st.sampled_from(PORTS),
    labels=st.sampled_from([{}, {"tier": "gold"}]),
).map(_possible)


def _pool(name: str, ranges: list[str], auto: bool, buggy: bool) -> Pool:
    return Pool(name, tuple(map(parse_range, ranges)), auto, buggy)


# One lies below the other, so that they never overlap.
pool_sets = st.lists(
    st.one_of(
        st.builds(
            _pool,
            st.just("one"),
            st.sampled_from([["192.0.2.0-192.0.2.2"], ["192.0.2.1", "192.0.2.3", "2001:db8::/127"]]),
            st.booleans(),
            st.booleans(),
        ),
        st.builds(
            _pool,
            st.just("two"),
            st.sampled_from([["192.0.2.4-192.0.2.7"], ["192.0.2.6/31", "2001:db8::2/127"], ["2001:db8::2"]]),
            st.booleans(),
            st.booleans(),
        ),
    ),
    max_size=2,
    unique_by=lambda pool: pool.name,
)


class World:
    """Services with their status, as the API has them, and a provider that may be started anew."""

    def __init__(self) -> None:
        self.pools: list[Pool] = []
        self.asked: dict[str, Request] = {}
        self.status: dict[str, tuple[Address, ...]] = {}
        self.found: dict[str, Given | Refused] = {}
        self.book = Book()

    def start(self) -> None:
        """As the controller does: what is there is noted, the older ones first."""
        self.book = Book()
        for key, held in self.status.items():
            if not any(conflict(self.asked[key], address, self.book) for address in held):
                self.book.take(self.asked[key], held)

    def sync(self, key: str) -> None:
        """Decides and writes; what is given up may be another's when it is written, and not before."""
        held = self.book.held(key) or self.status.get(key, ())
        found = self.found[key] = allocate(replace(self.asked[key], held=held), self.pools, self.book)
        addresses = found.addresses if isinstance(found, Given) else ()
        self.book.take(self.asked[key], addresses)
        for address in self.status.get(key, ()):
            assert key in self.book.holders(address)
        self.status[key] = addresses
        self.book.settle(key)

    def remove(self, key: str) -> None:
        self.book.release(key)
        for each in (self.asked, self.status, self.found):
            each.pop(key, None)

    def settle(self) -> None:
        """Everybody is looked at until nobody gets anything else."""
        for _ in range(len(self.asked) + 2):
            before = dict(self.status)
            for key in list(self.asked):
                self.sync(key)
            if before == self.status:
                return
        raise AssertionError("it goes on and on")

    def check(self) -> None:
        """What holds at any time."""
        for key, addresses in self.status.items():
            request = self.asked[key]
            assert self.book.held(key) == addresses
            assert len({a.version for a in addresses}) == len(addresses)
            assert [a.version for a in addresses] == [
                v for v in request.versions if v in {a.version for a in addresses}
            ]
            if addresses and request.all_versions:
                assert len(addresses) == len(request.versions)
            for address in addresses:
                assert not conflict(request, address, self.book)
        for text in EVERY:
            holders = list(self.book.holders(parse_address(text)).items())
            assert {key for key, _ in holders} == {
                key for key, held in self.status.items() if parse_address(text) in held
            }
            for i, (_, one) in enumerate(holders):
                for _, other in holders[i + 1 :]:
                    assert one.sharing == other.sharing != ""
                    assert not one.ports & other.ports
                    assert one.backend == other.backend
        for pool in self.pools:
            for piece in pool.ranges:
                taken = [
                    t for t in EVERY if parse_address(t) in piece and self.book.holders(parse_address(t))
                ]
                assert self.book.count(piece) == len(taken)


steps = st.lists(
    st.one_of(
        requests.map(lambda request: ("put", request)),
        requests.map(lambda request: ("put", request)),
        st.sampled_from([f"default/{name}" for name in "abcdefg"]).map(lambda key: ("remove", key)),
        pool_sets.map(lambda pools: ("pools", pools)),
        st.just(("restart", None)),
    ),
    max_size=25,
)


@given(pool_sets, steps)
def test_whatever_happens(pools: list[Pool], history: list[tuple[str, Any]]) -> None:
    world = World()
    world.pools = pools
    for what, value in history:
        before = dict(world.status)
        asked = dict(world.asked)
        if what == "put":
            world.asked[value.key] = value
        elif what == "remove":
            world.remove(value)
        elif what == "pools":
            world.pools = value
        else:
            world.start()
        world.settle()
        world.check()
        if what == "restart":
            assert world.status == before
        for key, held in before.items():
            if not held or asked[key] != world.asked.get(key):
                continue
            now = world.status[key]
            if what == "pools" and (asked[key].wanted or asked[key].pool):
                continue  # what it asks for by name may have become possible, or impossible
            # Nothing that a Service has is taken from it by what others do, or by a change of the pools.
            assert set(held) <= set(now)


@given(pool_sets, st.lists(requests, max_size=12, unique_by=lambda request: request.key))
def test_who_gets_nothing_could_have_nothing(pools: list[Pool], asked: list[Request]) -> None:
    world = World()
    world.pools = pools
    for request in asked:
        world.asked[request.key] = request
    world.settle()
    for request in asked:
        found = world.found[request.key]
        if not isinstance(found, Refused) or request.wanted:
            continue
        named = [
            pool for pool in pools if pool.name == request.pool or (not request.pool and pool.auto_assign)
        ]
        for pool in named:
            lacks = [
                version
                for version in request.versions
                if not any(
                    address.version == version
                    and address in pool
                    and not conflict(request, address, world.book)
                    for address in map(parse_address, EVERY)
                )
            ]
            assert lacks
