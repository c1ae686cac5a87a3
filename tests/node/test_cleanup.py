"""What an agent that is gone for good has left goes with `fairlead node --cleanup`."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from fairlead import libnftables
from fairlead.node.records import open_process, read_sandbox
from tests.node.places import Cluster, is_ready, root, with_cluster


@root
def test_pods_files_and_host_ports_go(tmp_path: Path) -> None:
    async def clean_up(cluster: Cluster) -> subprocess.CompletedProcess[str]:
        command = [*cluster.command(), "--cleanup"]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)

    async def test(cluster: Cluster) -> None:
        await cluster.run("web", {"ports": [{"containerPort": 8080, "hostPort": 7080}]})
        writing = "i=0; while :; do i=$((i+1)); mkdir /srv/$i; : >/srv/$i/x; done"
        await cluster.run("writes", {"image": "any", "command": ["sh", "-c", writing]})
        await cluster.until("writes", is_ready)
        pod = await cluster.until("web", is_ready)
        pods = cluster.config.state_directory / "pods"
        sandbox = read_sandbox(pods / pod.metadata.uid)
        assert sandbox is not None
        refused = await clean_up(cluster)
        assert refused.returncode == 2
        assert "in use by the agent of the node node1" in refused.stderr
        assert open_process(sandbox) is not None, "a node whose agent runs is left alone"
        await cluster.stop()
        assert "fairlead-hostports" in libnftables.run("list tables")
        done = await clean_up(cluster)
        assert (done.returncode, done.stderr) == (0, "")
        ended = sorted(done.stdout.splitlines())
        assert ended == ["pod default/web has ended", "pod default/writes has ended"]
        assert libnftables.run("list tables") == ""
        assert list(pods.iterdir()) == []
        again = await clean_up(cluster)
        assert (again.returncode, again.stdout) == (0, "")

    with_cluster(tmp_path, test)
