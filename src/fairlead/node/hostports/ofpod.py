"""The host ports of one pod, as its worker keeps them."""

from __future__ import annotations

from fairlead.node import runtime
from fairlead.node.hostports.mappings import host_ports
from fairlead.node.hostports.nft import NftFailed
from fairlead.node.podstate import PodState
from fairlead.objects.core_v1 import Pod, PodSpec

RETRY = 30.0
"""Seconds until a kernel that refused, or a port that another pod had, is tried again."""


class PodPorts:
    """Opens the pod's host ports when its sandbox runs, and closes them before it ends."""

    def __init__(self, state: PodState) -> None:
        self._state = state
        self._done: tuple[PodSpec, runtime.Sandbox] | None = None
        self._again = 0.0
        self._told = ""

    async def keep(self, pod: Pod, now: float) -> float | None:
        """Has the ports open; gives when to try again those that could not be. Costs nothing if nothing changed."""
        state = self._state
        if state.sandbox is None:
            return None
        done = self._done
        if done is not None and done[0] is pod.spec and done[1] is state.sandbox:
            return None
        wanted = host_ports(pod, state.ips(pod))
        if not wanted and not state.node.host_ports.holds(state.uid):
            self._done = (pod.spec, state.sandbox)
            return None
        if self._again > now:
            return self._again
        try:
            refused = await state.node.host_ports.open(state.uid, state.directory, wanted)
        except NftFailed as error:
            return self._complain("HostPortFailed", f"the pod's host ports cannot be opened: {error}", now)
        if refused:
            told = ", ".join(f"{key} is the pod {uid}'s" for key, uid in refused.items())
            return self._complain(
                "HostPortConflict", f"host ports that others have are not opened: {told}", now
            )
        self._done, self._told = (pod.spec, state.sandbox), ""
        return None

    async def close(self) -> None:
        """Closes them; for a pod whose sandbox is about to end."""
        self._done = None
        await self._state.node.host_ports.close(self._state.uid, self._state.directory)

    def _complain(self, reason: str, message: str, now: float) -> float:
        if message != self._told:
            self._state.event("Warning", reason, message)
            self._told = message
        self._again = now + RETRY
        return self._again
