"""kubectl against pods, over SPDY (the old one) and WebSocket (the new one), through the API server to the node."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apiserver.kubectl import kubectls
from tests.node.kubelet.kubectl import Kubectl, Result
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import ask, state
from tests.waiting import LIMIT

SHELL = "echo begun; echo oops >&2; exec sleep 1000"
ENDS = "echo first; until test -e /tmp/go; do sleep 0.02; done; echo last"
GRACE = {"terminationGracePeriodSeconds": 0}


VERSIONS = sorted(kubectls(), key=lambda version: [int(part) for part in version.split(".")])
"""The oldest speaks SPDY here, made to if it need not, the newest WebSocket."""


@root
@pytest.mark.parametrize(
    ("version", "spdy"), [(VERSIONS[0], True), (VERSIONS[-1], False)], ids=["SPDY", "WebSocket"]
)
def test_what_kubectl_does_to_pods(version: str, spdy: bool, tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        kubectl = Kubectl.of(kubectls()[version], cluster, spdy=spdy)
        await cluster.run("sh", {"image": "any", "command": ["sh", "-c", SHELL]}, **GRACE)
        await cluster.run("web", {"ports": [{"containerPort": 8080}]}, **GRACE)
        await cluster.run("cat", {"image": "any", "command": ["cat"], "stdin": True}, **GRACE)
        a, b = (
            {"name": n, "image": "any", "command": ["sh", "-c", f"echo of {n}; exec sleep 1000"]}
            for n in "ab"
        )
        await cluster.run("two", a, **GRACE, containers=[a, b])
        again = (
            "test -e /data/x || { touch /data/x; echo the first; exit 1; }; echo the second; exec sleep 1000"
        )
        mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        await cluster.run(
            "again",
            {"image": "any", "command": ["sh", "-c", again], **mount},
            volumes=[{"name": "data", "emptyDir": {}}],
            **GRACE,
        )
        size = "trap 'stty size' WINCH; stty size; while :; do sleep 0.02; done"
        terminal = {"image": "any", "command": ["sh", "-c", size], "stdin": True, "tty": True}
        await cluster.run("size", terminal, **GRACE)
        for name in ("sh", "cat", "two", "size"):
            await cluster.until(name, is_ready)
        await ask(await cluster.until("web", is_ready))  # until it listens
        await runs_commands(kubectl)
        await forwards_ports(kubectl)
        await attaches(kubectl)
        await uses_terminals(kubectl)
        await attaches_terminals(kubectl, cluster)
        await copies(kubectl, tmp_path)
        await follows_the_size_of_terminals(kubectl)
        await reads_logs(kubectl, cluster)
        await shows_usage(kubectl)
        await looks_around(kubectl)
        if not spdy:  # the rest is the same over any protocol
            await ends_with_its_client(kubectl)
            await attaches_to_nothing(kubectl, cluster)
            await proxies(kubectl)
            await forwards_ports_of_services(kubectl)
            await adds_containers(kubectl)

    with_cluster(tmp_path, test)


async def runs_commands(kubectl: Kubectl) -> None:
    result = await kubectl("exec", "sh", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (result.code, result.out, result.err.splitlines()[0]) == (3, "out\n", "err"), result
    assert (await kubectl("exec", "sh", "--", "true")).code == 0
    # Input, and its end, reach the command.
    result = await kubectl("exec", "-i", "sh", "--", "sort", stdin=b"b\na\n")
    assert (result.code, result.out) == (0, "a\nb\n"), result


async def until(true: Callable[[Result], bool], kubectl: Kubectl, *arguments: str) -> None:
    """Returns when the command prints what is wanted: what a container does comes after its start."""
    async with asyncio.timeout(LIMIT):
        while not true(await kubectl(*arguments)):
            pass


async def reads_logs(kubectl: Kubectl, cluster: Cluster) -> None:
    await until(lambda result: result.out == "begun\noops\n", kubectl, "logs", "sh")
    assert (await kubectl("logs", "sh", "--tail=1")).out == "oops\n"
    assert (await kubectl("logs", "sh", "--limit-bytes=3")).out == "beg"
    stamped = (await kubectl("logs", "sh", "--timestamps")).out.splitlines()
    assert [line.split("Z ")[1] for line in stamped] == ["begun", "oops"]
    assert (await kubectl("logs", "sh", "--since=1h")).out == "begun\noops\n"
    assert (await kubectl("logs", "sh", "--since-time=2100-01-01T00:00:00Z")).out == ""
    both = ["[pod/two/a] of a", "[pod/two/b] of b"]
    all_of_two = ("logs", "two", "--all-containers", "--prefix")
    await until(lambda result: sorted(result.out.splitlines()) == both, kubectl, *all_of_two)
    assert (await kubectl("logs", "two", "-c", "b")).out == "of b\n"
    await cluster.until("again", lambda pod: state(pod).restartCount == 1 and is_ready(pod))
    assert (await kubectl("logs", "again", "--previous")).out == "the first\n"
    await until(lambda result: result.out == "the second\n", kubectl, "logs", "again")
    refused = await kubectl("logs", "sh", "--previous")
    assert 'previous terminated container "c" in pod "sh" not found' in refused.err
    answer = await kubectl("get", "--raw", "/api/v1/namespaces/default/pods/two/log")
    assert "a container name must be specified for pod two, choose one of: [a b]" in answer.err
    assert "container x is not valid for pod two" in (await kubectl("logs", "two", "-c", "x")).err
    # One that is followed ends with its container.
    await cluster.run("ends", {"image": "any", "command": ["sh", "-c", ENDS]}, restartPolicy="Never", **GRACE)
    await cluster.until("ends", lambda pod: pod.status.phase == "Running")
    async with kubectl.running("logs", "-f", "ends") as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"first\n"
        await kubectl("exec", "ends", "--", "touch", "/tmp/go")
        assert await process.stdout.read() == b"last\n"
        assert await process.wait() == 0


async def forwards_ports(kubectl: Kubectl) -> None:
    async with kubectl.running("port-forward", "pod/web", ":8080") as process:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        port = int(line.split(" -> ")[0].rpartition(":")[2])
        answers = await asyncio.gather(*(get(port) for _ in range(5)))
        assert all(answer.startswith("HTTP/1.1 200") for answer in answers), answers
    async with kubectl.running("port-forward", "pod/web", ":81") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = (await process.stdout.readline()).decode()
        port = int(line.split(" -> ")[0].rpartition(":")[2])
        assert await get(port) == ""
        said = b""
        while b"inside the pod: connection refused" not in said:
            more = await process.stderr.readline()
            assert more, said
            said += more


async def forwards_ports_of_services(kubectl: Kubectl) -> None:
    """To one of the Service's pods, whatever the Service's own port is."""
    await kubectl("label", "pod", "web", "app=web")
    await kubectl("create", "service", "clusterip", "web", "--tcp=80:8080")
    async with kubectl.running("port-forward", "service/web", ":80") as process:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.rstrip().endswith(" -> 8080"), line
        port = int(line.split(" -> ")[0].rpartition(":")[2])
        assert (await get(port)).startswith("HTTP/1.1 200")


async def get(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        return (await reader.read()).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()


async def attaches(kubectl: Kubectl) -> None:
    async with kubectl.running("attach", "-i", "cat") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        assert await process.stdout.readline() == b"hello\n"


async def attaches_to_nothing(kubectl: Kubectl, cluster: Cluster) -> None:
    """A container that has ended, beside one that runs: `kubectl run -i` reads its log then."""
    containers = [
        {"name": name, "image": "any", "command": ["sh", "-c", script]}
        for name, script in (("runs", "exec sleep 1000"), ("over", "exit 0"))
    ]
    await cluster.run("half", containers=containers, restartPolicy="Never", terminationGracePeriodSeconds=0)
    await cluster.until("half", lambda pod: any(one.state.terminated for one in pod.status.containerStatuses))
    result = await kubectl("attach", "half", "-c", "over")
    assert (result.code, "container over not found in pod half_default" in result.err) == (1, True), result


async def uses_terminals(kubectl: Kubectl) -> None:
    # The size comes after the start.
    script = "until stty size | grep '40 90'; do sleep 0.02; done; tty; exit 7"
    out, code = await in_terminal(kubectl, f'exec -it sh -- sh -c "{script}"')
    assert "40 90" in out, out
    assert "/dev/pts/" in out, out
    assert code == 7


async def in_terminal(kubectl: Kubectl, command: str) -> tuple[str, int]:
    """What it prints, and its status, in a terminal of 40 rows and 90 columns: kubectl wants one of its own first."""
    process = await asyncio.create_subprocess_exec(
        "script",
        "-qec",
        f"stty rows 40 cols 90; {kubectl.program} {command}",
        "/dev/null",
        env=kubectl.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.read(), LIMIT)
    return said.decode(), await process.wait()


async def follows_the_size_of_terminals(kubectl: Kubectl) -> None:
    """A window that changes while a command, or the container's own program, has it for its terminal."""
    script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.02; done"
    await until(lambda result: result.out != "", kubectl, "logs", "size")  # it has set its trap
    for command in (["exec", "-it", "sh", "--", "sh", "-c", script], ["attach", "-it", "size"]):
        async with kubectl.in_window(*command, rows=30, columns=70) as window:
            await window.says("30 70")
            window.resize(rows=31, columns=71)
            await window.says("31 71")


