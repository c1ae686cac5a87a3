"""A machine with Debian's own kernel, for what the kernel here lacks: runs a command in it on this system's files.

    python -m tests.emulated.machine COMMAND ARGUMENT...

The kernel comes from Debian's package, which is unpacked and not installed. qemu emulates the machine in software:
slow, and the same everywhere. Its root is this system's, read-only, through virtiofs, under an overlay in memory that
takes what is written: so the interpreter, the virtual environment and this tree are all there, and nothing stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.waiting import LIMIT

PREFIX = "fairlead-kernel-"
PACKAGE = "linux-image-cloud-amd64"
"""Debian's name for its kernel for virtual machines, which leads to that of the newest version."""
MEGABYTES = 1024
FIRST_MODULES = ("virtio_pci", "virtiofs", "overlay")
"""What the machine needs to reach its root, from where it loads all others."""
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
DYING_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""What to start a program with, so that it is killed when the thread that started it ends, however that comes."""
TOOLS = ("qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb")

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in MODULES; do insmod "/first/$module"; done
mount -t virtiofs -o ro host /host
mount -t tmpfs -o size=256m written /written
mkdir /written/upper /written/work
mount -t overlay -o lowerdir=/host,upperdir=/written/upper,workdir=/written/work root /root
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t cgroup2 cgroup /root/sys/fs/cgroup
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts pts /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t tmpfs run /root/run
cp /job /root/run/job
ip link set lo up
modprobe dummy numdummies=0
chroot /root /bin/sh /run/job
echo $? >/dev/ttyS1
poweroff -f
"""
"""The first program. Modules that the kernel asks for later come by way of /sbin/modprobe."""


class Unavailable(Exception):
    """The machine cannot be had here; the message says why."""


def run(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path, seconds: float
) -> int:
    """Runs the command in a machine, its output going to ours, and gives its exit status.

    Raises Unavailable, or TimeoutError after `seconds` in all.
    """
    if platform.machine() != "x86_64":
        raise Unavailable(f"the kernel is for x86_64, and this is {platform.machine()}")
    if os.geteuid() != 0:
        raise Unavailable("needs root: shares the root folder with the machine")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed")
    deadline = time.monotonic() + seconds
    with own_folder() as place:
        kernel = unpack(place)
        initial = place / "initial"
        environment = dict(environment or {}, HOME="/root", PATH=os.environ["PATH"], LANG="C.UTF-8")
        job = (
            ["cd", str(folder)],
            ["exec", "env", "-i", *(f"{k}={v}" for k, v in environment.items()), *command],
        )
        furnish(initial, kernel, "\n".join(map(shlex.join, job)))
        archive = place / "initial.cpio"
        names = "\n".join(str(path.relative_to(initial)) for path in initial.rglob("*"))
        with archive.open("wb") as file:
            subprocess.run(
                ["busybox", "cpio", "-o", "-H", "newc"],
                cwd=initial, input=names.encode(), stdout=file, stderr=subprocess.DEVNULL, check=True,
            )  # fmt: skip
        with sharing_root(place) as socket:
            emulate(kernel, archive, socket, place / "status", deadline)
        text = (place / "status").read_text().strip()
        if not text:
            raise ChildProcessError(
                "the emulated machine went down before the command ended; its output is above"
            )
        return int(text)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for the block. Those of runs that were killed are removed: nobody holds a lock on them."""
    with locked(Path(tempfile.gettempdir()), wait=True) as parent:
        for left in parent.glob(f"{PREFIX}*"):
            # Whoever it belongs to may be removing it: then it is gone, or goes while we look.
            with contextlib.suppress(BlockingIOError, FileNotFoundError), locked(left, wait=False):
                shutil.rmtree(left)
        place = Path(tempfile.mkdtemp(prefix=PREFIX))
        mine = contextlib.ExitStack()
        mine.enter_context(locked(place, wait=False))
    with mine:
        try:
            yield place
        finally:
            shutil.rmtree(place)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[Path]:
    """Holds the folder's lock, which goes when its holder ends. Raises BlockingIOError if it may not wait."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield folder
    finally:
        os.close(held)


