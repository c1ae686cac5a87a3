"""The making of a lab, step by step, as the command that makes it sees it; and its removal when a step fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.client.informer import Informer
from fairlead.client.outage import Unreachable
from fairlead.lab import addons, addressing, components, credentials, members, removal, topology
from fairlead.lab.interruption import Interruption
from fairlead.lab.keeper import Keeper, Report, become_root, fork_keeper
from fairlead.lab.network import Refused
from fairlead.lab.state import Record, StateDirectory, Taken, labs
from fairlead.lab.supervisor import Component, Lab
from fairlead.node.images import Image, ImageError, load_images
from fairlead.objects.core_v1 import Node
from fairlead.objects.discovery_v1 import EndpointSlice
from fairlead.objects.resources import ENDPOINTSLICES, NODES
from fairlead.objects.status import StatusError
from fairlead.process import listener
from fairlead.store import check

QUIET_SECONDS = 60.0
"""A lab in which nothing happens for so long before it is ready will not be. A slow machine may take longer in all."""

DEFAULT_KUBECONFIG = "fairlead.kubeconfig"

_NODES_TOLD = 10
"""Of so many nodes each is named."""

_RESTARTS_THAT_TELL = 3
"""A component that ended so often before the lab was ready will go on doing so."""


@dataclass(frozen=True)
class Options:
    """What was asked for. `kubeconfig` None: the default file; `port` 0: 6443, or any free one."""

    name: str = "default"
    nodes: int = 3
    zones: tuple[str, ...] = ()
    proxy_mode: str = "nftables"
    loadbalancer: str = "cloud"
    loadbalancer_via: str = "vip"
    images: Path | None = None
    ip_families: tuple[str, ...] = ("ipv4",)
    region: str = ""
    store: str = ""
    kubeconfig: Path | None = None
    port: int = 0
    node_monitor_grace_period: float = 50.0
    """Seconds of silence after which a node is not ready."""
    log_level: str = "info"


@dataclass(frozen=True)
class Launched:
    """A lab that is ready."""

    directory: StateDirectory
    record: Record
    keeper: Keeper


def launch(options: Options, report: Report, interruption: Interruption) -> Launched:
    """Makes a lab; returns when it is ready: nodes Ready, names answered.

    Raises Refused, with a sentence for the user, or Interrupted, and leaves nothing behind.
    """
    plan = _plan(options)
    own_images = _images(options.images)
    directory = StateDirectory.of(options.name)
    try:
        lock = directory.create_locked()
    except Taken as error:
        raise Refused(str(error)) from error
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise Refused(f"the lab's state directory cannot be made: {said}") from error
    try:
        record, sock = _files(options, plan, directory)
        report("certificates and kubeconfigs")
        interruption.check()
    except BaseException:
        removal.remove(directory)
        os.close(lock)
        raise

    def prepare(made: Report, held: tuple[int, ...]) -> Lab:
        return _prepare(directory, record, plan, own_images, sock, made, held)

    keeper = fork_keeper(directory, lock, prepare)
    try:
        sock.close()
        for made in keeper.progress():
            report(made)
        interruption.check()
        asyncio.run(_bring_up(directory, record, plan, report, interruption))
        directory.mark_ready()
    except BaseException:
        undo(directory, keeper)
        raise
    return Launched(directory, record, keeper)


def undo(directory: StateDirectory, keeper: Keeper) -> removal.Removed:
    """Removes a lab, however far it got; gives what there was."""
    found = removal.down(directory)
    keeper.is_over(removal.DOWN_SECONDS)
    return found


def _plan(options: Options) -> topology.Plan:
    try:
        topology.check_name(options.name)
        families = addressing.families(options.ip_families)
        if options.region:
            topology.check_zone(options.region, "region")
        nodes = topology.plan_nodes(options.nodes, options.zones, families)
        return topology.plan(nodes, families, options.loadbalancer)
    except ValueError as error:
        raise Refused(str(error)) from error


def _images(path: Path | None) -> Mapping[str, Image]:
    if path is None:
        return {}
    try:
        return load_images(path)
    except ImageError as error:
        raise Refused(f"the image map cannot be used: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"the image map {path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error


def _files(options: Options, plan: topology.Plan, directory: StateDirectory) -> tuple[Record, socket.socket]:
    """The record, and all that needs no rights: the socket on the host, certificates, kubeconfigs."""
    store = _store(options.store, directory)
    sock = _socket(options.port)
    port = sock.getsockname()[1]
    try:
        user_config = _kubeconfig_path(options)
        record = Record(
            name=options.name,
            zones=options.zones,
            proxy_mode=options.proxy_mode,
            loadbalancer=options.loadbalancer,
            loadbalancer_via=options.loadbalancer_via,
            ip_families=options.ip_families,
            region=options.region,
            port=port,
            kubeconfig="",
            kubeconfig_digest="",
            store=store,
            images=str(options.images or ""),
            node_monitor_grace_period=options.node_monitor_grace_period,
            log_level=options.log_level,
        )
        made, token = credentials.make(directory.path, plan.nodes, record.families)
        context = "fairlead" if options.name == "default" else f"fairlead-{options.name}"
        try:
            kubeconfig.write(user_config, record.url, made.authority.read_bytes(), token, name=context)
        except OSError as error:
            raise Refused(f"the kubeconfig {user_config} cannot be written: {error.strerror}") from error
        digest = removal.digest(user_config)
        written = replace(record, kubeconfig=str(user_config), kubeconfig_digest=digest)
        members.write(directory, members.first(options.nodes, options.zones))
        directory.write(written)
    except BaseException:
        sock.close()
        raise
    return written, sock


def _store(wanted: str, directory: StateDirectory) -> str:
    if not wanted:
        return f"sqlite:{directory.path}/store.sqlite"
    try:
        check(wanted)
    except ValueError as error:
        raise Refused(f"--store {wanted}: {error}, for example --store sqlite:lab.sqlite") from error
    kind, _, path = wanted.partition(":")
    if kind == "etcd":
        return wanted
    file = Path(path).absolute()
    if not file.parent.is_dir():
        raise Refused(f"--store {wanted}: there is no directory {file.parent}")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise Refused(f"--store {wanted}: not allowed to write there")
    return f"sqlite:{file}"


def _socket(port: int) -> socket.socket:
    """Listens on the host's loopback address, which is all that a lab has outside its own namespaces."""
    wanted = (port,) if port else (topology.API_PORT, 0)
    for number in wanted:
        try:
            return listener("127.0.0.1", number)
        except OSError as error:
            refused = error
    raise Refused(f"{refused.strerror}; choose another with --port, or leave it out for any free one")


