"""Which addresses a Service gets, or why none, as tables."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fairlead.loadbalancer.allocation import Given, Refused, allocate
from fairlead.loadbalancer.book import Book
from fairlead.loadbalancer.pools import (
    Pool,
    Range,
    clashes,
    is_buggy,
    merged,
    parse_address,
    parse_range,
)
from fairlead.loadbalancer.requests import Request
from fairlead.objects.labels import parse as selector

WEB = frozenset({("TCP", 80)})
TLS = frozenset({("TCP", 443)})


def pool(name: str, *ranges: str, **settings: Any) -> Pool:
    return Pool(name, tuple(map(parse_range, ranges)), **settings)


def request(key: str = "default/new", **settings: Any) -> Request:
    for name in ("wanted", "held"):
        if name in settings:
            settings[name] = tuple(map(parse_address, settings[name].split()))
    return Request(
        **{"key": key, "versions": (4,), "ports": WEB, "namespace": key.partition("/")[0], **settings}
    )


def book(**holders: tuple[str, Request]) -> Book:
    made = Book()
    for addresses, asked in holders.values():
        made.take(asked, tuple(map(parse_address, addresses.split())))
    return made


SMALL = pool("small", "192.0.2.1-192.0.2.2")
BOTH = pool("both", "203.0.113.0/30", "2001:db8::/126")
MANUAL = pool("manual", "198.51.100.0/29", auto_assign=False)
OLD = pool("old", "198.18.0.255-198.18.1.1", avoid_buggy=True)
TEAM = pool("team", "192.0.2.128/25", namespaces=frozenset({"team"}), priority=5)
LABELLED = pool("labelled", "192.0.2.64/26", namespace_selectors=(selector("env=prod"),), priority=3)
GOLD = pool("gold", "192.0.2.32/27", service_selectors=(selector("tier in (gold)"),))
NEIGHBOUR = ("192.0.2.1", request("default/other"))
SHARER = ("192.0.2.1", request("default/other", sharing="k", ports=TLS))
LOCAL = ("192.0.2.1", request("default/other", sharing="k", ports=TLS, backend="app=a"))

CASES: dict[str, tuple[Request, list[Pool], Book, str]] = {
    "the first free one": (request(), [SMALL], book(), "192.0.2.1"),
    "the next one": (request(), [SMALL], book(a=NEIGHBOUR), "192.0.2.2"),
    "none left": (
        request(),
        [SMALL],
        book(a=NEIGHBOUR, b=("192.0.2.2", request("default/b"))),
        "PoolExhausted: no free address of IPv4 in small",
    ),
    "from the next pool": (
        request(),
        [SMALL, pool("z", "192.0.2.9-192.0.2.9")],
        book(a=NEIGHBOUR, b=("192.0.2.2", request("default/b"))),
        "192.0.2.9",
    ),
    "no pools": (request(), [], book(), "NoPools: there are no address pools: make an IPAddressPool"),
    "both families": (request(versions=(6, 4)), [SMALL, BOTH], book(), "2001:db8:: 203.0.113.0"),
    "both required, one to be had": (
        request(versions=(4, 6)),
        [SMALL],
        book(),
        "NoSuchFamily: no address pool for this Service has addresses of IPv4 and IPv6",
    ),
    "both wished for, one to be had": (
        request(versions=(4, 6), all_versions=False),
        [SMALL],
        book(),
        "192.0.2.1 (pool 'small' has no free address of IPv6)",
    ),
    "the other one comes later": (
        request(versions=(4, 6), all_versions=False, held="203.0.113.2"),
        [BOTH],
        book(a=("203.0.113.2", request())),
        "203.0.113.2 2001:db8::",
    ),
    "asked for": (request(wanted="192.0.2.2"), [SMALL], book(), "192.0.2.2"),
    "asked for, of a pool that gives nothing by itself": (
        request(wanted="198.51.100.3"),
        [MANUAL],
        book(),
        "198.51.100.3",
    ),
    "asked for, in no pool": (
        request(wanted="10.0.0.1"),
        [SMALL],
        book(),
        "AddressInNoPool: 10.0.0.1 is in no pool",
    ),
    "asked for, taken": (
        request(wanted="192.0.2.1"),
        [SMALL],
        book(a=NEIGHBOUR),
        "AddressInUse: 192.0.2.1 is used by default/other",
    ),
    "asked for, another pool named": (
        request(wanted="192.0.2.1", pool="both"),
        [SMALL, BOTH],
        book(),
        "NotAllowed: 192.0.2.1 is of pool 'small', not of 'both'",
    ),
    "asked for, of a pool for others": (
        request(wanted="192.0.2.130"),
        [TEAM],
        book(),
        "NotAllowed: pool 'team', which has 192.0.2.130, is not for this Service",
    ),
    "asked for one, of both families": (
        request(versions=(6, 4), wanted="203.0.113.2"),
        [BOTH],
        book(),
        "2001:db8:: 203.0.113.2",
    ),
    "asked for one, the other family is not to be had": (
        request(versions=(4, 6), wanted="192.0.2.2"),
        [SMALL],
        book(),
        "PoolExhausted: pool 'small' has no free address of IPv6",
    ),
    "asked for one, the other family is wished for": (
        request(versions=(4, 6), all_versions=False, wanted="192.0.2.2"),
        [SMALL],
        book(),
        "192.0.2.2 (pool 'small' has no free address of IPv6)",
    ),
    "asked for one, it has the other": (
        request(versions=(4, 6), wanted="203.0.113.2", held="203.0.113.1 2001:db8::3"),
        [BOTH],
        book(a=("203.0.113.1 2001:db8::3", request())),
        "203.0.113.2 2001:db8::3",
    ),
    "another one is asked for than it has": (
        request(wanted="192.0.2.2", held="192.0.2.1"),
        [SMALL],
        book(a=("192.0.2.1", request())),
        "192.0.2.2",
    ),
    "only by name": (
        request(),
        [MANUAL],
        book(),
        "NotAllowed: no address pool is for this Service, or gives addresses without being asked",
    ),
    "a pool by name": (request(pool="manual"), [SMALL, MANUAL], book(), "198.51.100.0"),
    "another pool by name than the one of what it has": (
        request(pool="manual", held="192.0.2.1"),
        [SMALL, MANUAL],
        book(a=("192.0.2.1", request())),
        "198.51.100.0",
    ),
    "what it has stays when the pool that it names shrinks": (
        request(pool="small", held="192.0.2.9"),
        [SMALL, MANUAL],
        book(a=("192.0.2.9", request())),
        "192.0.2.9 (192.0.2.9: in no pool any more that is for this Service;"
        " the address is kept until it is given up)",
    ),
    "a family that it has no more, and no pool": (
        request(versions=(6,), held="192.0.2.9", pool="x"),
        [SMALL],
        book(a=("192.0.2.9", request())),
        "NoSuchPool: there is no pool 'x'",
    ),
    "a pool that there is not": (
        request(pool="x"),
        [SMALL],
        book(),
        "NoSuchPool: there is no pool 'x'",
    ),
    "addresses that old devices shun": (request(), [OLD], book(), "198.18.1.1"),
    "shunned even if asked for": (
        request(wanted="198.18.1.0"),
        [OLD],
        book(),
        "AddressInNoPool: 198.18.1.0 is in no pool",
    ),
    "a namespace's pool first": (request("team/web"), [SMALL, TEAM], book(), "192.0.2.128"),
    "not for others": (request(), [TEAM, SMALL], book(), "192.0.2.1"),
    "a lower priority first": (
        request("team/web", namespace_labels={"env": "prod"}),
        [SMALL, TEAM, LABELLED],
        book(),
        "192.0.2.64",
    ),
    "by the Service's labels": (request(labels={"tier": "gold"}), [SMALL, GOLD], book(), "192.0.2.32"),
    "what it has stays": (
        request(held="192.0.2.2"),
        [SMALL],
        book(a=("192.0.2.2", request())),
        "192.0.2.2",
    ),
    "what it has stays when the pool is for others now": (
        request(held="192.0.2.130"),
        [TEAM, SMALL],
        book(),
        "192.0.2.130 (192.0.2.130: in no pool any more that is for this Service;"
        " the address is kept until it is given up)",
    ),
    "what it has stays when the pool is gone": (
        request(held="10.0.0.1"),
        [SMALL],
        book(),
        "10.0.0.1 (10.0.0.1: in no pool any more that is for this Service;"
        " the address is kept until it is given up)",
    ),
    "what it named and has stays when the pool is gone": (
        request(held="10.0.0.1", wanted="10.0.0.1"),
        [SMALL],
        book(),
        "10.0.0.1 (10.0.0.1 is in no pool any more; the address is kept until it is given up)",
    ),
    "what it has stays when the pool named is gone": (
        request(held="10.0.0.1", pool="x"),
        [SMALL],
        book(),
        "10.0.0.1 (there is no pool 'x'; the address is kept until it is given up)",
    ),
    "what it had is another's now": (request(held="192.0.2.1"), [SMALL], book(a=NEIGHBOUR), "192.0.2.2"),
    "a family that it has no more": (
        request(versions=(6,), held="203.0.113.2"),
        [BOTH],
        book(a=("203.0.113.2", request())),
        "2001:db8::",
    ),
    "shared": (request(sharing="k"), [SMALL], book(a=SHARER), "192.0.2.1"),
    "shared and asked for": (request(sharing="k", wanted="192.0.2.1"), [SMALL], book(a=SHARER), "192.0.2.1"),
    "not with another key": (request(sharing="j"), [SMALL], book(a=SHARER), "192.0.2.2"),
    "not with the same port": (
        request(sharing="k", ports=TLS, wanted="192.0.2.1"),
        [SMALL],
        book(a=SHARER),
        "AddressInUse: 192.0.2.1 is shared with default/other, which has port 443/TCP too",
    ),
    "the same port of another protocol": (
        request(sharing="k", ports=frozenset({("UDP", 443)})),
        [SMALL],
        book(a=SHARER),
        "192.0.2.1",
    ),
    "not with another policy": (
        request(sharing="k", wanted="192.0.2.1"),
        [SMALL],
        book(a=LOCAL),
        "AddressInUse: 192.0.2.1 is shared with default/other: with externalTrafficPolicy Local"
        " both need the same policy and the same selector",
    ),
    "the same pods": (request(sharing="k", backend="app=a"), [SMALL], book(a=LOCAL), "192.0.2.1"),
}


def told(found: Given | Refused) -> str:
    if isinstance(found, Refused):
        return f"{found.reason}: {found.message}"
    return " ".join(map(str, found.addresses)) + (f" ({found.note})" if found.note else "")


@pytest.mark.parametrize(("asked", "pools", "taken", "expected"), CASES.values(), ids=CASES)
def test_a_service_gets(asked: Request, pools: list[Pool], taken: Book, expected: str) -> None:
    assert told(allocate(asked, pools, taken)) == expected


def test_what_is_given_up_is_nobodys_until_it_is_settled() -> None:
    taken, piece = book(a=("192.0.2.1", request("default/a"))), SMALL.ranges[0]
    taken.take(request("default/a"), (parse_address("192.0.2.2"),))
    assert told(allocate(request(), [SMALL], taken)).startswith("PoolExhausted")
    assert (taken.held("default/a"), taken.left("default/a")) == (
        (parse_address("192.0.2.2"),),
        (parse_address("192.0.2.1"),),
    )
    assert taken.count(piece) == 2
    assert taken.settle("default/a") == [parse_address("192.0.2.1")]
    assert told(allocate(request(), [SMALL], taken)) == "192.0.2.1"
    # What it asks for again it has again.
    taken.leave("default/a")
    taken.take(request("default/a"), (parse_address("192.0.2.2"),))
    assert taken.settle("default/a") == []
    assert taken.count(piece) == 1


def test_other_ranges_take_the_place_of_those_of_before() -> None:
    taken = book(a=("192.0.2.1 192.0.2.2 192.0.2.9", request("default/a")))
    assert [taken.count(parse_range(text)) for text in ("192.0.2.0/30", "192.0.2.8/30")] == [2, 1]
    whole = parse_range("192.0.2.0/24")
    assert (taken.count(whole), str(taken.free(whole))) == (3, "192.0.2.0")
    taken.take(request("default/b"), (parse_address("192.0.2.0"),))
    assert str(taken.free(whole, avoid_buggy=True)) == "192.0.2.3"
    taken.release("default/b")
    assert str(taken.free(whole, avoid_buggy=True)) == "192.0.2.3"
    assert str(taken.free(whole)) == "192.0.2.0"
    assert taken.count(whole) == 3


@pytest.mark.parametrize(
    ("ranges", "avoid_buggy", "expected"),
    [
        (["192.0.2.0/24"], False, 256),
        (["192.0.2.0/24"], True, 254),
        (["192.0.2.255-192.0.3.0", "10.0.0.1-10.0.0.9"], True, 9),
        (["10.0.0.0/8"], True, 2**24 - 2**17),
    ],
)
def test_how_many_addresses_a_pool_can_give(ranges: list[str], avoid_buggy: bool, expected: int) -> None:
    assert pool("a", *ranges, avoid_buggy=avoid_buggy).capacity(4) == expected


def test_why_pools_that_cannot_be_used_are_not() -> None:
    unusable = {"bad": "no range", "x": "taken"}
    refused = allocate(request(), [], book(), unusable)
    assert told(refused) == (
        "NoPools: there are no address pools: make an IPAddressPool;"
        " pool 'bad' cannot be used: no range; pool 'x' cannot be used: taken"
    )
    assert told(allocate(request(pool="x"), [SMALL], book(), unusable)) == (
        "NoSuchPool: pool 'x' cannot be used: taken"
    )
    kept = allocate(request(pool="x", held="10.0.0.1"), [SMALL], book(), unusable)
    assert told(kept) == (
        "10.0.0.1 (pool 'x' cannot be used: taken; the address is kept until it is given up)"
    )


def test_a_large_pool_costs_no_search() -> None:
    taken, large = Book(), pool("large", "10.0.0.0/8")
    for number in range(20_000):
        found = allocate(request(f"default/{number}"), [large], taken)
        assert isinstance(found, Given)
        taken.take(request(f"default/{number}"), found.addresses)
    taken.release("default/77")
    assert told(allocate(request("default/x"), [large], taken)) == "10.0.0.77"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.0/30", "203.0.113.0-203.0.113.3"),
        ("203.0.113.7/30", "203.0.113.4-203.0.113.7"),
        ("203.0.113.9", "203.0.113.9-203.0.113.9"),
        ("203.0.113.9 - 203.0.113.11", "203.0.113.9-203.0.113.11"),
        ("2001:db8::/127", "2001:db8::-2001:db8::1"),
    ],
)
def test_ranges(text: str, expected: str) -> None:
    assert str(parse_range(text)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("203.0.113.9-203.0.113.8", "'203.0.113.9-203.0.113.8' ends before it begins"),
        ("203.0.113.9-2001:db8::", "begins in one address family and ends in the other"),
        ("203.0.113.0/33", "'203.0.113.0/33' is neither a network, such as 203.0.113.0/24, nor a range"),
        ("a-b", "'a' is not an IP address"),
        ("", "is neither a network"),
    ],
)
def test_what_is_no_range(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_range(text)


def test_ranges_that_touch_become_one() -> None:
    pieces = map(parse_range, ("192.0.2.4/30", "192.0.2.0/30", "192.0.2.2-192.0.2.9", "2001:db8::/128"))
    assert [str(piece) for piece in merged(pieces)] == ["192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::"]


def test_pools_that_overlap() -> None:
    pools = [
        pool("first", "192.0.2.0/24", "2001:db8::/64"),
        pool("other", "198.51.100.0/24"),
        pool("late", "192.0.2.255-192.0.3.9"),
        pool("later", "192.0.3.0/24"),  # `late` is left out, so nothing is in its way
        pool("around", "2001:db8:1::/64", "2001:d00::/24"),
    ]
    assert clashes(pools) == {
        "late": "its addresses 192.0.2.255-192.0.3.9 overlap with 192.0.2.0-192.0.2.255 of pool 'first'",
        "around": "its addresses 2001:d00::-2001:dff:ffff:ffff:ffff:ffff:ffff:ffff overlap with"
        " 2001:db8::-2001:db8::ffff:ffff:ffff:ffff of pool 'first'",
    }


def test_which_addresses_old_devices_shun() -> None:
    shunned = [
        text for text in ("10.0.0.0", "10.0.0.255", "10.0.0.1", "2001:db8::") if is_buggy(parse_address(text))
    ]
    assert shunned == ["10.0.0.0", "10.0.0.255"]
    assert Range(4, 1, 3).size == 3