def unpack(place: Path) -> Path:
    """Debian's kernel below the folder, its modules indexed: the folder that has `boot` and `lib/modules`."""
    shown = subprocess.run(
        ["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=False
    ).stdout
    images = [words[1] for line in shown.splitlines() if (words := line.split())[:1] == ["Depends:"]]
    image = next((name for name in images if name.startswith("linux-image-")), None)
    if image is None:
        raise Unavailable(f"apt knows no package {PACKAGE}")
    # apt's own user may not write here, which it would remark upon. It may need the proxy that tests go without.
    fetched = subprocess.run(
        ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", image],
        cwd=place, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name.lower() != "no_proxy"},
    )  # fmt: skip
    packages = list(place.glob("*.deb"))
    if fetched.returncode or not packages:
        raise Unavailable(f"apt-get download {image}: {fetched.stderr.strip() or 'nothing came'}")
    kernel = place / "kernel"
    subprocess.run(["dpkg-deb", "-x", packages[0], kernel], check=True)
    packages[0].unlink()
    subprocess.run(["busybox", "depmod", "-b", kernel, version(kernel)], check=True)
    return kernel


def version(kernel: Path) -> str:
    return next((kernel / "lib" / "modules").iterdir()).name


def furnish(initial: Path, kernel: Path, job: str) -> None:
    """Fills the folder that becomes the machine's first root."""
    for name in ("bin", "sbin", "dev", "proc", "host", "written", "root", "lib", "first"):
        (initial / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, initial / "bin" / "busybox")
    for library in libraries(busybox):
        (initial / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, initial / library[1:])
    (initial / "sbin" / "modprobe").symlink_to("../bin/busybox")
    (initial / "lib" / "modules").symlink_to(f"/host{kernel}/lib/modules")
    modules = kernel / "lib" / "modules" / version(kernel)
    ordered: dict[str, None] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        if Path(path).stem in FIRST_MODULES:
            ordered.update(dict.fromkeys([*reversed(needed.split()), path]))
    for path in ordered:
        shutil.copy(modules / path, initial / "first")
    init = initial / "init"
    init.write_text(INIT.replace("MODULES", " ".join(Path(path).name for path in ordered)))
    init.chmod(0o755)
    (initial / "job").write_text(job + "\n")


def libraries(program: str) -> list[str]:
    """What the program needs to start, by its paths; Debian has a busybox that needs nothing and one that does."""
    shown = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [word for line in shown.splitlines() for word in line.split() if word.startswith("/")]


@contextlib.contextmanager
def sharing_root(place: Path) -> Iterator[Path]:
    """This system's root offered at a socket, for as long as the block runs."""
    program = next((path for path in VIRTIOFSD if Path(path).exists()), None)
    if program is None:
        raise Unavailable(f"virtiofsd is not installed: {' and '.join(VIRTIOFSD)} do not exist")
    socket, log = place / "root.sock", place / "root.log"
    options = ("source=/", "cache=always", "sandbox=chroot")
    words = [program, f"--socket-path={socket}", *(word for option in options for word in ("-o", option))]
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            [*DYING_WITH_US, *words], stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    try:
        if not wait_for(lambda: socket.exists() or daemon.poll() is not None) or daemon.poll() is not None:
            raise Unavailable(f"virtiofsd cannot run here: {log.read_text(errors='replace').strip()[-300:]}")
        yield socket
    finally:
        daemon.kill()
        daemon.wait()


def wait_for(wanted: Callable[[], bool], seconds: float = LIMIT) -> bool:
    deadline = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def emulate(kernel: Path, archive: Path, socket: Path, status: Path, deadline: float) -> None:
    """Runs the machine until it powers down; its first serial line is our output, its second the file `status`."""
    status.touch()
    words = [
        "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", str(MEGABYTES),
        "-nodefaults", "-no-reboot", "-display", "none",
        "-object", f"memory-backend-memfd,id=memory,size={MEGABYTES}M,share=on", "-numa", "node,memdev=memory",
        "-chardev", f"socket,id=root,path={socket}", "-device", "vhost-user-fs-pci,chardev=root,tag=host",
        "-kernel", str(next((kernel / "boot").glob("vmlinuz-*"))), "-initrd", str(archive),
        "-append", "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off",
        "-serial", "stdio", "-serial", f"file:{status}",
    ]  # fmt: skip
    machine = subprocess.Popen([*DYING_WITH_US, *words], stdin=subprocess.DEVNULL)
    try:
        machine.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError("the emulated machine took too long; its output so far is above") from None
    finally:
        machine.kill()
        machine.wait()


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:], folder=Path.cwd(), seconds=600))
    except (Unavailable, TimeoutError, ChildProcessError) as error:
        sys.exit(str(error))