async def attaches_terminals(kubectl: Kubectl, cluster: Cluster) -> None:
    """Input reaches a container's own terminal, and the log has what is seen there."""
    container = {"image": "any", "command": ["sh", "-c", "read -r line; tty"], "stdin": True, "tty": True}
    await cluster.run("terminal", container, restartPolicy="Never", **GRACE)
    await cluster.until("terminal", lambda pod: pod.status.phase == "Running")
    async with kubectl.running("attach", "-i", "terminal") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"go\n")
        out = await asyncio.wait_for(process.stdout.read(), LIMIT)
        assert out.splitlines()[0] == b"go", "its echo"
        assert b"/dev/pts/" in out, out
    assert (await kubectl("logs", "terminal")).out.encode() == out


async def adds_containers(kubectl: Kubectl) -> None:
    """Ephemeral ones. Those before 1.22 speak of a kind that servers from 1.23 on do not have."""
    result = await kubectl(
        "debug", "sh", "-i", "--image=busybox", "-c", "debugger", "--", "sh", stdin=b"hostname; exit\n"
    )
    assert "sh" in result.out.splitlines(), result
    result = await kubectl("debug", "sh", "--image=busybox", "--target=none", "-c", "lost", "--", "true")
    assert result.code == 1, result
    assert 'spec.ephemeralContainers[1].targetContainerName: Not found: "none"' in result.err


