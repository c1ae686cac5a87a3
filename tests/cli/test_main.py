"""The command `fairlead`: help, version, wrong use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fairlead import __version__
from tests.waiting import LIMIT

FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))


def fairlead(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FAIRLEAD, *argv], capture_output=True, text=True, timeout=LIMIT, check=False)


def test_version() -> None:
    assert __version__ in fairlead("--version").stdout


@pytest.mark.parametrize("command", ["lab", "apiserver", "endpoints", "proxy", "dns", "node", "loadbalancer"])
def test_help_names_every_command(command: str) -> None:
    assert command in fairlead("--help").stdout
    assert fairlead(command, "--help").returncode == 0


@pytest.mark.parametrize(
    "argv",
    [
        ("--nonsense",),
        ("nonsense",),
        ("loadbalancer",),
        ("lab", "up", "--nodes", "many"),
        ("lab", "exec"),
        ("lab", "exec", "node/node1"),
        ("apiserver", "--nonsense"),
        ("endpoints", "--kubeconfig", "/nowhere/kubeconfig"),
        ("proxy", "--kubeconfig", "/nowhere/kubeconfig", "--node-name", "x"),
        ("dns", "--kubeconfig", "/nowhere/kubeconfig"),
    ],
)
def test_wrong_use_is_status_2_and_no_traceback(argv: tuple[str, ...]) -> None:
    done = fairlead(*argv)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr
    assert "Traceback" not in done.stderr
