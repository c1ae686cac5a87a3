"""Starting what a pod's plan says: the sandbox, the containers, and why one of them cannot be started.

Upstream: SyncPod and startContainer in pkg/kubelet/kuberuntime, EnsureImageExists in pkg/kubelet/images.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fairlead.node import (
    environment,
    hooks,
    imagenames,
    images,
    plan,
    pulling,
    records,
    resolver,
    runtime,
    security,
    startrequest,
    termination,
)
from fairlead.node.account import Account
from fairlead.node.container import ACCOUNT
from fairlead.node.containers import containers_of
from fairlead.node.network import AddressesExhausted
from fairlead.node.podstate import PodState
from fairlead.node.records import SandboxSpec
from fairlead.node.rejection import sysctls
from fairlead.node.volumes import Volumes, memory_volumes
from fairlead.objects.core_v1 import (
    Container,
    ContainerStateWaiting,
    LifecycleHandler,
    Pod,
)

log = logging.getLogger("fairlead.node")

RETRY_CONFIG = 5.0
"""Seconds until a ConfigMap or Secret that was missing is asked for again."""

REFUSAL_SHOWN = 0.25
"""Seconds for which a program that could not be started is called so, before its restart is planned."""


class Starting:
    """Starts a pod's containers and remembers which of them failed, and how often."""

    def __init__(self, state: PodState) -> None:
        self._state = state
        self._account = Account(state.node.api, state.directory / ACCOUNT)
        self.volumes = Volumes(state)
        self._refused: dict[str, tuple[float, ContainerStateWaiting]] = {}
        self._missing_since: dict[str, float] = {}
        self._backing_off: dict[str, int] = {}
        self._hooks: dict[str, asyncio.Task[None]] = {}
        self.crashes: dict[str, plan.CrashLoop] = {}
        self.hook_failed: set[str] = set()
        """Runs of containers whose postStart hook went wrong."""

    def anew(self) -> Starting:
        """One that has made nothing yet, and remembers what has failed."""
        self.volumes.release()
        made = Starting(self._state)
        made.crashes, made._backing_off = self.crashes, self._backing_off
        return made

    def unresolved(self, pod: Pod, now: float) -> tuple[dict[str, ContainerStateWaiting], float | None]:
        """Why containers, by name, cannot be started now; and when that may be different."""
        unresolved: dict[str, ContainerStateWaiting] = {}
        wakes = []
        for container in containers_of(pod):
            name = container.name
            why = self._lacking(container)
            if why:
                unresolved[name], rest = self._pulling(container, why)
                wakes.append(now + rest)
            elif name in self._refused:
                until, waiting = self._refused[name]
                rest = until - time.monotonic()
                if rest > 0:
                    unresolved[name] = waiting
                    wakes.append(now + rest)
        return unresolved, min(wakes, default=None)

    def _lacking(self, container: Container) -> str:
        """Why the container's image cannot be had; a container with a command needs none, but a name that is one."""
        wrong = imagenames.problem(container.image)
        if wrong or container.command:
            return wrong
        return images.missing(container.image, self._state.node.config.images)

    def _pulling(self, container: Container, why: str) -> tuple[ContainerStateWaiting, float]:
        first = container.name not in self._missing_since
        since = self._missing_since.setdefault(container.name, time.monotonic())
        elapsed = time.monotonic() - since
        waiting, rest = pulling.waiting(container.image, container.imagePullPolicy, why, elapsed)
        if first:
            if waiting.reason == "ErrImagePull":
                message = f'Failed to pull image "{container.image}": {waiting.message}'
                self._state.event("Warning", "Failed", message, container)
                self._state.event("Warning", "Failed", f"Error: {waiting.reason}", container)
            else:
                reason = "InspectFailed" if waiting.reason == "InvalidImageName" else waiting.reason
                self._state.event("Warning", reason, waiting.message, container)
        return waiting, rest

    async def keep_account(self, pod: Pod, now: float) -> float | None:
        """Keeps the pod's token fresh; gives when to come again."""
        return await self._account.keep(pod, now)

    async def start_all(self, pod: Pod, starts: tuple[plan.Start, ...]) -> None:
        """Starts containers, the sandbox first if it does not run. Raises OSError where there can be no sandbox."""
        if self._state.sandbox is None:
            try:
                await self._make_sandbox(pod)
            except AddressesExhausted as error:
                self._state.event("Warning", "FailedCreatePodSandBox", str(error))
                raise OSError(str(error)) from error
            except runtime.SandboxError as error:
                message = f"Failed to create pod sandbox: {error}"
                self._state.event("Warning", "FailedCreatePodSandBox", message)
                raise
        for start in starts:
            await self._start(pod, start)

    async def _make_sandbox(self, pod: Pod) -> None:
        state, config = self._state, self._state.node.config
        if not state.addresses and not pod.spec.hostNetwork:
            state.addresses = state.node.addresses.take()
        addresses = [address.ip for address in state.addresses]
        spec = SandboxSpec(
            uid=state.uid,
            namespace=pod.metadata.namespace,
            name=pod.metadata.name,
            hostname=config.name
            if pod.spec.hostNetwork
            else resolver.kernel_hostname(pod, config.cluster_domain),
            addresses=state.addresses,
            host_network=pod.spec.hostNetwork,
            share_processes=bool(pod.spec.shareProcessNamespace),
            shared=config.shared_paths,
            memory=memory_volumes(pod),
            host_processes=pod.spec.hostPID,
            host_ipc=pod.spec.hostIPC,
            sysctls=sysctls(pod),
            hosts=resolver.hosts(pod, addresses, config.cluster_domain, _text("/etc/hosts")),
            resolv_conf=resolver.resolv_conf(
                pod, config.cluster_dns, config.cluster_domain, _text("/etc/resolv.conf")
            ),
        )
        state.sandbox = await runtime.create(spec, state.directory, config.images, state.changed.set)
        state.settled = None
        if config.linked is not None and not pod.spec.hostNetwork:
            await config.linked(state.uid, state.sandbox.record.pid)

    async def _start(self, pod: Pod, start: plan.Start) -> None:
        state, container = self._state, start.container
        assert state.sandbox is not None
        request = await self._request(pod, container, start.attempt)
        if request is None:
            return
        if not images.missing(container.image, state.node.config.images):
            text = f'Container image "{container.image}" already present on machine and can be accessed by the pod'
            state.event("Normal", "Pulled", text, container)
        before = state.histories().get(container.name)
        await state.sandbox.start(request)
        record = state.sandbox.histories[container.name].current
        if before is not None:
            self.crashes[container.name] = plan.crashed(self.crashes.get(container.name), time.time())
        if record.reason == "StartError":
            self._refuse(container.name, "RunContainerError", record.message, REFUSAL_SHOWN)
            state.event("Warning", "Failed", f"Error: {record.message}", container)
            return
        self._refused.pop(container.name, None)
        state.event("Normal", "Created", f"Container created: {container.name}", container)
        state.event("Normal", "Started", f"Container started: {container.name}", container)
        if container.lifecycle is not None and container.lifecycle.postStart is not None:
            state.hooking.intersection_update(one.id for one in state.running())
            state.hooking.add(record.id)
            self._hooks[record.id] = asyncio.create_task(
                self._after_start(container, record.id, container.lifecycle.postStart)
            )

    async def _after_start(self, container: Container, run: str, hook: LifecycleHandler) -> None:
        """Runs the postStart hook; a failure is the end of the container, as the plan will say.

        A container whose hook has failed does not count as started either, until it has ended.
        """
        problem = ""
        try:
            problem = await hooks.run(self._state.target(container, run), hook)
            if problem:
                log.info("pod %s: container %s: postStart: %s", self._state.name, container.name, problem)
                self._state.event("Warning", "FailedPostStartHook", "PostStartHook failed", container)
                self.hook_failed.intersection_update(record.id for record in self._state.running())
                self.hook_failed.add(run)
        finally:
            if not problem:
                self._state.hooking.discard(run)
            self._hooks.pop(run, None)
            self._state.changed.set()

    def forget(self) -> None:
        """Lets go of hooks that are under way: their containers are gone, or the agent ends."""
        for task in list(self._hooks.values()):
            task.cancel()

    async def _request(self, pod: Pod, container: Container, attempt: int) -> records.Start | None:
        """The start request; None, with the reason among the refusals, where it cannot be made."""
        config = self._state.node.config
        try:
            target = self._target_of(pod, container)
            links = await self._state.node.inputs.service_links(pod)
            given = {**links, **config.environment(pod, container)}
            values = environment.make(pod, container, given, await self._sources(pod, container))
            mounts = self.volumes.mounts(pod, container, values)
            mounts = (*mounts, *self._message_file(container, attempt, mounts))
            made = startrequest.make(pod, container, attempt, values, config.images, mounts)
        except (environment.ConfigError, security.NotNonRoot) as error:
            self._refuse(container.name, "CreateContainerConfigError", str(error), RETRY_CONFIG)
            self._state.event("Warning", "Failed", f"Error: {error}", container)
            return None
        return msgspec.structs.replace(made, target=target)

    def _message_file(
        self, container: Container, attempt: int, mounts: tuple[records.Mount, ...]
    ) -> tuple[records.Mount, ...]:
        """What the container sees at its `terminationMessagePath`, unless a volume is mounted there."""
        path = container.terminationMessagePath
        if not path or any(mount.place == path for mount in mounts):
            return ()
        file = termination.make_file(self._state.directory, container.name, attempt)
        return (records.Mount(source=str(file), place=path),)

    def _target_of(self, pod: Pod, container: Container) -> str:
        """The run of the container whose processes an ephemeral container is to see; nothing without a target."""
        names = {one.name: one.targetContainerName for one in pod.spec.ephemeralContainers}
        name = names.get(container.name, "")
        if not name:
            return ""
        for record in self._state.running():
            if record.name == name:
                return record.id
        raise environment.ConfigError(f"unable to find target container {name}")

    def tell_back_offs(self, pod: Pod, waiting: Mapping[str, ContainerStateWaiting]) -> None:
        """An Event for every container that waits for its restart, once for each restart."""
        for container in containers_of(pod) if waiting else ():
            if container.name in waiting and waiting[container.name].reason == "CrashLoopBackOff":
                attempt = self._state.histories()[container.name].current.attempt
                if self._backing_off.get(container.name) != attempt:
                    self._backing_off[container.name] = attempt
                    meta = pod.metadata
                    message = f"Back-off restarting failed container {container.name} in pod "
                    message += f"{meta.name}_{meta.namespace}({meta.uid})"
                    self._state.event("Warning", "BackOff", message, container)

    async def _sources(self, pod: Pod, container: Container) -> environment.Sources:
        configs: dict[tuple[str, str], Mapping[str, str]] = {}
        for reference in environment.references(container):
            values = await self._state.node.inputs.config(reference, pod.metadata.namespace)
            if values is not None:
                configs[reference[0].plural, reference[1]] = values
        return environment.Sources(self.volumes.facts(pod), configs)

    def _refuse(self, name: str, reason: str, message: str, seconds: float) -> None:
        self._refused[name] = (
            time.monotonic() + seconds,
            ContainerStateWaiting(reason=reason, message=message),
        )
        self._state.changed.set()


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
