"""What a container may do: its securityContext and its pod's as plain values. Pure.

Upstream: pkg/kubelet/kuberuntime/security_context*.go, pkg/securitycontext, containerd's default capabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.objects.core_v1 import Container, Pod

_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE"
    " NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT"
    " SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP"
    " MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES = {name: number for number, name in enumerate(_NAMES.split())}
"""The kernel's numbers, in the order of linux/capability.h; names without CAP_, as in the API."""

_DEFAULT = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL"
    " AUDIT_WRITE"
)
DEFAULT_CAPABILITIES = frozenset(_DEFAULT.split())
"""What container runtimes give to every container."""


class NotNonRoot(Exception):
    """The container would run as root, though it says runAsNonRoot. The message is upstream's."""


@dataclass(frozen=True)
class Security:
    """The fields of both contexts, the container's own before the pod's."""

    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = tuple(sorted(DEFAULT_CAPABILITIES))
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    unmasked_proc: bool = False


def of(pod: Pod, container: Container, image_user: str = "") -> Security:
    """What applies to a container. Raises `NotNonRoot`. `image_user` is what runs where the spec names no user."""
    own, default = container.securityContext, pod.spec.securityContext
    user = own.runAsUser if own and own.runAsUser is not None else default.runAsUser if default else None
    group = own.runAsGroup if own and own.runAsGroup is not None else default.runAsGroup if default else None
    must = (
        own.runAsNonRoot
        if own and own.runAsNonRoot is not None
        else default.runAsNonRoot
        if default
        else None
    )
    if must:
        _verify_not_root(pod, container, user, image_user)
    groups = tuple(default.supplementalGroups) if default else ()
    if default and default.fsGroup is not None:
        groups = (*groups, default.fsGroup)
    privileged = bool(own and own.privileged)
    return Security(
        user=user,
        group=group,
        groups=groups,
        capabilities=capabilities(container),
        privileged=privileged,
        read_only_root=bool(own and own.readOnlyRootFilesystem),
        no_new_privileges=bool(own and own.allowPrivilegeEscalation is False and not privileged),
        unmasked_proc=privileged or bool(own and own.procMount == "Unmasked"),
    )


def capabilities(container: Container) -> tuple[str, ...]:
    """The names of the capabilities that a container has as root: the default ones, and what it adds and drops.

    `drop: ["ALL"]` with `add` leaves what is added, and the other way round. Names that the kernel does not have are
    left out.
    """
    context = container.securityContext
    if context is not None and context.privileged:
        return tuple(CAPABILITIES)
    changes = context.capabilities if context else None
    added = {_plain(name) for name in changes.add} if changes else set()
    dropped = {_plain(name) for name in changes.drop} if changes else set()
    kept = set(CAPABILITIES) if "ALL" in added else set(DEFAULT_CAPABILITIES)
    if "ALL" in dropped:
        kept = set()
    kept = (kept - dropped) | (added - {"ALL"} - (dropped if "ALL" not in dropped else set()))
    return tuple(name for name in CAPABILITIES if name in kept)


def _plain(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _verify_not_root(pod: Pod, container: Container, user: int | None, image_user: str) -> None:
    meta = pod.metadata
    where = f'(pod: "{meta.name}_{meta.namespace}({meta.uid})", container: {container.name})'
    if user is not None:
        if user == 0:
            raise NotNonRoot(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image_user.partition(":")[0]
    if name in ("", "0"):
        raise NotNonRoot(f"container has runAsNonRoot and image will run as root {where}")
    if not name.isdecimal():
        raise NotNonRoot(
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root "
            f"{where}"
        )
