"""Probes: whether a container has started, lives and is ready, asked again and again.

HTTP and TCP probes go out from the node's network namespace, in which the agent runs; commands run in the container.
Upstream: pkg/kubelet/prober, pkg/probe.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fairlead.node.records import Done
from fairlead.objects.core_v1 import Container, HTTPGetAction, Probe
from fairlead.objects.scalars import IntOrString

STARTING = 2.0
"""Seconds of a container's life in which an HTTP or TCP probe that has not succeeded yet is soon repeated, uncounted.

The kubelet waits a whole period after its first probe, which comes before most programs listen: 10 seconds by default
for nothing. Commands are not repeated: they may do more than look.
"""

STARTING_PAUSE = 0.01
"""Seconds before the next attempt then; doubled each time."""


class Executor(Protocol):
    """What can run a command in a container: `runtime.Sandbox`."""

    async def execute(self, container: str, argv: tuple[str, ...], timeout: float) -> Done:
        """Runs it in the run of a container with that id."""


@dataclass(frozen=True)
class Target:
    """A run of a container, and how to reach it."""

    container: Container
    id: str
    ip: str
    executor: Executor
    started_at: float
    """Seconds since the epoch."""


async def watch(
    target: Target,
    probe: Probe,
    told: bool | None,
    tell: Callable[[bool], None],
    failed: Callable[[str], None],
) -> None:
    """Probes until cancelled; the first time at once (after `initialDelaySeconds`), then every period.

    `tell` is called with each change of the result, counted by the thresholds from `told`, what is known already;
    `failed` with the reason of every failure.
    """
    await asyncio.sleep(max(0.0, target.started_at + probe.initialDelaySeconds - time.time()))
    row, pause, last = 0, STARTING_PAUSE, None
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        problem = await ask(target, probe)
        good = problem == ""
        new = last is None and probe.exec is None
        if not good and new and time.time() - target.started_at < STARTING:
            await asyncio.sleep(pause)
            pause *= 2
            due = loop.time()
            continue
        if not good:
            failed(problem)
        row = row + 1 if good == last else 1
        last = good
        if good != told and row >= max(1, probe.successThreshold if good else probe.failureThreshold):
            told = good
            tell(good)
        due = max(due + max(1, probe.periodSeconds), loop.time())
        await asyncio.sleep(due - loop.time())


async def ask(target: Target, probe: Probe) -> str:
    """Probes once: an empty text if all is well, or what is wrong."""
    timeout = max(1, probe.timeoutSeconds)
    try:
        if probe.exec is not None:
            return await _execute(target, probe.exec.command, timeout)
        async with asyncio.timeout(timeout):
            if probe.httpGet is not None:
                return await _get(target, probe.httpGet)
            if probe.tcpSocket is not None:
                host = probe.tcpSocket.host or target.ip
                return await _connect(host, _port(target.container, probe.tcpSocket.port))
        return "gRPC probes are not built yet"
    except TimeoutError:
        return "context deadline exceeded (timeout exceeded while awaiting an answer)"
    except ConnectionRefusedError:
        return f"dial tcp {target.ip}: connect: connection refused"
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return str(error)


async def _execute(target: Target, command: tuple[str, ...], timeout: float) -> str:
    done = await target.executor.execute(target.id, command, timeout)
    if done.timed_out:
        return f"command timed out: {' '.join(command)} timed out after {timeout:g}s"
    return "" if done.exit_code == 0 else done.output.strip() or f"exit status {done.exit_code}"


async def _connect(host: str, port: int) -> str:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return ""


async def _get(target: Target, action: HTTPGetAction) -> str:
    host, port = action.host or target.ip, _port(target.container, action.port)
    secure = action.scheme == "HTTPS"
    context = None
    if secure:
        # Upstream: a probe does not check the certificate.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        path = action.path or "/"
        headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.36", "Accept": "*/*"}
        headers.update({header.name: header.value for header in action.httpHeaders})
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if not path.startswith("/"):
            path = "/" + path
        writer.write(f"GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        line = await reader.readline()
        words = line.split()
        if len(words) < 2 or not words[1].isdigit():
            return f'Get "http://{host}:{port}{path}": malformed HTTP response {line.decode("latin-1")!r}'
        status = int(words[1])
        return "" if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            if not secure:
                await writer.wait_closed()


def _port(container: Container, port: IntOrString | None) -> int:
    """The port's number; names are those of the container's ports. Raises ValueError."""
    if isinstance(port, int):
        return port
    for declared in container.ports:
        if declared.name == port:
            return declared.containerPort
    if port and port.isdigit():
        return int(port)
    raise ValueError(f"the container has no port named {port}")
