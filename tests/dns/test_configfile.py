"""The configuration's file: what it says, and which line is wrong in it."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest

from fairlead.dns.cache import CacheLimits
from fairlead.dns.config import PRIVATE, within
from fairlead.dns.configfile import parse, read
from fairlead.dns.hosts import Hosts
from fairlead.dns.upstreams import Upstream

WHOLE = """
listen: [0.0.0.0, "[::1]:5353"]
domain: Example.ORG.
workers: 3
ttl: 5
answers: 100
pods: verified
autopath: true
nameserver: infra/dns
forward:
  to: [192.0.2.1, "tls://192.0.2.2#dns.example"]
  allow: [192.0.2.0/24]
  stubs:
    Corp.Example: [192.0.2.3:5353]
cache: {entries: 10, longest: 60, shortest: 5, longestMissing: 10, stale: 0, prefetch: false}
hosts:
  192.0.2.9: [a.example, b.example]
transfer: [198.51.100.7]
queries: {sample: 1, log: true}
"""


def test_everything_in_one_file() -> None:
    config = parse(WHOLE, "dns.yaml")
    assert config.listen == (("0.0.0.0", 53), ("::1", 5353))
    assert (config.domain, config.workers, config.ttl, config.answers) == ("example.org", 3, 5, 100)
    assert (config.pods, config.autopath, config.nameserver) == ("verified", True, "infra/dns")
    assert config.upstreams == (Upstream("192.0.2.1"), Upstream("192.0.2.2", 853, True, "dns.example"))
    assert config.stubs == {"corp.example": (Upstream("192.0.2.3", 5353),)}
    assert config.recursion == (ip_network("192.0.2.0/24"),)
    assert config.cache == CacheLimits(10, 60, 5, 10, 0, False)
    assert config.hosts == {"192.0.2.9": ("a.example", "b.example")}
    assert config.transfer == (ip_network("198.51.100.7/32"),)
    assert (config.sample, config.log) == (1, True)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.53\n")
    assert parse("", "dns.yaml").recursion == PRIVATE
    config = parse(f"forward: {{to: [{resolv}, 192.0.2.53]}}", "dns.yaml")
    assert config.upstreams == (Upstream("192.0.2.53"),)


def test_a_field_without_a_value_is_as_none(tmp_path: Path) -> None:
    config = parse("forward:\n  # to: [192.0.2.1]\nhosts:\ncache: {stale: }\nttl: 7\n", "dns.yaml")
    assert (config.ttl, config.hosts, config.cache) == (7, {}, CacheLimits())


def test_names_of_hosts_may_end_in_a_dot() -> None:
    hosts = Hosts(parse("hosts: {192.0.2.1: [A.Example.]}", "dns.yaml").hosts)
    found = hosts.find("a.example", 1)
    assert found is not None
    assert str(found.answer[0]) == "a.example. 3600 IN A 192.0.2.1"


WRONG = {
    "a field that there is not": ("ttl: 5\nworker: 2\n", 1, "unknown field `worker`"),
    "one further in": ("ttl: 5\ncache:\n  size: 2\n", 2, "unknown field `size`"),
    "a wrong type": ("domain: a\nworkers: many\n", 2, "Expected `int`, got `str`"),
    "a wrong type in a list": ("listen:\n- 0.0.0.0\n- 53\n", 3, "Expected `str`, got `int`"),
    "not YAML": ("ttl: [5\n", 2, "expected ',' or ']'"),
    "a list": ("- a\n", 1, "Expected `object`, got `array`"),
    "what leads back to itself": ("ttl: 5\nhosts: &a {x: *a}\n", 2, "Expected `array`, got `object`"),
    "what grows without end": (
        "a: &a [x]\n" + "".join(f"{b}: &{b} [{f'*{a}, ' * 9}]\n" for a, b in pairwise("abcdefghijkl")),
        1,
        "unknown field `a`",
    ),
    "a tag of Python": ("ttl: !!python/name:os.system\n", 1, "could not determine a constructor"),
    "a value out of bounds": ("pods: insecure\nttl: 9999\n", 2, "ttl 9999 is not from 0 to 3600"),
    "no workers": ("workers: 0\n", 1, "workers 0 is not from 1 to 64"),
    "no way to treat pods": ("\npods: some\n", 2, "pods 'some' is none of disabled, insecure, verified"),
    "autopath without pods": ("ttl: 5\nautopath: true\n", 2, "autopath needs pods verified"),
    "no name": ("domain: a..b\n", 1, "domain 'a..b' is not a name"),
    "no server": ("forward:\n  to:\n  - 192.0.2.1\n  - dns.example\n", 4, "'dns.example' is not an address"),
    "no server of a stub": ("forward:\n  stubs:\n    a.example: [x]\n", 3, "'x' is not an address"),
    "no stub domain": ("forward:\n  stubs:\n    a..example: [192.0.2.1]\n", 3, "'a..example' is not a name"),
    "no network": ("transfer:\n- 10.0.0.0/33\n", 2, "'10.0.0.0/33' does not appear to be"),
    "no network that may ask": ("forward:\n  allow: [x]\n", 2, "'x' does not appear to be"),
    "no certificates": ("forward:\n  trust: /nowhere/ca.pem\n", 2, "there is no file '/nowhere/ca.pem'"),
    "hosts without an address": ("hosts:\n  x: [a.example]\n", 1, "'x' is not an address"),
    "hosts without a name": ("hosts:\n  192.0.2.1: ['a b']\n", 1, "'a b' is not a name"),
    "no time": ("cache:\n  longest: -1\n", 1, "longest -1 is not from 0 to"),
    "times turned round": ("cache: {longest: 1, shortest: 2}\n", 1, "shortest 2 is more than longest 1"),
    "a share of more than all": ("queries: {sample: 2}\n", 1, "sample 2.0 is not from 0 to 1"),
    "more workers than any machine has use for": (
        "workers: 100000\n",
        1,
        "workers 100000 is not from 1 to 64",
    ),
    "nowhere to listen": ("ttl: 5\nlisten: []\n", 2, "listen has no address"),
    "one address twice": ("listen: [192.0.2.1, '192.0.2.1:53']\n", 1, "listen has 192.0.2.1 port 53 twice"),
    "the tree of addresses": ("domain: in-addr.arpa\n", 1, "where addresses have their names"),
    "no Service": ("nameserver: kube-dns\n", 1, "'kube-dns' is not a Service as NAMESPACE/NAME"),
    "a stub domain without servers": ("forward:\n  stubs:\n    a.example: []\n", 3, "has no server to ask"),
    "a stub domain of the cluster": (
        "forward:\n  stubs:\n    a.example: [192.0.2.1]\n    x.cluster.local: [192.0.2.1]\n",
        4,
        "is answered from the cluster",
    ),
    "a stub domain twice": (
        "forward:\n  stubs:\n    A.example.: [192.0.2.1]\n    a.example: [192.0.2.1]\n",
        3,
        "'a.example' is there twice",
    ),
    "a field twice": ("ttl: 5\ncache: {}\nttl: 6\n", 3, "`ttl` is there twice"),
    "one further in twice": ("cache:\n  stale: 5\n  stale: 6\n", 3, "`stale` is there twice"),
    "a file of servers that is not there": ("forward:\n  to: [/nowhere]\n", 2, "there is no file '/nowhere'"),
    "too many entries": ("cache: {entries: 99999999999}\n", 1, "is not from 0 to 2147483648"),
    "answering over TLS": ("listen: ['tls://0.0.0.0']\n", 1, "does not answer over TLS"),
}


@pytest.mark.parametrize(("text", "line", "why"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ValueError, match=rf"^dns\.yaml, line {line}: ") as caught:
        parse(text, "dns.yaml")
    assert why in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "dns.yaml"
    with pytest.raises(ValueError, match=f"cannot read the configuration {path}: No such file"):
        read(path)
    path.write_bytes(b"domain: \xff\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        read(path)
    path.write_bytes(b"#" * (1 << 18) + b"#")
    with pytest.raises(ValueError, match="no configuration"):
        read(path)
    with pytest.raises(ValueError, match="line 1"):
        parse("[" * 100_000, "dns.yaml")


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("100.64.0.1", True),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
    ],
)
def test_who_is_at_home(address: str, inside: bool) -> None:
    assert within(PRIVATE)(address) == inside
