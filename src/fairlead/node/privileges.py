"""The user, the groups and the capabilities of a process: what a container's first one does before its program starts.

Which ones, `security` says. Kernel: capabilities(7), user_namespaces(7), prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from fairlead.node import accounts, namespaces
from fairlead.node.accounts import Identity
from fairlead.node.records import Start
from fairlead.node.security import CAPABILITIES

_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


_libc = ctypes.CDLL(None, use_errno=True)


def take(start: Start) -> None:
    """Becomes the container's user, in its root. Raises OSError, in words, where the kernel does not let it."""
    asked = start.user if start.user is not None else start.image_user
    who = accounts.identify(asked, start.group, start.groups, _text("/etc/passwd"), _text("/etc/group"))
    known = accounts.is_mapped(_text("/proc/self/uid_map"), who.user) and accounts.is_mapped(
        _text("/proc/self/gid_map"), who.group
    )
    if not known:
        _enter_namespace_of(who)
    kept = (
        set(CAPABILITIES.values())
        if start.privileged
        else {CAPABILITIES[name] for name in start.capabilities}
    )
    _drop_from_bounding_set(set(CAPABILITIES.values()) - kept)
    if known:
        _change_to(who)
    # A user who is not root keeps none at execve(2); a built-in image has no execve.
    _limit(set() if who.user else kept)
    if start.no_new_privileges:
        namespaces.prctl(namespaces.PR_SET_NO_NEW_PRIVS, 1)


def _enter_namespace_of(who: Identity) -> None:
    """Makes a user namespace in which this process has another user's number.

    An ordinary user's lab has one user, which is root there; the kernel lets it take no other. In a namespace inside,
    the process is the wanted user for all that it can see, and can do no more than the lab's own user could.
    """
    namespaces.unshare(namespaces.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{who.user} 0 1")
    Path("/proc/self/gid_map").write_text(f"{who.group} 0 1")


def _change_to(who: Identity) -> None:
    if _text("/proc/self/setgroups").strip() != "deny":
        os.setgroups(who.groups)
    for descriptor in (0, 1, 2):
        # As runc does it: programs open /dev/stdout again, which is a pipe of the former user's.
        with contextlib.suppress(OSError):
            if not os.path.samestat(os.fstat(descriptor), os.stat(os.devnull)):
                os.fchown(descriptor, who.user, -1)
    os.setresgid(who.group, who.group, who.group)
    os.setresuid(who.user, who.user, who.user)


def _drop_from_bounding_set(numbers: set[int]) -> None:
    for number in numbers:
        with contextlib.suppress(OSError):  # a kernel that does not know it
            if namespaces.prctl(namespaces.PR_CAPBSET_READ, number):
                namespaces.prctl(namespaces.PR_CAPBSET_DROP, number)


def _limit(kept: set[int]) -> None:
    """Has no capability but these, as far as this process has them."""
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    if _libc.capget(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "cannot read the process's capabilities")
    for word, part in enumerate(data):
        wanted = part.permitted & sum(1 << (number % 32) for number in kept if number // 32 == word)
        part.effective = part.permitted = wanted
        part.inheritable = 0
    if _libc.capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "cannot limit the process's capabilities")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
