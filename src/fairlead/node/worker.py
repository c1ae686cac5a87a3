"""One pod on this node: a task that keeps what runs equal to what the pod says, and its status equal to what runs.

Level-triggered: whatever happens (the pod changes, a container ends, a probe changes its mind, time passes), it looks
at everything again, asks `plan` what to do, does it, and writes the status if that differs from what the API has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.client.events import Recorder, reference
from fairlead.client.retry import Backoff
from fairlead.node import environment, images, plan, probes, records, resolver, runtime, status
from fairlead.node.account import Account
from fairlead.node.config import NodeConfig
from fairlead.node.container import ACCOUNT
from fairlead.node.network import AddressesExhausted, AddressPool
from fairlead.node.records import Address, ContainerRecord, History, SandboxSpec
from fairlead.objects.core_v1 import (
    ConfigMap,
    Container,
    ContainerStateWaiting,
    LifecycleHandler,
    ObjectReference,
    Pod,
    Probe,
    Secret,
)
from fairlead.objects.resources import CONFIGMAPS, PODS, SECRETS
from fairlead.objects.status import StatusError

log = logging.getLogger("fairlead.node")

SETTLING = 0.25
"""Seconds for which a fresh container's status waits for its readiness probe's first answer: one write, not two."""

RETRY_CONFIG = 5.0
"""Seconds until a ConfigMap or Secret that was missing is asked for again."""


@dataclass(frozen=True)
class Node:
    """What the pods of a node share."""

    api: Api
    config: NodeConfig
    recorder: Recorder
    addresses: AddressPool


class PodWorker:
    """Runs one pod, by uid, from its binding to its end. `finished` is set when nothing of it is left here."""

    def __init__(self, node: Node, uid: str, pod: Pod | None) -> None:
        self._node = node
        self._uid = uid
        self._pod = pod
        self._directory = directory_of(node.config, uid)
        self._account = Account(node.api, self._directory / ACCOUNT)
        self._changed = asyncio.Event()
        self._sandbox: runtime.Sandbox | None = None
        self._taken: tuple[Address, ...] = ()
        self._crashes: dict[str, plan.CrashLoop] = {}
        self._killing: dict[str, float] = {}
        self._deleting: float | None = None
        self._hooks: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, tuple[float, ContainerStateWaiting]] = {}
        self._missing_since: dict[str, float] = {}
        self._watches: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._results: dict[tuple[str, str], bool] = {}
        self._hold_until = 0.0
        self.finished = asyncio.Event()

    @property
    def absent(self) -> bool:
        """Whether the API has the pod no longer."""
        return self._pod is None

    def update(self, pod: Pod | None) -> None:
        """The pod as the API has it now; None when it has it no longer. An older one than known is ignored."""
        if pod is not None and self._pod is not None and _version(pod) < _version(self._pod):
            return
        if pod != self._pod:
            self._pod = pod
            self._changed.set()

    async def adopt(self) -> None:
        """Takes hold of the sandbox that an earlier agent left running, if there is one."""
        self._sandbox = await runtime.adopt(self._directory, self._changed.set)
        if self._sandbox is not None:
            self._taken = self._sandbox.record.spec.addresses
            self._node.addresses.claim(self._taken)

    async def run(self) -> None:
        """Works until the pod is gone from this node. Cancelled, it lets go of the pod, which goes on running."""
        backoff = Backoff(limit=5.0)
        try:
            while not self.finished.is_set():
                self._changed.clear()
                wake: float | None
                try:
                    wake = await self._step()
                    backoff.reset()
                except (StatusError, OSError) as error:
                    log.warning("pod %s: %s", self._name(), error)
                    wake = time.time() + backoff.next()
                except Exception:
                    log.exception("pod %s: a defect", self._name())
                    wake = time.time() + backoff.next()
                if not self.finished.is_set():
                    await self._wait(wake)
        finally:
            for task in (*self._watches.values(), *self._hooks.values()):
                task.cancel()
            if self._sandbox is not None:
                await self._sandbox.release()

    def _name(self) -> str:
        return f"{self._pod.metadata.namespace}/{self._pod.metadata.name}" if self._pod else self._uid

    async def _wait(self, wake: float | None) -> None:
        timeout = None if wake is None else max(0.0, wake - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()

    async def _step(self) -> float | None:
        """One look at everything; gives when to look again at the latest."""
        pod = self._pod
        if pod is None:
            await self._clear_away()
            self.finished.set()
            return None
        if self._sandbox is not None and self._sandbox.gone.is_set():
            await self._lost(pod)
        if pod.metadata.deletionTimestamp is not None:
            return await self._delete(pod)
        now = time.time()
        unresolved, wake = await self._unresolved(pod, now)
        todo = plan.plan(pod, self._observe(unresolved), now)
        for kill in todo.kills:
            self._kill(pod, kill)
        wakes = [wake, todo.wake, await self._finish_kills(now)]
        if todo.starts or self._sandbox is not None:
            wakes.append(await self._account.keep(pod, now))
        if todo.starts:
            await self._start_all(pod, todo.starts)
        elif todo.finished and self._sandbox is not None:
            await self._report(pod, todo.waiting)
            await self._end_sandbox()
            self._free_addresses()
        self._probe(pod)
        wakes.append(await self._report(pod, todo.waiting))
        return min((moment for moment in wakes if moment is not None), default=None)

    def _observe(self, unresolved: Mapping[str, ContainerStateWaiting]) -> plan.Observed:
        return plan.Observed(
            sandbox=self._sandbox is not None,
            histories=self._histories(),
            unhealthy={
                run: kind
                for (run, kind), good in self._results.items()
                if not good and kind in ("liveness", "startup") and run not in self._killing
            },
            started=self._started(),
            crashes=self._crashes,
            unresolved=unresolved,
        )

    def _histories(self) -> Mapping[str, History]:
        if self._sandbox is not None:
            return self._sandbox.histories
        return records.read_histories(self._directory)

    def _running(self) -> list[ContainerRecord]:
        return [h.current for h in self._histories().values() if h.current.running]

    # Making and ending.

    async def _start_all(self, pod: Pod, starts: tuple[plan.Start, ...]) -> None:
        if self._sandbox is None:
            try:
                await self._make_sandbox(pod)
            except AddressesExhausted as error:
                self._event("Warning", "FailedCreatePodSandBox", str(error))
                raise OSError(str(error)) from error
            except runtime.SandboxError as error:
                self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
                raise
        for start in starts:
            await self._start(pod, start)

    async def _make_sandbox(self, pod: Pod) -> None:
        config = self._node.config
        host_network = pod.spec.hostNetwork
        if not self._taken and not host_network:
            self._taken = self._node.addresses.take()
        addresses = [address.ip for address in self._taken]
        spec = SandboxSpec(
            uid=self._uid,
            namespace=pod.metadata.namespace,
            name=pod.metadata.name,
            hostname=config.name if host_network else resolver.hostname(pod),
            addresses=self._taken,
            host_network=host_network,
            share_processes=bool(pod.spec.shareProcessNamespace),
            shared=config.shared_paths,
            hosts=resolver.hosts(pod, addresses, config.cluster_domain, _text("/etc/hosts")),
            resolv_conf=resolver.resolv_conf(
                pod, config.cluster_dns, config.cluster_domain, _text("/etc/resolv.conf")
            ),
        )
        self._sandbox = await runtime.create(spec, self._directory, config.images, self._changed.set)

    async def _start(self, pod: Pod, start: plan.Start) -> None:
        assert self._sandbox is not None
        container = start.container
        request = await self._request(pod, container, start.attempt)
        if request is None:
            return
        before = self._histories().get(container.name)
        await self._sandbox.start(request)
        record = self._sandbox.histories[container.name].current
        if before is not None:
            self._crashes[container.name] = plan.crashed(self._crashes.get(container.name), time.time())
        if record.reason == "StartError":
            self._refuse(container.name, "RunContainerError", record.message, SETTLING)
            self._event("Warning", "Failed", f"Error: {record.message}", container)
            return
        self._refused.pop(container.name, None)
        self._event("Normal", "Created", f"Container created: {container.name}", container)
        self._event("Normal", "Started", f"Container started: {container.name}", container)
        if _asked_at_once(container):
            self._hold_until = time.time() + SETTLING

    async def _request(self, pod: Pod, container: Container, attempt: int) -> records.Start | None:
        """The start request; None, with the reason among the refusals, where it cannot be made."""
        config = self._node.config
        try:
            values = environment.make(
                pod, container, config.environment(pod, container), await self._sources(pod, container)
            )
        except environment.ConfigError as error:
            self._refuse(container.name, "CreateContainerConfigError", str(error), RETRY_CONFIG)
            self._event("Warning", "Failed", f"Error: {error}", container)
            return None
        found = images.find(container.image, config.images)
        pattern, image = found if found else ("", images.Image())
        entry = image.entrypoint
        arguments = container.args or image.command
        if container.command:
            entry, arguments = container.command, container.args
        context, default = container.securityContext, pod.spec.securityContext
        user = context.runAsUser if context and context.runAsUser is not None else None
        group = context.runAsGroup if context and context.runAsGroup is not None else None
        return records.Start(
            name=container.name,
            attempt=attempt,
            image=container.image,
            argv=tuple(environment.expand(word, values) for word in (*entry, *arguments)),
            builtin=pattern if image.run is not None and not container.command else "",
            environment=values,
            directory=container.workingDir or image.directory,
            root=str(image.root) if image.root else "",
            user=user if user is not None else default.runAsUser if default else None,
            group=group if group is not None else default.runAsGroup if default else None,
        )

    async def _sources(self, pod: Pod, container: Container) -> environment.Sources:
        configs: dict[tuple[str, str], Mapping[str, str]] = {}
        for resource, name in environment.references(container):
            try:
                obj: ConfigMap | Secret
                if resource is CONFIGMAPS:
                    obj = await self._node.api.get(CONFIGMAPS, name, pod.metadata.namespace)
                else:
                    obj = await self._node.api.get(SECRETS, name, pod.metadata.namespace)
            except StatusError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
            else:
                configs[resource.plural, name] = environment.contents(obj)
        host_ips = self._node.config.addresses
        return environment.Sources(self._node.config.name, host_ips, self._pod_ips(pod), configs)

    async def _unresolved(
        self, pod: Pod, now: float
    ) -> tuple[dict[str, ContainerStateWaiting], float | None]:
        """Why containers, by name, cannot be started now; and when that may be different."""
        unresolved: dict[str, ContainerStateWaiting] = {}
        wakes = []
        for container in (*pod.spec.initContainers, *pod.spec.containers):
            name = container.name
            if container.volumeMounts:
                message = "volumes are not built yet: this node mounts none"
                unresolved[name] = ContainerStateWaiting(reason="CreateContainerConfigError", message=message)
            elif not container.command and images.find(container.image, self._node.config.images) is None:
                first = name not in self._missing_since
                since = self._missing_since.setdefault(name, now)
                waiting, rest = plan.pulling(container.image, container.imagePullPolicy, now - since)
                unresolved[name] = waiting
                wakes.append(now + rest)
                if first:
                    self._event("Warning", "Failed", f"Failed to pull image: {waiting.message}", container)
                    self._event("Warning", "Failed", f"Error: {waiting.reason}", container)
            elif name in self._refused:
                until, waiting = self._refused[name]
                if now < until:
                    unresolved[name] = waiting
                    wakes.append(until)
        return unresolved, min(wakes, default=None)

    def _refuse(self, name: str, reason: str, message: str, seconds: float) -> None:
        self._refused[name] = (time.time() + seconds, ContainerStateWaiting(reason=reason, message=message))
        self._changed.set()

    def _kill(self, pod: Pod, kill: plan.Kill) -> None:
        grace = float(pod.spec.terminationGracePeriodSeconds or 0)
        probe = kill.container.livenessProbe
        if probe is not None and probe.terminationGracePeriodSeconds is not None:
            grace = float(probe.terminationGracePeriodSeconds)
        self._killing[kill.id] = time.time() + grace
        self._event("Normal", "Killing", kill.message, kill.container)
        self._terminate(pod, kill.container, kill.id)

    def _terminate(self, pod: Pod, container: Container | None, run: str) -> None:
        """Runs the preStop hook, then sends SIGTERM, in the background."""

        async def stop() -> None:
            hook = container.lifecycle.preStop if container and container.lifecycle else None
            if container is not None and hook is not None:
                await self._hook(container, run, hook)
            if self._sandbox is not None:
                with contextlib.suppress(OSError):
                    await self._sandbox.signal(run, signal.SIGTERM)

        if run not in self._hooks:
            self._hooks[run] = asyncio.create_task(stop())

    async def _hook(self, container: Container, run: str, hook: LifecycleHandler) -> None:
        problem = ""
        if hook.sleep is not None:
            await asyncio.sleep(hook.sleep.seconds)
        elif self._sandbox is not None:
            probe = Probe(exec=hook.exec, httpGet=hook.httpGet, tcpSocket=hook.tcpSocket, timeoutSeconds=3600)
            problem = await probes.ask(self._target(container, run), probe)
        if problem:
            self._event("Warning", "FailedPreStopHook", f"PreStopHook failed: {problem}", container)

    async def _finish_kills(self, now: float) -> float | None:
        """Sends SIGKILL to what has used up its grace period; gives when the next has."""
        running = {record.id for record in self._running()}
        for run in [run for run in self._killing if run not in running]:
            del self._killing[run]
        for run, deadline in self._killing.items():
            if deadline <= now and self._sandbox is not None:
                await self._sandbox.signal(run, signal.SIGKILL)
                self._killing[run] = now + 1
        return min(self._killing.values(), default=None)

    async def _delete(self, pod: Pod) -> float | None:
        """A pod that terminates: hooks, SIGTERM, the grace period, SIGKILL, and then the object goes too."""
        now = time.time()
        running = self._running() if self._sandbox is not None else []
        containers = {c.name: c for c in (*pod.spec.initContainers, *pod.spec.containers)}
        if self._deleting is None:
            self._deleting = now
        deadline = self._deleting + (pod.metadata.deletionGracePeriodSeconds or 0)
        if running and now < deadline:
            for record in running:
                if record.id not in self._hooks:
                    message = f"Stopping container {record.name}"
                    self._event("Normal", "Killing", message, containers.get(record.name))
                self._terminate(pod, containers.get(record.name), record.id)
            self._probe(pod)
            wake = await self._report(pod, {})
            return min(deadline, wake or deadline)
        if self._sandbox is not None:
            await self._end_sandbox()
        await self._report(pod, {})
        await self._clear_away()
        with contextlib.suppress(StatusError):  # gone already, or another by now
            await self._node.api.delete(
                PODS, pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0, uid=self._uid
            )
        # A finalizer may keep the object, terminating; there is nothing left to do for it here.
        self.finished.set()
        return None

    async def _end_sandbox(self) -> None:
        assert self._sandbox is not None
        await self._sandbox.kill()
        await self._sandbox.release()
        self._sandbox = None
        records.settle(self._directory)
        self._stop_probes(())

    async def _lost(self, pod: Pod) -> None:
        """The sandbox died, and the pod with it: what ran is recorded as killed, and will be planned for anew."""
        await self._end_sandbox()
        if pod.metadata.deletionTimestamp is None:
            self._event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")

    async def _clear_away(self) -> None:
        """Nothing of the pod stays: processes, network, files; its addresses are free."""
        if self._sandbox is not None:
            await self._end_sandbox()
        self._free_addresses()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _free_addresses(self) -> None:
        self._node.addresses.give_back(self._taken)
        self._taken = ()

    # Probes.

    def _target(self, container: Container, run: str) -> probes.Target:
        assert self._sandbox is not None
        assert self._pod is not None
        record = self._sandbox.histories[container.name].current
        ip = next(iter(self._pod_ips(self._pod)), "127.0.0.1")
        return probes.Target(container, run, ip, self._sandbox, record.started_at)

    def _probe(self, pod: Pod) -> None:
        """Lets every probe of every running container be asked, and no other."""
        wanted: dict[tuple[str, str], tuple[Container, Probe]] = {}
        histories = self._histories() if self._sandbox is not None else {}
        for container in (*pod.spec.initContainers, *pod.spec.containers):
            history = histories.get(container.name)
            if history is None or not history.current.running:
                continue
            run = history.current.id
            startup = container.startupProbe
            if startup is not None and not self._results.get((run, "startup")):
                if self._said_before(pod, container, run, "started"):
                    self._results[run, "startup"] = True
                else:
                    wanted[run, "startup"] = (container, startup)
                    continue
            if container.livenessProbe is not None and pod.metadata.deletionTimestamp is None:
                wanted[run, "liveness"] = (container, container.livenessProbe)
            if container.readinessProbe is not None:
                wanted[run, "readiness"] = (container, container.readinessProbe)
                if self._said_before(pod, container, run, "ready"):
                    self._results.setdefault((run, "readiness"), True)
        self._stop_probes(wanted)
        for key, (container, probe) in wanted.items():
            if key not in self._watches:
                self._watches[key] = asyncio.create_task(self._watch(key, container, probe))

    def _said_before(self, pod: Pod, container: Container, run: str, what: str) -> bool:
        """Whether the API has this run as ready or started: an earlier agent asked, and nothing speaks against it."""
        return any(
            one.containerID == f"fairlead://{run}" and getattr(one, what)
            for one in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
        )

    def _watch(self, key: tuple[str, str], container: Container, probe: Probe) -> Coroutine[Any, Any, None]:
        run, kind = key
        told = True if kind == "liveness" else self._results.get(key)

        def tell(good: bool) -> None:
            self._results[key] = good
            self._changed.set()

        def failed(problem: str) -> None:
            self._event("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {problem}", container)
            if kind == "readiness" and key not in self._results:
                tell(False)  # the first answer is news, whatever the threshold

        return probes.watch(self._target(container, run), probe, told, tell, failed)

    def _stop_probes(self, wanted: Mapping[tuple[str, str], object] | tuple[()]) -> None:
        for key in [key for key in self._watches if key not in wanted]:
            self._watches.pop(key).cancel()

    def _started(self) -> frozenset[str]:
        pod = self._pod
        assert pod is not None
        probed = {c.name for c in (*pod.spec.initContainers, *pod.spec.containers) if c.startupProbe}
        return frozenset(
            record.id
            for record in self._running()
            if record.name not in probed or self._results.get((record.id, "startup"))
        )

    def _ready(self) -> frozenset[str]:
        pod = self._pod
        assert pod is not None
        probed = {c.name for c in (*pod.spec.initContainers, *pod.spec.containers) if c.readinessProbe}
        started = self._started()
        return frozenset(
            record.id
            for record in self._running()
            if record.id in started
            and (record.name not in probed or self._results.get((record.id, "readiness")))
        )

    # Telling the API.

    async def _report(self, pod: Pod, waiting: Mapping[str, ContainerStateWaiting]) -> float | None:
        """Writes the status if it differs; gives when to try again if it is better to wait for a probe first."""
        now = time.time()
        if now < self._hold_until and self._unanswered(pod):
            return self._hold_until
        facts = status.Facts(
            host_ips=self._node.config.addresses,
            pod_ips=self._pod_ips(pod),
            sandbox=self._sandbox is not None,
            histories=self._histories(),
            waiting=waiting,
            ready=self._ready(),
            started=self._started(),
        )
        wanted = status.make(pod, facts, now)
        changes = status.difference(pod.status, wanted)
        if not changes:
            return None
        patch = {"metadata": {"uid": self._uid}, "status": changes}
        try:
            answer = await self._node.api.patch(
                PODS, pod.metadata.name, pod.metadata.namespace, patch, kind="strategic", subresource="status"
            )
        except StatusError as error:
            if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return None  # gone, or another by that name: the informer will say so
            raise
        self.update(answer)
        return None

    def _unanswered(self, pod: Pod) -> bool:
        """Whether a readiness probe that goes out at once has not been answered yet."""
        running = {record.name: record.id for record in self._running()}
        return any(
            (running[c.name], "readiness") not in self._results
            for c in pod.spec.containers
            if c.name in running and _asked_at_once(c)
        )

    def _pod_ips(self, pod: Pod) -> tuple[str, ...]:
        if pod.spec.hostNetwork:
            return tuple(self._node.config.addresses)
        return tuple(address.ip for address in self._taken)

    def _event(self, kind: str, reason: str, message: str, container: Container | None = None) -> None:
        pod = self._pod
        if pod is not None:
            self._node.recorder.event(_about(pod, container), kind, reason, message)


def directory_of(config: NodeConfig, uid: str) -> Path:
    """Where a pod's state is kept."""
    return config.state_directory / "pods" / uid


def _about(pod: Pod, container: Container | None) -> ObjectReference:
    if container is None:
        return reference(pod)
    group = "initContainers" if container in pod.spec.initContainers else "containers"
    return replace(reference(pod), fieldPath=f"spec.{group}{{{container.name}}}")


def _asked_at_once(container: Container) -> bool:
    probe = container.readinessProbe
    return probe is not None and probe.initialDelaySeconds == 0 and container.startupProbe is None


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _version(pod: Pod) -> int:
    """The resourceVersion as a number, as KEP-5504 lets clients compare it."""
    version = pod.metadata.resourceVersion
    return int(version) if version.isdecimal() else 0