def _kubeconfig_path(options: Options) -> Path:
    """Where the user's kubeconfig goes. Only a file that a lab wrote is ever written over.

    The default one is left to the lab that has it while that lab lives.
    """
    in_use = set()
    for other in labs():
        with contextlib.suppress(Exception):
            in_use.add(other.read().kubeconfig)
    path = (options.kubeconfig or Path(DEFAULT_KUBECONFIG)).absolute()
    if options.kubeconfig is None and str(path) in in_use:
        path = path.with_name(f"fairlead-{options.name}.kubeconfig")
    if str(path) in in_use:
        raise Refused(
            f"{path} is the kubeconfig of another lab that is running; choose another with --kubeconfig"
        )
    if not path.parent.is_dir():
        raise Refused(f"the kubeconfig {path} cannot be written: there is no directory {path.parent}")
    try:
        found = path.read_text()
    except FileNotFoundError:
        return path
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is in the way of the kubeconfig; choose another with --kubeconfig") from error
    if not re.search(r"^current-context: fairlead(-[-a-z0-9]+)?$", found, re.MULTILINE):
        raise Refused(
            f"{path} exists and was not written by a lab; move it away, or choose another with --kubeconfig"
        )
    return path


def _prepare(
    directory: StateDirectory,
    record: Record,
    plan: topology.Plan,
    own_images: Mapping[str, Image],
    sock: socket.socket,
    made: Report,
    held: tuple[int, ...],
) -> Lab:
    """What the keeper does before it starts the supervisor: namespaces, and the socket in one of them."""
    user_namespace = become_root()
    if user_namespace:
        record = replace(record, user_namespace=user_namespace)
        directory.write(record)
    network = directory.network
    network.make(plan)
    with network.entered(topology.UNDERLAY):
        inner = [listener(family.router, topology.API_PORT) for family in record.families]
    made(f"{len(plan.namespaces)} network namespaces")

    def now() -> tuple[Component, ...]:
        return components.components(directory, record, own_images, [sock, *inner])

    return Lab(directory, now, held, lambda: _remove(directory))


def _remove(directory: StateDirectory) -> None:
    removal.remove(directory)


