"""What each name of a cluster answers: the Kubernetes DNS specification 1.1.0 and CoreDNS's additions as a table."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from fairlead.dns.answers import Answers
from fairlead.dns.edns import Cookies
from fairlead.dns.responder import Responder
from tests.dns.cluster import ask, example_responder, example_zone, lines

SOA = "cluster.local. SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700000000 7200 1800 86400 30"
D = "default.svc.cluster.local"

# Name and type asked; response code; answer section; additional section. `$` stands for default.svc.cluster.local.
CASES = {
    "a ClusterIP Service": ("my-service.$ A", "NOERROR", ["my-service.$. A 10.96.0.100"]),
    "IPv6 of an IPv4 Service": ("my-service.$ AAAA", "NOERROR", []),
    "a type that nothing has": ("my-service.$ MX", "NOERROR", []),
    "HTTPS, which browsers ask for": ("my-service.$ HTTPS", "NOERROR", []),
    "any record of a Service": ("my-service.$ ANY", "NOERROR", ["my-service.$. A 10.96.0.100"]),
    "letter case does not matter": ("MY-Service.$ A", "NOERROR", ["MY-Service.$. A 10.96.0.100"]),
    "a dual-stack Service": ("dual.$ A", "NOERROR", ["dual.$. A 10.96.0.102"]),
    "a dual-stack Service by IPv6": ("dual.$ AAAA", "NOERROR", ["dual.$. AAAA fd00:96::102"]),
    "SRV of a ClusterIP Service has the Service's port": (
        "_http._tcp.my-service.$ SRV",
        "NOERROR",
        ["_http._tcp.my-service.$. SRV 0 100 80 my-service.$."],
        ["my-service.$. A 10.96.0.100"],
    ),
    "SRV at the Service's own name": (
        "several.$ SRV",
        "NOERROR",
        ["several.$. SRV 0 50 80 several.$.", "several.$. SRV 0 50 443 several.$."],
        ["several.$. A 10.96.0.103"],
    ),
    "SRV of a dual-stack Service": (
        "_web._tcp.dual.$ SRV",
        "NOERROR",
        ["_web._tcp.dual.$. SRV 0 100 80 dual.$."],
        ["dual.$. A 10.96.0.102", "dual.$. AAAA fd00:96::102"],
    ),
    "SRV by UDP": (
        "_dns._udp.kube-dns.kube-system.svc.cluster.local SRV",
        "NOERROR",
        [
            "_dns._udp.kube-dns.kube-system.svc.cluster.local. SRV 0 100 53 kube-dns.kube-system.svc.cluster.local."
        ],
        ["kube-dns.kube-system.svc.cluster.local. A 10.96.0.10"],
    ),
    "an address at a port's name": ("_http._tcp.my-service.$ A", "NOERROR", []),
    "between a port's name and the Service": ("_tcp.my-service.$ A", "NOERROR", []),
    "a protocol that no port has": ("_udp.my-service.$ SRV", "NXDOMAIN", []),
    "a port that is not there": ("_https._tcp.my-service.$ SRV", "NXDOMAIN", []),
    "an unnamed port has no SRV": ("_80._tcp.unnamed.$ SRV", "NXDOMAIN", []),
    "nor at the Service's own name": ("unnamed.$ SRV", "NOERROR", []),
    "an endpoint of a ClusterIP Service": (
        "10-244-1-2.my-service.$ A",
        "NOERROR",
        ["10-244-1-2.my-service.$. A 10.244.1.2"],
    ),
    "an endpoint of it that is not ready": ("10-244-2-3.my-service.$ A", "NXDOMAIN", []),
    "a headless Service": (
        "headless-svc.$ A",
        "NOERROR",
        ["headless-svc.$. A 10.244.1.2", "headless-svc.$. A 10.244.2.3"],
    ),
    "a headless Service without IPv6": ("headless-svc.$ AAAA", "NOERROR", []),
    "an endpoint by its dashed address": (
        "10-244-2-3.headless-svc.$ A",
        "NOERROR",
        ["10-244-2-3.headless-svc.$. A 10.244.2.3"],
    ),
    "a headless endpoint that is not ready": ("10-244-3-4.headless-svc.$ A", "NXDOMAIN", []),
    "SRV of a headless Service has the endpoints' port": (
        "_http._tcp.headless-svc.$ SRV",
        "NOERROR",
        [
            "_http._tcp.headless-svc.$. SRV 0 50 8080 10-244-1-2.headless-svc.$.",
            "_http._tcp.headless-svc.$. SRV 0 50 8080 10-244-2-3.headless-svc.$.",
        ],
        ["10-244-1-2.headless-svc.$. A 10.244.1.2", "10-244-2-3.headless-svc.$. A 10.244.2.3"],
    ),
    "a pod of a StatefulSet": ("mysql-0.mysql.$ A", "NOERROR", ["mysql-0.mysql.$. A 10.244.1.5"]),
    "a pod of a StatefulSet by IPv6": (
        "mysql-0.mysql.$ AAAA",
        "NOERROR",
        ["mysql-0.mysql.$. AAAA fd00:244::5"],
    ),
    "a pod with a hostname has no dashed name": ("10-244-1-5.mysql.$ A", "NXDOMAIN", []),
    "a pod that is not there": ("mysql-2.mysql.$ A", "NXDOMAIN", []),
    "SRV of a pod": (
        "mysql-1.mysql.$ SRV",
        "NOERROR",
        ["mysql-1.mysql.$. SRV 0 100 3306 mysql-1.mysql.$."],
        ["mysql-1.mysql.$. A 10.244.2.5"],
    ),
    "a headless Service without ready endpoints": ("nobody.$ A", "NXDOMAIN", []),
    "its ports": ("_http._tcp.nobody.$ SRV", "NXDOMAIN", []),
    "a headless Service that publishes addresses early": ("early.$ A", "NOERROR", ["early.$. A 10.244.9.8"]),
    "a headless Service without ports": ("portless.$ A", "NOERROR", ["portless.$. A 10.244.9.7"]),
    "ExternalName": ("external-db.$ A", "NOERROR", ["external-db.$. CNAME db.example.com."]),
    "ExternalName asked for its alias": (
        "external-db.$ CNAME",
        "NOERROR",
        ["external-db.$. CNAME db.example.com."],
    ),
    "ExternalName into the cluster": (
        "alias.$ A",
        "NOERROR",
        ["alias.$. CNAME my-service.$.", "my-service.$. A 10.96.0.100"],
    ),
    "ExternalName to a name that does not exist": (
        "alias-to-nothing.$ A",
        "NXDOMAIN",
        ["alias-to-nothing.$. CNAME nothing.$."],
    ),
    "ExternalName that is an address": ("external-address.$ A", "NXDOMAIN", []),
    "a name under an ExternalName": ("x.external-db.$ A", "NXDOMAIN", []),
    "a Service that is not there": ("nothing.$ A", "NXDOMAIN", []),
    "a Service of a namespace that is not there": ("my-service.nowhere.svc.cluster.local A", "NXDOMAIN", []),
    "a Service of another namespace": ("my-service.kube-system.svc.cluster.local A", "NXDOMAIN", []),
    "too many labels": ("a.b.c.my-service.$ A", "NXDOMAIN", []),
    "a namespace": ("default.svc.cluster.local A", "NOERROR", []),
    "a namespace without Services": ("empty.svc.cluster.local A", "NOERROR", []),
    "a namespace that is not there": ("nowhere.svc.cluster.local A", "NXDOMAIN", []),
    "all Services": ("svc.cluster.local A", "NOERROR", []),
    "all pods": ("pod.cluster.local A", "NOERROR", []),
    "a name beside svc and pod": ("nothing.cluster.local A", "NXDOMAIN", []),
    "a search path's leftovers": (f"example.com.{D} A", "NXDOMAIN", []),
    "a pod by its address": (
        "10-244-1-2.default.pod.cluster.local A",
        "NOERROR",
        ["10-244-1-2.default.pod.cluster.local. A 10.244.1.2"],
    ),
    "a pod by its IPv6 address": (
        "fd00-244--5.default.pod.cluster.local AAAA",
        "NOERROR",
        ["fd00-244--5.default.pod.cluster.local. AAAA fd00:244::5"],
    ),
    "a pod by no address": ("10-244-1.default.pod.cluster.local A", "NXDOMAIN", []),
    "a pod in a namespace that is not there": ("10-244-1-2.nowhere.pod.cluster.local A", "NXDOMAIN", []),
    "the domain itself": ("cluster.local A", "NOERROR", []),
    "its authority": ("cluster.local SOA", "NOERROR", [SOA]),
    "its name server": (
        "cluster.local NS",
        "NOERROR",
        ["cluster.local. NS kube-dns.kube-system.svc.cluster.local."],
        ["kube-dns.kube-system.svc.cluster.local. A 10.96.0.10"],
    ),
    "the name server of the SOA": (
        "ns.dns.cluster.local A",
        "NOERROR",
        ["ns.dns.cluster.local. A 10.96.0.10"],
    ),
    "the version of the specification": (
        "dns-version.cluster.local TXT",
        "NOERROR",
        ['dns-version.cluster.local. TXT "1.1.0"'],
    ),
    "another type at that name": ("dns-version.cluster.local A", "NOERROR", []),
    "a ClusterIP's name": (
        "100.0.96.10.in-addr.arpa PTR",
        "NOERROR",
        ["100.0.96.10.in-addr.arpa. PTR my-service.$."],
    ),
    "a pod's name": (
        "5.1.244.10.in-addr.arpa PTR",
        "NOERROR",
        ["5.1.244.10.in-addr.arpa. PTR mysql-0.mysql.$."],
    ),
    "a pod behind two Services has two names": (
        "2.1.244.10.in-addr.arpa PTR",
        "NOERROR",
        [
            "2.1.244.10.in-addr.arpa. PTR 10-244-1-2.headless-svc.$.",
            "2.1.244.10.in-addr.arpa. PTR 10-244-1-2.my-service.$.",
        ],
    ),
    "an IPv6 address's name": (
        "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.4.2.0.0.0.d.f.ip6.arpa PTR",
        "NOERROR",
        ["5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.4.2.0.0.0.d.f.ip6.arpa. PTR mysql-0.mysql.$."],
    ),
    "the name of an address that is not ready": ("9.9.244.10.in-addr.arpa PTR", "NXDOMAIN", []),
    "the name of an unknown address": ("1.2.0.192.in-addr.arpa PTR", "NXDOMAIN", []),
    "half an address": ("96.10.in-addr.arpa PTR", "NXDOMAIN", []),
    "an address's name, asked for another type": ("100.0.96.10.in-addr.arpa A", "NOERROR", []),
    "a name of others, where nobody is to be asked": ("example.com A", "REFUSED", []),
    "the root": (". NS", "REFUSED", []),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_name_answers(case: tuple[str, str, list[str]] | tuple[str, str, list[str], list[str]]) -> None:
    question, rcode, answer, *additional = case
    name, kind = question.replace("$", D).split()
    responder = example_responder()
    message = ask(responder, dns.message.make_query(name, kind))
    assert dns.rcode.to_text(message.rcode()) == rcode
    assert lines(message.answer) == [line.replace("$", D) for line in answer]
    assert sorted(lines(message.additional)) == sorted(
        line.replace("$", D) for line in (additional[0] if additional else [])
    )
    complete = rcode == "REFUSED" or (bool(answer) and rcode == "NOERROR")
    tree = next((t for t in ("in-addr.arpa", "ip6.arpa") if name.endswith(t)), "cluster.local")
    assert lines(message.authority) == ([] if complete else [SOA.replace("cluster.local", tree)])
    assert bool(message.flags & dns.flags.AA) == (rcode != "REFUSED")


def test_an_alias_that_goes_in_a_circle_fails() -> None:
    message = ask(example_responder(), dns.message.make_query(f"ouroboros.{D}", "A"))
    assert message.rcode() == dns.rcode.SERVFAIL


def test_before_the_zone_is_complete_nothing_is_denied() -> None:
    responder = Responder(example_zone(), Answers(), Cookies())
    for name in (f"my-service.{D}", f"nothing.{D}", "1.2.0.192.in-addr.arpa"):
        assert ask(responder, dns.message.make_query(name, "A")).rcode() == dns.rcode.SERVFAIL
    responder.synced()
    assert ask(responder, dns.message.make_query(f"my-service.{D}", "A")).rcode() == dns.rcode.NOERROR
    assert ask(responder, dns.message.make_query(f"nothing.{D}", "A")).rcode() == dns.rcode.NXDOMAIN


# Names against types: how many records the answer section has (aliases counted), `x` is NXDOMAIN, `f` SERVFAIL,
# `r` REFUSED. `$` stands for default.svc.cluster.local, `%` for cluster.local.
MATRIX = """
name                        A  AAAA SRV CNAME PTR TXT MX NS SOA HTTPS ANY
my-service.$                1  0    1   0     0   0   0  0  0   0     1
dual.$                      1  1    1   0     0   0   0  0  0   0     1
unnamed.$                   1  0    0   0     0   0   0  0  0   0     1
several.$                   1  0    2   0     0   0   0  0  0   0     1
headless-svc.$              2  0    2   0     0   0   0  0  0   0     2
mysql.$                     2  1    2   0     0   0   0  0  0   0     2
early.$                     1  0    1   0     0   0   0  0  0   0     1
portless.$                  1  0    0   0     0   0   0  0  0   0     1
nobody.$                    x  x    x   x     x   x   x  x  x   x     x
external-db.$               1  1    1   1     1   1   1  1  1   1     1
alias.$                     2  1    2   1     1   1   1  1  1   1     1
alias-to-nothing.$          x  x    x   1     x   x   x  x  x   x     1
ouroboros.$                 f  f    f   1     f   f   f  f  f   f     1
external-address.$          x  x    x   x     x   x   x  x  x   x     x
nothing.$                   x  x    x   x     x   x   x  x  x   x     x
_http._tcp.my-service.$     0  0    1   0     0   0   0  0  0   0     1
_tcp.my-service.$           0  0    0   0     0   0   0  0  0   0     0
_udp.my-service.$           x  x    x   x     x   x   x  x  x   x     x
_http._tcp.headless-svc.$   0  0    2   0     0   0   0  0  0   0     2
_mysql._tcp.mysql.$         0  0    2   0     0   0   0  0  0   0     2
_http._tcp.nobody.$         x  x    x   x     x   x   x  x  x   x     x
10-244-1-2.my-service.$     1  0    1   0     0   0   0  0  0   0     1
10-244-2-3.my-service.$     x  x    x   x     x   x   x  x  x   x     x
mysql-0.mysql.$             1  1    1   0     0   0   0  0  0   0     1
10-244-1-5.mysql.$          x  x    x   x     x   x   x  x  x   x     x
a.b.c.my-service.$          x  x    x   x     x   x   x  x  x   x     x
$                           0  0    0   0     0   0   0  0  0   0     0
empty.svc.%                 0  0    0   0     0   0   0  0  0   0     0
nowhere.svc.%               x  x    x   x     x   x   x  x  x   x     x
svc.%                       0  0    0   0     0   0   0  0  0   0     0
10-244-1-2.default.pod.%    1  0    0   0     0   0   0  0  0   0     1
fd00-244--5.default.pod.%   0  1    0   0     0   0   0  0  0   0     1
10-244-1-2.nowhere.pod.%    x  x    x   x     x   x   x  x  x   x     x
default.pod.%               0  0    0   0     0   0   0  0  0   0     0
dns-version.%               0  0    0   0     0   1   0  0  0   0     1
ns.dns.%                    1  0    0   0     0   0   0  0  0   0     1
%                           0  0    0   0     0   0   0  1  1   0     1
nothing.%                   x  x    x   x     x   x   x  x  x   x     x
100.0.96.10.in-addr.arpa    0  0    0   0     1   0   0  0  0   0     1
2.1.244.10.in-addr.arpa     0  0    0   0     2   0   0  0  0   0     2
9.9.244.10.in-addr.arpa     x  x    x   x     x   x   x  x  x   x     x
example.com                 r  r    r   r     r   r   r  r  r   r     r
"""
ROWS = [line.split() for line in MATRIX.strip().splitlines()]
CELLS = [
    (name.replace("$", D).replace("%", "cluster.local"), kind, cell)
    for name, *cells in ROWS[1:]
    for kind, cell in zip(ROWS[0][1:], cells, strict=True)
]


@pytest.fixture(scope="module")
def responder() -> Responder:
    return example_responder()


@pytest.mark.parametrize(("name", "kind", "cell"), CELLS, ids=[f"{n} {k}" for n, k, _ in CELLS])
def test_each_name_by_each_type(responder: Responder, name: str, kind: str, cell: str) -> None:
    message = ask(responder, dns.message.make_query(name, kind))
    rcode = {"x": "NXDOMAIN", "f": "SERVFAIL", "r": "REFUSED"}.get(cell, "NOERROR")
    assert dns.rcode.to_text(message.rcode()) == rcode
    if cell.isdecimal():
        assert len(lines(message.answer)) == int(cell)
