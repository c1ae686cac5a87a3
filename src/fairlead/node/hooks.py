"""What a container's lifecycle asks for after its start and before its end. Upstream: pkg/kubelet/lifecycle."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fairlead.node import httpprobe, probes
from fairlead.objects.core_v1 import HTTPGetAction, LifecycleHandler

LONGEST = 24 * 3600.0
"""Seconds that a hook's command may take at most; what ends hooks is the end of their container."""


async def run(target: probes.Target, handler: LifecycleHandler) -> str:
    """Runs a hook to its end: an empty text if all is well, or what went wrong."""
    try:
        if handler.exec is not None:
            done = await target.executor.execute(target.id, handler.exec.command, LONGEST)
            command = " ".join(handler.exec.command)
            return (
                ""
                if done.exit_code == 0
                else f"command '{command}' exited with {done.exit_code}: {done.output}"
            )
        if handler.httpGet is not None:
            await _get(target, handler.httpGet)
            return ""
        if handler.sleep is not None:
            await asyncio.sleep(handler.sleep.seconds)
            return ""
    except (OSError, ValueError) as error:
        return str(error)
    return "Cannot run handler: invalid handler"


async def _get(target: probes.Target, action: HTTPGetAction) -> None:
    """Any answer will do: a hook tells, it does not ask. HTTPS falls back to HTTP where the server speaks that."""
    if action.port is None or action.port == "":
        port = 443 if action.scheme == "HTTPS" else 80
    else:
        port = probes.port_of(target.container, action.port)
    request = httpprobe.request(action, target.ip, port, agent="kube-lifecycle/1.36")
    try:
        await httpprobe.get(request)
    except httpprobe.HTTPError as error:
        if "server gave HTTP response to HTTPS client" not in str(error):
            raise
        await httpprobe.get(replace(request, scheme="http"))
