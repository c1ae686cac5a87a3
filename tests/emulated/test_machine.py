"""The modes of the proxy beside each other, in a kernel that has all of them."""

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
def test_modes_in_a_kernel_that_has_all_of_them() -> None:
    """And what is written there is not written here."""
    tests = (
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--color=no",
        "-q",
        "tests/proxy/test_modes.py",
    )
    try:
        status = machine.run(["/bin/sh", "-euc", INSIDE, "sh", *tests], folder=TREE, seconds=300)
    except machine.Unavailable as reason:
        pytest.skip(str(reason))
    assert status == 0, "the output of the machine is above"
    assert not (TREE / "tests/emulated/written").exists()
    assert subprocess.run(["ip", "link", "show", "written"], capture_output=True, check=False).returncode != 0
