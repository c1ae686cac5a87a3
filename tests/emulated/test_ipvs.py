"""The ipvs mode: the whole suite of the proxy's modes and its own tests, in a kernel that has IPVS."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.emulated import usermode
from tests.emulated.machine import Unavailable

TREE = Path(__file__).parents[2]
TESTS = (
    "tests/proxy/ipvs/test_kernel.py",
    "tests/proxy/conformance",
    "tests/proxy/test_faults.py",
    "tests/proxy/test_modes.py",
)
UNCOUNTED = "tests/proxy/conformance/test_traffic_metrics.py"
"""What counts connections by netfilter's marks, which those that IPVS translates do not have."""
KERNELS = {
    "IPv6 and faults": "IPv6 or faults",
    "the rest": "not IPv6 and not faults and not nftables",
}
"""Two at once, which have a processor each: which tests run in them, as pytest's -k."""


@pytest.mark.timeout(1800)
def test_ipvs_in_a_kernel_that_has_it(tmp_path: Path) -> None:
    def run(name: str) -> int:
        options = ["-p", "no:cacheprovider", "--color=no", "-q", "--tb=short", "--deselect", UNCOUNTED]
        with (tmp_path / name).open("wb") as output:
            return usermode.run(
                [sys.executable, "-m", "pytest", *options, "-k", KERNELS[name], *TESTS],
                environment={"FAIRLEAD_PROXY_MODES": "ipvs"},
                folder=TREE,
                seconds=1700,
                output=output,
            )

    with ThreadPoolExecutor() as threads:
        runs = {name: threads.submit(run, name) for name in KERNELS}
        try:
            statuses = {name: each.result() for name, each in runs.items()}
        except Unavailable as reason:
            pytest.skip(str(reason))
        finally:
            for name in KERNELS:
                print((tmp_path / name).read_text(errors="replace"))
    assert statuses == dict.fromkeys(KERNELS, 0), "what was printed there is above"
    for name in KERNELS:
        printed = (tmp_path / name).read_text(errors="replace")
        # What IPVS cannot do is asserted: whatever is skipped was not tested.
        assert re.search(r"^\d+ passed, \d+ deselected in ", printed, re.MULTILINE)
