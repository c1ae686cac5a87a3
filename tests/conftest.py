"""What holds for the whole test run: generated cases that repeat, and a machine that is left as it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.forks import Forks
from tests.waiting import LIMIT, ending

# A machine under load is slow, not wrong; and what fails in CI must fail the same way at home.
settings.register_profile(
    "fairlead",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("fairlead")

# Whatever the run was told: commands write without colours and at their own width, and speak to no proxy.
for name in ("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
    os.environ.pop(name, None)
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"

MARK = "FAIRLEAD_TEST_RUN"
NAMESPACES = Path("/run/netns")


def host_network() -> dict[str, frozenset[str]]:
    """What tests could change in the network namespace they are started in, as lines to compare."""
    found = {
        "links": frozenset(line.split(":")[0].strip() for line in lines("/proc/net/dev")[2:]),
        # destination, gateway, mask and metric: the counters of use between them change by themselves
        "IPv4 routes": frozenset(
            " ".join(f[:3] + f[6:8]) for f in map(str.split, lines("/proc/net/route")[1:])
        ),
        "IPv6 routes": frozenset(
            " ".join([*f[:6], f[9]])
            for f in map(str.split, lines("/proc/net/ipv6_route"))
            if f[5] != "ffffffff"
        ),
        "forwarding": frozenset(lines("/proc/sys/net/ipv4/ip_forward")),
    }
    if os.geteuid() == 0 and shutil.which("nft"):
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
        found["nf_tables"] = frozenset(tables.splitlines())
    return found


def lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []  # a kernel without IPv6


def namespaces() -> set[str]:
    """The network namespaces that labs and tests have made, by name."""
    return {path.name for path in NAMESPACES.glob("fairlead-*")}


def empty(names: set[str]) -> set[str]:
    """Those of the namespaces in whose lab no process lives; a lab's namespace `outside` needs none of its own.

    Those of a lab that another run makes or removes just now are among them for a moment.
    """
    inhabited = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            inhabited.add(link.stat().st_ino)
        except OSError:
            continue  # the process ended
    alive = {lab(name) for name in namespaces() if inode(NAMESPACES / name) in inhabited}
    return {name for name in names if (NAMESPACES / name).exists() and lab(name) not in alive}


def lab(namespace: str) -> str:
    return namespace.rpartition("-")[0]


def inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def descendants(mark: str) -> list[str]:
    """The processes that this run started and that still live: its children, and what they started by a command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            marked = f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if state != "Z" and process.name != str(os.getpid()) and (marked or parent == str(os.getpid())):
            found.append(f"{process.name} {command}")
    return found


def settle(wanted: Callable[[], object]) -> None:
    """Waits until it holds, but not longer than tests do."""
    deadline = time.monotonic() + LIMIT
    while not wanted() and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture(scope="session", autouse=True)
def machine_left_as_it_was() -> Iterator[None]:
    """Fails the run that changed the host's own network, or left processes or namespaces behind."""
    mark = os.environ[MARK] = uuid.uuid4().hex
    network, before = host_network(), namespaces()
    yield
    settle(lambda: not descendants(mark))
    found = [f"a process still runs: {process}" for process in descendants(mark)]
    left = empty(namespaces() - before)

    def none_is_left() -> bool:
        # Those of a lab that another run makes or removes do not stay.
        left.intersection_update(empty(namespaces()))
        return not left

    settle(none_is_left)
    found += [f"a network namespace is left: {name}" for name in sorted(left)]
    now = host_network()
    for what, then in network.items():
        found += [f"the host's {what}: appeared: {line}" for line in sorted(now[what] - then)]
        found += [f"the host's {what}: disappeared: {line}" for line in sorted(then - now[what])]
    assert not found, "the tests did not leave the machine as it was:\n  " + "\n  ".join(found)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Runs the command without its imports, for tables of what it says."""
    made = Forks()
    yield made
    made.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest ones, in kernels of their own, begin first: of several processes none is left to do them alone."""
    items.sort(key=lambda item: "emulated" not in item.path.parts)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer() -> Generator[None, object, object]:
    """Lets the limit of a test hold in an event loop, too."""
    result = yield
    handler = signal.getsignal(signal.SIGALRM)
    if callable(handler):
        signal.signal(signal.SIGALRM, ending(handler))
    return result
