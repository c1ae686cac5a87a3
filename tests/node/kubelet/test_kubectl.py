"""kubectl against pods, over SPDY (the old one) and WebSocket (the new one), through the API server to the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apiserver.kubectl import kubectls
from tests.node.kubelet.kubectl import Kubectl
from tests.node.places import Cluster, is_ready, root, with_cluster

SHELL = "echo begun; echo oops >&2; exec sleep 1000"
GRACE = {"terminationGracePeriodSeconds": 0}


@root
@pytest.mark.parametrize("program", kubectls().values(), ids=kubectls().keys())
def test_commands_logs_and_ports(program: str, tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        kubectl = Kubectl.of(program, cluster)
        await cluster.run("sh", {"image": "any", "command": ["sh", "-c", SHELL]}, **GRACE)
        await cluster.until("sh", is_ready)
        await runs_commands(kubectl)

    with_cluster(tmp_path, test)


async def runs_commands(kubectl: Kubectl) -> None:
    result = await kubectl("exec", "sh", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (result.code, result.out, result.err.splitlines()[0]) == (3, "out\n", "err"), result
    assert (await kubectl("exec", "sh", "--", "true")).code == 0
    # Input, and its end, reach the command.
    result = await kubectl("exec", "-i", "sh", "--", "sort", stdin=b"b\na\n")
    assert (result.code, result.out) == (0, "a\nb\n"), result