async def looks_around(kubectl: Kubectl) -> None:
    """A pod that lives as long as its input, and the copy of a pod."""
    result = await kubectl("debug", "web", "--copy-to=copy", "--same-node", "--set-image=*=fairlead/echo:2")
    assert result.code == 0, result
    result = await kubectl("wait", "pod/copy", "--for=condition=Ready", f"--timeout={LIMIT:.0f}s")
    assert result.code == 0, result
    overrides = json.dumps({"spec": {"nodeName": "node1"}})
    result = await kubectl(
        "run", "once", "-i", "--rm", "--restart=Never", "--image=busybox", f"--overrides={overrides}", "--", "sort",
        stdin=b"b\na\n",
    )  # fmt: skip
    assert result.out.startswith("a\nb\n"), result


async def copies(kubectl: Kubectl, folder: Path) -> None:
    source, back = folder / "source", folder / "back"
    source.write_bytes(bytes(range(256)) * 4000)
    result = await kubectl("cp", str(source), "sh:/tmp/there")
    assert result.code == 0, result
    result = await kubectl("cp", "sh:/tmp/there", str(back))
    assert result.code == 0, result
    assert back.read_bytes() == source.read_bytes()


async def proxies(kubectl: Kubectl) -> None:
    base = "/api/v1/namespaces/default"
    answer = json.loads((await kubectl("get", "--raw", f"{base}/pods/web:8080/proxy/path?a=b")).out)
    assert (answer["pod"], answer["path"]) == ("web", "/path")
    assert (await kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/healthz")).out == "ok"
    listed = json.loads((await kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/pods")).out)
    assert {"sh", "web"} <= {pod["metadata"]["name"] for pod in listed["items"]}


async def shows_usage(kubectl: Kubectl) -> None:
    shown = (await kubectl("top", "pods", "--no-headers")).out.splitlines()
    assert {line.split()[0] for line in shown} >= {"sh", "web", "cat", "two"}, shown
    _, cpu, memory = next(line for line in shown if line.startswith("web ")).split()
    assert cpu.endswith("m"), shown
    assert int(memory.removesuffix("Mi")) > 0, shown
    each = (await kubectl("top", "pod", "two", "--containers", "--no-headers")).out.splitlines()
    assert [line.split()[:2] for line in each] == [["two", "a"], ["two", "b"]]
    (node,) = (await kubectl("top", "nodes", "--no-headers")).out.splitlines()
    assert node.split()[0] == "node1"


async def ends_with_its_client(kubectl: Kubectl) -> None:
    """A command whose client is killed is killed, too."""
    async with kubectl.running("exec", "sh", "--", "sh", "-c", "echo begun; exec sleep 54321") as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        async with asyncio.timeout(LIMIT):
            while await sleepers(kubectl) != 1:
                pass
    async with asyncio.timeout(LIMIT):
        while await sleepers(kubectl):
            pass


async def sleepers(kubectl: Kubectl) -> int:
    """How many such commands run in the container."""
    script = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c '^5432[1]$'"
    return int((await kubectl("exec", "sh", "--", "sh", "-c", script)).out)
