"""Where tests of the node run: in namespaces that end with the test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from fairlead.apiserver.access.gate import AccessConfig
from fairlead.apiserver.certificates import KUBELET_CLIENT, make_authority, make_signing_key
from fairlead.apiserver.connect.backends import KubeletClient
from fairlead.apiserver.server import ServerConfig, serve
from fairlead.client.api import Api
from fairlead.client.kubeconfig import load, write
from fairlead.node import agent, namespaces, runtime
from fairlead.node.builtinimages import builtin
from fairlead.node.images import Image
from fairlead.node.kubelet.config import KubeletConfig
from fairlead.objects import codec
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import PODS
from fairlead.objects.status import StatusError
from fairlead.process import Health, configure_logging, listener
from tests import ordinary
from tests.node.isolation import ADDRESS as ADDRESS
from tests.node.isolation import in_child as in_child
from tests.node.isolation import interfaces as interfaces
from tests.node.isolation import own_network as own_network
from tests.node.isolation import root as root
from tests.waiting import LIMIT

ECHO = "fairlead/echo"
ORDINARY = 12345
"""The user, and the group, of tests that are not root's."""


class Serving:
    """The API server, in this process."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Serves, at the same port as before."""
        sock = listener("127.0.0.1", self.port)
        self.port = sock.getsockname()[1]
        health = Health()
        self._task = asyncio.create_task(serve(self._config, [sock], health))
        await asyncio.sleep(0)
        await asyncio.wait_for(health.ready(), LIMIT)

    async def stop(self) -> None:
        """From now on connections are refused."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


@dataclass
class Cluster:
    """An API server, and one node's agent: in this process, or as a program of its own."""

    serving: Serving
    api: Api
    """The administrator's."""
    node_api: Api
    """The agent's own."""
    config: agent.NodeConfig
    kubeconfig: Path
    """The agent's too."""
    task: asyncio.Task[None] | None = None
    program: subprocess.Popen[bytes] | None = None
    health: Health = field(default_factory=Health)

    async def start(self) -> None:
        """Starts the agent in this process."""
        self.task = asyncio.create_task(agent.run(self.node_api, self.config, self.health))
        await asyncio.sleep(0)
        ready = asyncio.create_task(self.health.ready())
        await asyncio.wait([self.task, ready], timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        self.check()
        assert ready.done(), self.health.report(readiness=True)[1]

    def check(self) -> None:
        """Fails where the agent that runs in this process does so no longer, with its reason."""
        if self.task is not None and self.task.done() and not self.task.cancelled():
            self.task.result()
            raise AssertionError("the agent has ended by itself")

    async def stop(self) -> None:
        """Cancels the agent; its pods stay."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    def command(self) -> list[str]:
        """The agent as `fairlead node`."""
        command = Path(sys.executable).with_name("fairlead")
        arguments = ["node", "--pod-cidr", "10.244.1.0/24", "--kubeconfig", str(self.kubeconfig)]
        arguments += ["--node-name", "node1", "--address", ADDRESS]
        arguments += ["--directory", str(self.config.state_directory)]
        return [str(command), *arguments]

    def start_program(self) -> None:
        """Starts the agent as a program."""
        self.program = subprocess.Popen(self.command())

    def kill_program(self) -> None:
        """kill -9."""
        assert self.program is not None
        self.program.kill()
        self.program.wait()

    async def run(self, name: str, container: Mapping[str, Any] | None = None, **spec: Any) -> None:
        """Creates a pod, bound to the node. It sees the host's /var/tmp, for the files by which tests talk to it."""
        first = {"name": "c", "image": ECHO, **(container or {})}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": _seeing({"nodeName": "node1", "containers": [first], **spec}, "/var/tmp"),
        }
        await self.api.create(PODS, codec.decode(Pod, codec.encode(body)))

    async def get(self, name: str) -> Pod | None:
        """The pod, if there is one."""
        try:
            return await self.api.get(PODS, name, "default")
        except StatusError:
            return None

    async def until(self, name: str, true: Callable[[Pod], Any], seconds: float = LIMIT) -> Pod:
        """The pod as soon as it is as wanted."""
        pod = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    pod = await self.get(name)
                    if pod is not None and true(pod):
                        return pod
                    self.check()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {codec.encode(pod).decode()}") from None

    async def gone(self, name: str, seconds: float = LIMIT) -> None:
        """Returns when there is no such pod."""
        async with asyncio.timeout(seconds):
            while await self.get(name) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def _seeing(spec: dict[str, Any], folder: str) -> dict[str, Any]:
    """The spec with a folder of the host in every container."""
    spec["volumes"] = [*spec.get("volumes", []), {"name": "host", "hostPath": {"path": folder}}]
    for group in ("initContainers", "containers"):
        mount = {"name": "host", "mountPath": folder}
        spec[group] = [
            {**one, "volumeMounts": [*one.get("volumeMounts", []), mount]} for one in spec.get(group, [])
        ]
    return spec


