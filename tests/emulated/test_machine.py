"""What takes a kernel that has all of it: modes of the proxy one after the other, delayed links, SCTP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulated import machine

TREE = Path(__file__).parents[2]
TESTS = ("tests/proxy/test_modes.py", "tests/lab/test_kernels.py")
CHOSEN = "nftables and ipvs or netem or sctp or beside and ipvs"
"""Those that other kernels may lack something for, as pytest's -k."""
INSIDE = """
touch tests/emulated/written
ip link add written type dummy
status=0
"$@" >/run/said || status=$?
cat /run/said
if grep -q skipped /run/said; then echo "what was skipped was not tested"; exit 9; fi
exit $status
"""


@pytest.mark.timeout(1800)
def test_a_kernel_that_has_everything() -> None:
    """And what is written there is not written here."""
    options = ("-p", "no:cacheprovider", "--color=no", "-q", "--tb=short", "-rs", "-k", CHOSEN)
    tests = (sys.executable, "-m", "pytest", *options, *TESTS)
    try:
        status = machine.run(["/bin/sh", "-euc", INSIDE, "sh", *tests], folder=TREE, seconds=1700)
    except machine.Unavailable as reason:
        pytest.skip(str(reason))
    assert status == 0, "the output of the machine is above"
    assert not (TREE / "tests/emulated/written").exists()
    assert subprocess.run(["ip", "link", "show", "written"], capture_output=True, check=False).returncode != 0
