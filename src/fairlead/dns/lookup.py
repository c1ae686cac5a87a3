"""What is known of the name that a query asks for: by the zone, by the configuration's hosts, by the search of a pod.

Pure functions of a query, the zone and the policy of the moment.
"""

from __future__ import annotations

from fairlead.dns.message import Query
from fairlead.dns.policy import Policy
from fairlead.dns.records import Name, Record, Type, counted, packed
from fairlead.dns.zone import Found, Rcode, Zone

IN = 1
ADDRESSES = (Type.A, Type.AAAA)


def find(query: Query, zone: Zone, policy: Policy, *, complete: bool) -> Found | None:
    """What is known; None where the name is not ours. Of a zone that is not `complete` nothing is known yet."""
    if query.edns and query.edns.version:
        return Found(Rcode.BADVERS)
    if query.cls != IN or query.type in (Type.OPT, Type.IXFR, Type.AXFR):
        return Found(Rcode.REFUSED)
    known = policy.hosts.find(query.name, query.type) if query.plain else None
    if known is not None:
        return known
    if zone.covers(query.name):
        return _in_domain(query, zone, policy) if complete else Found(Rcode.SERVFAIL)
    if zone.reverses(query.name) and query.plain:
        if not complete:
            return Found(Rcode.SERVFAIL)
        found = zone.find_reverse(query.name, query.type)
        if found.rcode != Rcode.NXDOMAIN or not policy.takes(query.name):
            return found
    return None


def _in_domain(query: Query, zone: Zone, policy: Policy) -> Found:
    """A name of the cluster; an alias may lead to one of the hosts."""
    if not query.plain:
        return Found(Rcode.NXDOMAIN, authority=(zone.authority(),))
    found = zone.find(query.name, query.type)
    known = policy.hosts.find(found.beyond, query.type) if found.beyond else None
    if known is None:
        return found
    return found._replace(answer=(*found.answer, *known.answer), beyond="")


def searched(
    query: Query, found: Found | None, client: str, zone: Zone, policy: Policy
) -> Found | str | None:
    """What a pod's search would come to, when this is its first question: `NAME.NAMESPACE.svc.DOMAIN`.

    None where it is no such question, or nothing is found; a name where another server has to be asked. The
    resolver would ask for each of these names in turn (`ndots:5`). Upstream: CoreDNS's plugin autopath.
    """
    if found is None or found.rcode != Rcode.NXDOMAIN or query.type not in ADDRESSES:
        return None
    address = packed(client)
    namespace = zone.running.owner(address).partition("/")[0] if address else ""
    first = f".{namespace}.svc.{zone.domain}"
    if not namespace or not query.plain or not query.name.endswith(first):
        return None
    asked = query.name.removesuffix(first)
    for rest in (f".svc.{zone.domain}", f".{zone.domain}"):
        other = zone.find(asked + rest, query.type)
        if other.rcode == Rcode.NOERROR and not other.beyond:
            return other._replace(answer=(alias(query, asked + rest, zone), *other.answer))
    known = policy.hosts.find(asked, query.type)
    if known is not None:
        return known._replace(answer=(alias(query, asked, zone), *known.answer))
    return asked if policy.takes(asked) and policy.recursion(client) else None


def alias(query: Query, name: str, zone: Zone) -> Record:
    """Says that the name asked for is another one."""
    return Record(query.name, Type.CNAME, zone.ttl, Name(name))


def goes_on(query: Query, name: str, found: Found | None, client: str, policy: Policy) -> bool:
    """Whether another server is asked for `name`, which is the query's or what the aliases `found` lead to."""
    if found is not None and query.type not in ADDRESSES:
        return False
    return policy.takes(name) and policy.recursion(client)


def same_for_all(query: Query, found: Found, zone: Zone, policy: Policy) -> bool:
    """Whether every client gets this answer, so that it may be kept."""
    if found.beyond and policy.takes(found.beyond):
        return False
    return not (
        policy.autopath
        and found.rcode == Rcode.NXDOMAIN
        and query.type in ADDRESSES
        and query.name.endswith(f".svc.{zone.domain}")
    )


def endless(query: Query, found: Found, zone: Zone) -> bool:
    """Whether there is no end of such questions: anybody can make up names, and types of those that there are."""
    if found.rcode == Rcode.NXDOMAIN or not counted(query.type):
        return True
    return query.name.endswith(f".pod.{zone.domain}")
