"""The flags of `fairlead workloads`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.workloads.config import CONTROLLERS, REPLICASET, REPLICATION, WorkloadsConfig, chosen
from tests.forks import Forks


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("*", CONTROLLERS),
        ("*,-replicaset-controller", tuple(name for name in CONTROLLERS if name != REPLICASET)),
        ("*,-replicaset", tuple(name for name in CONTROLLERS if name != REPLICASET)),
        (" replicaset-controller , replicationcontroller ", (REPLICATION, REPLICASET)),
    ],
)
def test_controllers_are_chosen_as_upstream(words: str, expected: tuple[str, ...]) -> None:
    assert chosen(words.split(",")) == expected


def test_nothing_is_worked_on_by_nobody() -> None:
    with pytest.raises(ValueError, match="concurrent-rc-syncs must be greater than 0, but got 0"):
        WorkloadsConfig(concurrent_rc_syncs=0)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--help",), "Usage: fairlead workloads"),
        (
            ("--controllers", "nonsense"),
            "there is no controller nonsense; there are: replicationcontroller-c",
        ),
        (("--controllers", ""), "no controller is left to run"),
        (("--leader-elect-lease-duration", "5s"), "lease-duration must be greater than"),
        (("--concurrent-replicaset-syncs", "0"), "is not in the range x>=1"),
        (("--kubeconfig", "/nowhere"), "cannot read the kubeconfig /nowhere: No such file"),
    ],
)
def test_what_the_command_says(forks: Forks, tmp_path: Path, argv: tuple[str, ...], said: str) -> None:
    done = forks.run(("workloads", *argv), os.environ, tmp_path)
    assert done.returncode == (0 if argv == ("--help",) else 2)
    assert said in " ".join((done.stdout + done.stderr).replace("│", " ").split())
