"""Which pods a node does not take, though they are bound to it. Pure.

Upstream: pkg/kubelet/sysctl (allowlist.go, safe_sysctls.go), rejectPod in pkg/kubelet/kubelet.go. A lab's nodes allow
every sysctl that belongs to a pod's own namespaces, as a kubelet with --allowed-unsafe-sysctls would.
"""

from __future__ import annotations

from fairlead.node.status import Failure
from fairlead.objects.core_v1 import Pod

_IPC = ("kernel.shm", "kernel.msg", "fs.mqueue.")
_IPC_NAMES = ("kernel.sem",)
_NET = "net."


def rejection(pod: Pod) -> Failure | None:
    """Why the node rejects a pod; None for one that it takes."""
    for sysctl in pod.spec.securityContext.sysctls if pod.spec.securityContext else ():
        name = dotted(sysctl.name)
        is_ipc = name.startswith(_IPC) or name in _IPC_NAMES
        if not is_ipc and not name.startswith(_NET):
            return _forbidden(f'"{name}" not allowlisted')
        if name.startswith(_NET) and pod.spec.hostNetwork:
            return _forbidden(f'"{name}" not allowed with host net enabled')
        if is_ipc and pod.spec.hostIPC:
            return _forbidden(f'"{name}" not allowed with host ipc enabled')
    return None


def sysctls(pod: Pod) -> dict[str, str]:
    """What the pod wants written, by dotted name."""
    context = pod.spec.securityContext
    return {dotted(one.name): one.value for one in context.sysctls} if context else {}


def dotted(name: str) -> str:
    """A sysctl's name with dots: `net/ipv4/conf/eth0.1/x` is `net.ipv4.conf.eth0/1.x` (sysctl(8))."""
    if "/" in name and ("." not in name or name.index("/") < name.index(".")):
        return name.translate({ord("/"): ".", ord("."): "/"})
    return name


def _forbidden(why: str) -> Failure:
    return Failure("SysctlForbidden", f"Pod was rejected: forbidden sysctl: {why}", grace=0)
