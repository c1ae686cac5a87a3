"""The tests of the ipvs mode, in a kernel that has IPVS."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.emulated import machine

TREE = Path(__file__).parents[2]
TESTS = ("tests/proxy/ipvs/test_kernel.py", "tests/proxy/conformance/test_rules.py")
CHOSEN = "test_kernel or (TCP and not IPv6)"
"""Software emulates some twenty times slower than the machine: what the protocols and families share runs in one."""


@pytest.mark.timeout(600)
def test_ipvs_in_a_kernel_that_has_it() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--color=no",
        "-q",
        "-k",
        CHOSEN,
        *TESTS,
    ]
    try:
        status = machine.run(command, environment={"FAIRLEAD_PROXY_MODES": "ipvs"}, folder=TREE, seconds=500)
    except machine.Unavailable as reason:
        pytest.skip(str(reason))
    assert status == 0, "the output of the machine is above"
