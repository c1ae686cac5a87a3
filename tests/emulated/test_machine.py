"""The proxy's modes nftables and ipvs, one after the other, in a kernel that has both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulated import machine

TREE = Path(__file__).parents[2]
INSIDE = """
touch tests/emulated/written
ip link add written type dummy
exec "$@"
"""


@pytest.mark.timeout(400)
def test_modes_in_a_kernel_that_has_both() -> None:
    """And what is written there is not written here."""
    options = ("-p", "no:cacheprovider", "--color=no", "-q", "--tb=short", "-k", "nftables and ipvs")
    tests = (sys.executable, "-m", "pytest", *options, "tests/proxy/test_modes.py")
    try:
        status = machine.run(["/bin/sh", "-euc", INSIDE, "sh", *tests], folder=TREE, seconds=300)
    except machine.Unavailable as reason:
        pytest.skip(str(reason))
    assert status == 0, "the output of the machine is above"
    assert not (TREE / "tests/emulated/written").exists()
    assert subprocess.run(["ip", "link", "show", "written"], capture_output=True, check=False).returncode != 0