async def _bring_up(
    directory: StateDirectory,
    record: Record,
    plan: topology.Plan,
    report: Report,
    interruption: Interruption,
) -> None:
    """Waits for the API server, makes the add-ons, waits for nodes and names."""
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_reader(interruption.fd, interrupted.set)
    stopped = asyncio.create_task(interrupted.wait())
    failed = asyncio.create_task(_first_failure(directory))
    happened = asyncio.Event()
    wanted = asyncio.create_task(_until_ready(record, directory, plan, report, happened))
    quiet = asyncio.create_task(_quiet(happened))
    tasks = (wanted, failed, stopped, quiet)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        interruption.check()
        if wanted in done:
            try:
                wanted.result()
            except* (StatusError, Unreachable) as errors:
                said = "; ".join(map(str, errors.exceptions))
                raise Refused(f"the API server did not take what every lab has: {said}") from errors
        elif failed in done:
            name = failed.result()
            raise Refused(f"{name} ends again and again; its log says: {_last_lines(directory.log(name))}")
        else:
            raise Refused(
                f"the lab is not ready, and nothing has happened for {QUIET_SECONDS:.0f} s; {_what_logs_say(directory)}"
            )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _quiet(happened: asyncio.Event) -> None:
    """Returns when nothing has happened for too long."""
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(happened.wait(), QUIET_SECONDS)
            happened.clear()


async def _until_ready(
    record: Record, directory: StateDirectory, plan: topology.Plan, report: Report, happened: asyncio.Event
) -> None:
    """`happened` is set with each step, and each change of a node or of the DNS's endpoints."""
    names = frozenset(node.name for node in plan.nodes)
    async with Api(kubeconfig.load(Path(record.kubeconfig))) as api:
        await _answers(api)
        report(f"API server at {record.url}")
        happened.set()
        if not record.store.startswith(f"sqlite:{directory.path}/"):
            await addons.forget(api, names)
        await addons.apply(api, record.families)
        happened.set()
        nodes = Informer(api, NODES)
        slices = Informer(
            api,
            ENDPOINTSLICES,
            namespace=addons.NAMESPACE,
            labels=f"kubernetes.io/service-name={addons.DNS_SERVICE}",
        )
        async with asyncio.TaskGroup() as tasks:
            nodes.subscribe(lambda _: happened.set())
            slices.subscribe(lambda _: happened.set())
            running = [tasks.create_task(informer.run()) for informer in (nodes, slices)]
            await _until(nodes, lambda: names <= {n for n, node in nodes.items.items() if is_ready(node)})
            said = [node.name for node in plan.nodes]
            if len(said) > _NODES_TOLD:
                said = [said[0], "...", said[-1]]
            report(f"{len(names)} node{'s' if len(names) > 1 else ''} ready: {', '.join(said)}")
            await _until(slices, lambda: any(map(serves, slices.items.values())))
            report(f"cluster DNS at {', '.join(family.dns for family in record.families)}")
            for task in running:
                task.cancel()


async def _answers(api: Api) -> None:
    """Waits until the API server says that it is ready: its sockets are open before it runs."""
    while True:
        with contextlib.suppress(Unreachable, StatusError):
            status, _ = await api.raw("GET", "/readyz")
            if status == 200:
                return
        await asyncio.sleep(0.02)


async def _until(informer: Informer[Node] | Informer[EndpointSlice], holds: Callable[[], bool]) -> None:
    changed = asyncio.Event()
    informer.subscribe(lambda _: changed.set())
    await informer.synced()
    while not holds():
        changed.clear()
        await changed.wait()


def is_ready(node: Node) -> bool:
    """Whether the node says that it can run pods."""
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


def serves(found: EndpointSlice) -> bool:
    """Whether an endpoint of the slice is ready."""
    return any(e.conditions is not None and e.conditions.ready for e in found.endpoints)


async def _first_failure(directory: StateDirectory) -> str:
    """The name of a component that does not stay up."""
    while True:
        await asyncio.sleep(0.1)
        with contextlib.suppress(Exception):
            for process in directory.read().components:
                if process.restarts >= _RESTARTS_THAT_TELL:
                    return process.name


def _last_lines(path: Path, count: int = 1) -> str:
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "nothing"
    return " / ".join(lines[-count:]) or "nothing"


def _what_logs_say(directory: StateDirectory) -> str:
    said = [f"{path.stem}: {_last_lines(path)}" for path in sorted((directory.path / "logs").glob("*.log"))]
    return "the logs end with: " + "; ".join(said)


class Timed:
    """Tells each step with the time it took, in seconds since `started` (a `time.monotonic()`)."""

    def __init__(self, tell: Callable[[str, float], None], started: float | None = None) -> None:
        self._tell = tell
        self._last = time.monotonic() if started is None else started

    def __call__(self, made: str) -> None:
        """A step is done."""
        before, self._last = self._last, time.monotonic()
        self._tell(made, self._last - before)
