"""The settings of connection tracking: what follows from the flags, and what a network namespace takes."""

from __future__ import annotations

import os

import pytest

from fairlead.node import namespaces
from fairlead.proxy.sysctls import CONNTRACK, ConntrackOptions, apply
from tests.proxy.topology import namespace, root


@pytest.mark.parametrize(
    ("options", "cores", "limit"),
    [
        (ConntrackOptions(), 2, 131072),
        (ConntrackOptions(), 8, 262144),
        (ConntrackOptions(max_per_core=100, min=10), 8, 800),
        (ConntrackOptions(max_per_core=0), 8, None),
    ],
)
def test_the_table_grows_with_the_cores(options: ConntrackOptions, cores: int, limit: int | None) -> None:
    assert dict(options.settings(cores)).get("nf_conntrack_max") == limit


@root
def test_timeouts_are_the_namespaces_own() -> None:
    fd = namespace()
    try:
        with namespaces.entered(fd):
            size = (CONNTRACK / "nf_conntrack_max").read_text()
            apply(ConntrackOptions(udp_timeout=77, tcp_be_liberal=True))
            assert {
                name: int((CONNTRACK / f"nf_conntrack_{name}").read_text())
                for name in (
                    "tcp_timeout_established",
                    "tcp_timeout_close_wait",
                    "udp_timeout",
                    "tcp_be_liberal",
                )
            } == {
                "tcp_timeout_established": 86400,
                "tcp_timeout_close_wait": 3600,
                "udp_timeout": 77,
                "tcp_be_liberal": 1,
            }
            assert (CONNTRACK / "nf_conntrack_max").read_text() == size, "the machine's own, which stays"
    finally:
        os.close(fd)