def is_ready(pod: Pod) -> bool:
    """Whether the pod's Ready condition is true."""
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def with_cluster(
    directory: Path,
    test: Callable[[Cluster], Awaitable[None]],
    images: Mapping[str, Image] | None = None,
    *,
    start: bool = True,
    ordinary: bool = False,
    disk: str = "",
) -> None:
    """Runs a test with an API server and a node, in a child with a network of its own; nothing of it stays.

    With `disk`, as "16m", all their files are on a disk of that size.
    """

    async def main() -> None:
        authority = make_authority(directory)
        certificate, key = authority.issue(directory, "apiserver", ["127.0.0.1"])
        tokens = directory / "tokens.csv"
        tokens.write_text('secret,admin,1,"system:masters"\n')
        make_signing_key(directory / "sa.key")
        config = ServerConfig(
            store=f"sqlite:{directory / 'store.db'}",
            tokens=tokens,
            certificate=certificate,
            key=key,
            authority=authority.path,
            access=AccessConfig(
                client_ca_file=authority.path, service_account_signing_key_file=directory / "sa.key"
            ),
            kubelets=KubeletClient(
                *authority.introduce(directory, "kubelet-client", KUBELET_CLIENT),
            ),
            advertise_address=ADDRESS,
        )
        serving = Serving(config)
        await serving.start()
        admin, kubeconfig = directory / "admin.kubeconfig", directory / "kubeconfig"
        url = f"https://127.0.0.1:{serving.port}"
        write(admin, url, authority.pem, "secret")
        write(
            kubeconfig, url, authority.pem, certificate=authority.know("system:node:node1", ("system:nodes",))
        )
        node = agent.NodeConfig(
            name="node1",
            addresses=(ADDRESS,),
            pod_cidrs=("10.244.1.0/24",),
            labels={"topology.kubernetes.io/zone": "a"},
            state_directory=directory / "node",
            images=builtin() if images is None else images,
            cluster_dns=("10.96.0.10",),
            kubelet=KubeletConfig(),
        )
        async with Api(load(admin)) as api, Api(load(kubeconfig)) as node_api:
            cluster = Cluster(serving, api, node_api, node, kubeconfig)
            try:
                if start:
                    await cluster.start()
                await test(cluster)
            finally:
                if cluster.program is not None:
                    cluster.kill_program()
                await cluster.stop()
                runtime.remove_all(node.state_directory)
        await serving.stop()

    def child() -> None:
        own_network()
        if disk:
            namespaces.mount("tmpfs", directory, "tmpfs", 0, f"size={disk}")
        configure_logging("test", "info")
        uvloop.run(main())

    if ordinary:
        as_ordinary_user(directory, child)
    else:
        in_child(child)


def as_ordinary_user(directory: Path, test: Callable[[], None], uid: int = ORDINARY) -> None:
    """Runs `test` in a child of another user, who has become root of a user namespace of their own."""

    def child() -> None:
        os.chown(directory, uid, uid)
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.keep_mounts(namespaces.MS_PRIVATE)
        ordinary.uncover()
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        namespaces.prctl(namespaces.PR_SET_DUMPABLE, 1)  # as after an exec: /proc/self is the user's own
        namespaces.become_root()
        test()

    in_child(child)
