"""A kernel that has what this system's lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulated import machine

TREE = Path(__file__).parents[2]

INSIDE = """
import pathlib, socket, subprocess, sys
import fairlead.proxy
pathlib.Path("tests/emulated/written").touch()
subprocess.run(["ip", "link", "add", "one", "type", "veth", "peer", "two"], check=True)
assert socket.if_nametoindex("two")
sys.exit(7)
"""


@pytest.mark.timeout(300)
def test_a_command_runs_on_this_tree_and_leaves_it_as_it_was() -> None:
    try:
        status = machine.run([sys.executable, "-c", INSIDE], folder=TREE, seconds=240)
    except machine.Unavailable as reason:
        pytest.skip(str(reason))
    assert status == 7
    assert not (TREE / "tests/emulated/written").exists()
    assert subprocess.run(["ip", "link", "show", "one"], capture_output=True, check=False).returncode != 0
