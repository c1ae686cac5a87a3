"""Which IP families a Service gets, new or changed: every combination of what can be asked for.

A row is what is asked for by address and policy; its five columns are the families that are asked for: none, IPv4,
IPv6, both, both the other way round. A cell is what comes of it: `4`, `46`, `64`, ..., and `-` for a refusal. The
policies are `.` (none is asked for), S(ingleStack), P(referDualStack) and R(equireDualStack).
"""

from __future__ import annotations

import msgspec
import pytest

from fairlead.apiserver.families import to_allocate, with_families
from fairlead.apiserver.transitions import in_step, inherited, without_useless
from fairlead.objects.core_v1 import Service, ServiceSpec
from fairlead.objects.dualstack import validate_addresses_kept, validate_cluster_ips
from fairlead.objects.status import StatusError

POLICIES = {".": None, "S": "SingleStack", "P": "PreferDualStack", "R": "RequireDualStack"}
ADDRESSES = {"any": [], "4": ["10.0.0.1"], "6": ["2000::1"], "46": ["10.0.0.1", "2000::1"]}
ADDRESSES |= {"64": ADDRESSES["46"][::-1], "headless": ["None"], "free": ["None"]}
COLUMNS = ("", "4", "6", "46", "64")

TABLES = {
    "4": """
        any       .S   4   4   -   -   -
        any       P    4   4   -   -   -
        any       R    -   -   -   -   -
        4         .S   4   4   -   -   -
        4         P    4   4   -   -   -
        4         R    -   -   -   -   -
        6         .SPR -   -   -   -   -
        46        .SPR -   -   -   -   -
        64        .SPR -   -   -   -   -
        headless  .SP  4   4   -   -   -
        headless  R    -   -   -   -   -
        free      .PR  46  46  64  46  64
        free      S    4   4   6   -   -
    """,
    "6": """
        any       .SP  6   -   6   -   -
        any       R    -   -   -   -   -
        4         .SPR -   -   -   -   -
        6         .SP  6   -   6   -   -
        6         R    -   -   -   -   -
        46        .SPR -   -   -   -   -
        64        .SPR -   -   -   -   -
        headless  .SP  6   -   6   -   -
        headless  R    -   -   -   -   -
        free      .PR  64  46  64  46  64
        free      S    6   4   6   -   -
    """,
    "46": """
        any       .S   4   4   6   -   -
        any       PR   46  46  64  46  64
        4         .S   4   4   -   -   -
        4         PR   46  46  -   46  -
        6         .S   6   -   6   -   -
        6         PR   64  -   64  -   64
        46        .S   -   -   -   -   -
        46        PR   46  46  -   46  -
        64        .S   -   -   -   -   -
        64        PR   64  -   64  -   64
        headless  .S   4   4   6   -   -
        headless  PR   46  46  64  46  64
        free      .PR  46  46  64  46  64
        free      S    4   4   6   -   -
    """,
    "64": """
        any       .S   6   4   6   -   -
        any       PR   64  46  64  46  64
        4         .S   4   4   -   -   -
        4         PR   46  46  -   46  -
        6         .S   6   -   6   -   -
        6         PR   64  -   64  -   64
        46        .S   -   -   -   -   -
        46        PR   46  46  -   46  -
        64        .S   -   -   -   -   -
        64        PR   64  -   64  -   64
        headless  .S   6   4   6   -   -
        headless  PR   64  46  64  46  64
        free      .PR  64  46  64  46  64
        free      S    6   4   6   -   -
    """,
}
"""`free`: headless without a selector; its slices are made by hand, of any family."""


def families(short: str) -> list[str]:
    return [f"IPv{digit}" for digit in short]


def outcome(cluster: str, address: str, policy: str, asked: str) -> str:
    """What comes of it, in the form of the tables; the policy is held against what was asked for."""
    given = ADDRESSES[address]
    spec = {
        "type": "ClusterIP",
        "clusterIP": given[0] if given else "",
        "clusterIPs": given,
        "ipFamilies": families(asked),
        "ipFamilyPolicy": POLICIES[policy],
        "selector": {} if address == "free" else {"app": "web"},
    }
    service = msgspec.convert({"metadata": {"name": "web"}, "spec": spec}, Service)
    try:
        made = with_families(service, None, families(cluster))
    except StatusError as error:
        return "-" if (error.code, error.reason) == (422, "Invalid") else str(error)
    usual = "RequireDualStack" if address == "free" else "SingleStack"
    assert made.ipFamilyPolicy == (POLICIES[policy] or usual)
    assert made.clusterIPs == tuple(given)
    return "".join(family[-1] for family in made.ipFamilies)


@pytest.mark.parametrize("cluster", TABLES)
def test_every_combination(cluster: str) -> None:
    seen = set()
    for line in TABLES[cluster].split("\n"):
        if not line.strip():
            continue
        address, policies, *cells = line.split()
        for policy in policies:
            seen.add((address, policy))
            found = [outcome(cluster, address, policy, asked) for asked in COLUMNS]
            assert found == cells, (address, policy)
    assert len(seen) == len(ADDRESSES) * len(POLICIES), "no combination is left out"


# ---- changes --------------------------------------------------------------------------------------------------------

CHANGES = {
    "4": """
        .S   1 1 -  1 1 -  - - -
        PR   2 2 2  2 2 2  2 2 2
    """,
    "46": """
        .    2 - 2  - - -  2 - 2
        S    1 1 1  1 1 1  1 1 1
        PR   2 - 2  - - -  2 - 2
    """,
}
"""By what the Service had, on a cluster of both families; a row is a policy, its nine columns are the families that are
asked for (none, one, both), and for each the addresses (none, one, both). A cell is how many it has then."""


def changed(had: str, policy: str, asked: str, addresses: str) -> str:
    """What comes of a change, in the form of the table; nothing but the second address may be different."""
    both = ADDRESSES["46"]
    old = msgspec.convert(
        {
            "type": "ClusterIP",
            "clusterIP": both[0],
            "clusterIPs": both[: len(had)],
            "ipFamilies": families(had),
            "ipFamilyPolicy": "SingleStack" if had == "4" else "RequireDualStack",
        },
        ServiceSpec,
    )
    given = both[: len(addresses)]
    spec = {
        "type": "ClusterIP",
        "clusterIP": given[0] if given else "",
        "clusterIPs": given,
        "ipFamilies": families(asked),
        "ipFamilyPolicy": POLICIES[policy],
    }
    new = without_useless(in_step(inherited(msgspec.convert(spec, ServiceSpec), old), old), old)
    try:
        made = with_families(Service(spec=new), old, families("46"))
    except StatusError:
        return "-"
    wanted = to_allocate(made, old)
    assert wanted == (range(1, 2) if len(made.ipFamilies) > len(old.ipFamilies) else range(0))
    held = (*made.clusterIPs[:1], *(both[i] for i in range(1, len(made.ipFamilies))))
    made = msgspec.structs.replace(made, clusterIPs=held)
    assert not validate_cluster_ips(made, old) + validate_addresses_kept(made, old)
    return str(len(held))


@pytest.mark.parametrize("had", CHANGES)
def test_every_change(had: str) -> None:
    policies = ""
    for line in filter(str.strip, CHANGES[had].split("\n")):
        row, *cells = line.split()
        policies += row
        for policy in row:
            found = [
                changed(had, policy, asked, given) for asked in ("", "4", "46") for given in ("", "4", "46")
            ]
            assert found == cells, policy
    assert sorted(policies) == sorted(POLICIES)
