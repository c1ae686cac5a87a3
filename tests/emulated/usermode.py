"""A kernel that has IPVS as an ordinary program, user-mode Linux: runs a command in it on this system's files.

    python -m tests.emulated.usermode COMMAND ARGUMENT...

Debian's package user-mode-linux has the program and its modules. Programs inside run on the processor itself, and only
what they ask of the kernel goes by way of it: several times faster than a whole machine in software (`machine`). It
has one processor. Its nf_tables are not for IP, so that iptables is the legacy one there, and the proxy's nftables mode
cannot run. Its root is this system's, read-only, under an overlay in memory that takes what is written.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.emulated.machine import DYING_WITH_US, Unavailable, own_folder

PROGRAM = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
MEGABYTES = 1024

INIT = """#!/bin/busybox sh
busybox() { /bin/busybox "$@"; }
busybox mount -t proc proc /proc
busybox mount -t tmpfs written /mnt
busybox mkdir /mnt/upper /mnt/work /mnt/root
busybox insmod MODULES/kernel/fs/overlayfs/overlay.ko
busybox mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
cd /mnt/root
busybox mount -t proc proc proc
busybox mount -t sysfs sys sys
busybox mount -t cgroup2 cgroup sys/fs/cgroup
busybox mount -t devtmpfs dev dev
busybox mkdir -p dev/pts dev/shm lib/modules mnt/before mnt/place
busybox mount -t devpts pts dev/pts
busybox mount -t tmpfs shm dev/shm
busybox mount -t tmpfs run run
# For /sbin/modprobe, which the kernel calls, the root has to be everybody's.
busybox pivot_root . mnt/before
busybox mount -t hostfs -o PLACE place /mnt/place
busybox mount -t tmpfs modules /lib/modules
busybox ln -s MODULES /lib/modules/
busybox ln -sf /bin/busybox /sbin/modprobe
for name in iptables ip6tables; do
    for verb in "" -save -restore; do
        busybox ln -sf $name-legacy$verb /usr/sbin/$name$verb
        busybox rm -f /usr/sbin/$name-nft$verb
    done
done
busybox ip link set lo up
busybox modprobe ipv6
busybox modprobe dummy numdummies=0
/bin/sh /mnt/place/job </dev/null
echo $? >/mnt/place/status
busybox poweroff -f
"""
"""The first program. PLACE is a folder that it shares with us."""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path,
    seconds: float,
    output: IO[bytes] | None = None,
) -> int:
    """Runs the command in a kernel of its own, its output going to ours, and gives its exit status.

    Raises Unavailable, or TimeoutError after `seconds`.
    """
    if platform.machine() != "x86_64":
        raise Unavailable(f"the kernel is for x86_64, and this is {platform.machine()}")
    if os.geteuid() != 0:
        raise Unavailable("needs root: root's files are its own")
    for tool in (PROGRAM, "busybox"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    if not MODULES.is_dir():
        raise Unavailable(f"{MODULES} is not there, with the modules of {PROGRAM}")
    with own_folder() as place:
        furnish(place, command, dict(environment or {}), folder)
        (status := place / "status").touch()
        words = [
            # Each process inside is one outside: in a PID namespace of their own they end with the first.
            *DYING_WITH_US, "unshare", "--pid", "--fork", "--kill-child",
            PROGRAM, f"mem={MEGABYTES}M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
            f"init={place / 'init'}", f"uml_dir={place}/", "con=null", "con0=fd:0,fd:1", "quiet", "loglevel=3",
        ]  # fmt: skip
        kernel = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        try:
            kernel.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError("the kernel took too long; its output so far is above") from None
        finally:
            kernel.kill()
            kernel.wait()
        text = status.read_text().strip()
    if not text:
        raise ChildProcessError("the kernel went down before the command ended; its output is above")
    return int(text)


def furnish(place: Path, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
    """Fills the folder that the kernel inside starts from."""
    environment |= {"HOME": "/root", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    job = (
        ["cd", str(folder)],
        ["exec", "env", "-i", *(f"{k}={v}" for k, v in environment.items()), *command],
    )
    (place / "job").write_text("\n".join(map(shlex.join, job)) + "\n")
    modules = next(MODULES.iterdir())
    init = place / "init"
    init.write_text(INIT.replace("MODULES", str(modules)).replace("PLACE", str(place)))
    init.chmod(0o755)


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:], folder=Path.cwd(), seconds=600))
    except (Unavailable, TimeoutError, ChildProcessError) as error:
        sys.exit(str(error))
