"""A pod's volumes as folders in its state directory: made before its first container, kept as the API has them.

What files they have, `payloads` says. A configMap, secret, downwardAPI or projected volume follows its sources while
the pod runs; the others are made once. Upstream: pkg/kubelet/volumemanager and pkg/volume.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from fairlead.node import atomicwriter, claims, payloads
from fairlead.node.account import RENEWED, single_reader
from fairlead.node.containers import containers_of
from fairlead.node.environment import ConfigError, expand
from fairlead.node.fieldrefs import NodeFacts
from fairlead.node.inputs import PATIENCE
from fairlead.node.payloads import PayloadError, Token
from fairlead.node.podstate import PodState
from fairlead.node.records import MemoryVolume, Mount
from fairlead.node.references import Key
from fairlead.objects.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from fairlead.objects.core_v1 import Container, HostPathVolumeSource, Pod, Volume, VolumeMount
from fairlead.objects.quantities import parse
from fairlead.objects.resources import SERVICEACCOUNTS
from fairlead.objects.status import StatusError

FOLDER = "volumes"
"""The folder in the pod's state directory with one folder for each volume."""

LONGEST_TOKEN = 24 * 3600.0
"""Seconds after which a token is renewed even if it lives longer (pkg/kubelet/token: maxTTL)."""

RETRY_SECONDS = 2.0
"""Seconds until what was missing is looked for again, where nothing tells of it."""

_CHECKS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class Volumes:
    """One pod's. `prepare` is to be called whenever the pod is looked at; `release` when it is gone."""

    def __init__(self, state: PodState) -> None:
        self._state = state
        self._made: set[str] = set()
        self._written: dict[str, Mapping[str, payloads.File]] = {}
        self._held: set[Key] = set()
        self._tokens: dict[Token, tuple[str, float]] = {}
        self._claims: dict[str, Path] = {}
        self._problem = ""

    async def prepare(self, pod: Pod, now: float) -> tuple[str, float | None]:
        """Makes and refreshes what the pod mounts; gives why it cannot be started yet, and when to come again."""
        mounted = mounted_volumes(pod)
        if not mounted:
            return "", None
        try:
            for volume in mounted:
                await self._make(pod, volume)
            wake = await self._renew_tokens(pod, mounted, now)
            waiting = self._fill(pod, mounted)
        except (PayloadError, OSError, StatusError) as error:
            problem = str(error)
            if problem != self._problem:
                self._state.event("Warning", "FailedMount", problem)
            self._problem = problem
            return problem, now + RETRY_SECONDS
        self._problem = ""
        return waiting, wake

    def release(self) -> None:
        """Follows nothing any more."""
        for key in self._held:
            self._state.node.references.let_go(key, self._state.changed.set)
        self._held.clear()

    def mounts(self, pod: Pod, container: Container, values: Mapping[str, str]) -> tuple[Mount, ...]:
        """What the container mounts; `values` is its environment. Raises `ConfigError` with upstream's sentence."""
        volumes = {volume.name: volume for volume in pod.spec.volumes}
        found = []
        for mount in container.volumeMounts:
            volume = volumes.get(mount.name)
            if volume is None:
                raise ConfigError(
                    f'cannot find volume "{mount.name}" to mount into container "{container.name}"'
                )
            found.append(
                Mount(
                    source=os.fspath(self._path(volume)),
                    place=os.path.join("/", mount.mountPath),
                    name=mount.name,
                    sub_path=sub_path(container, mount, values),
                    read_only=mount.readOnly or is_read_only(volume),
                    propagated=mount.mountPropagation in ("HostToContainer", "Bidirectional"),
                )
            )
        return tuple(found)

    def _path(self, volume: Volume) -> Path:
        if volume.hostPath:
            return Path(volume.hostPath.path)
        return self._claims.get(volume.name) or self._state.directory / FOLDER / volume.name

    async def _make(self, pod: Pod, volume: Volume) -> None:
        """Makes the volume's folder, if that has not been done."""
        if volume.name in self._made:
            return
        if volume.hostPath:
            try:
                check_host_path(volume.hostPath)
            except OSError as error:
                raise failed(volume, str(error)) from error
        elif volume.emptyDir or volume.ephemeral:
            _make_folder(self._path(volume), 0o777, group_of(pod))
        elif volume.persistentVolumeClaim:
            try:
                await self._claim(pod, volume, volume.persistentVolumeClaim.claimName)
            except OSError as error:
                raise failed(volume, str(error)) from error
        elif not is_files(volume):
            raise failed(volume, "this node has no volumes of that kind: see docs/pods.md for those it has")
        self._made.add(volume.name)

    async def _claim(self, pod: Pod, volume: Volume, name: str) -> None:
        node = self._state.node
        config = node.config
        bound = config.shared_claims is not None
        claim = await claims.find(node.api, pod.metadata.namespace, name, bound=bound)
        source = await claims.source(node.api, claim)
        directory = config.claims_directory
        path = claims.folder(directory, claim) if source is None else Path(source.path)
        if source is None or path.is_relative_to(directory):
            claims.make(path)
            _own_all(path, group_of(pod))
        else:
            check_host_path(source)
        self._claims[volume.name] = path

    def _fill(self, pod: Pod, mounted: list[Volume]) -> str:
        """Writes the files of what is made of files, if they have changed; gives what is still unknown."""
        namespace = pod.metadata.namespace
        references = self._state.node.references
        wanted = {(plural, namespace, name) for plural, name in payloads.references(mounted)}
        for key in wanted - self._held:
            references.hold(key, self._state.changed.set)
            self._held.add(key)
        configs = {}
        for key in wanted:
            if not references.is_known(key):
                return f"waiting for the API to tell of {key[0]} {key[2]}"
            obj = references.get(key)
            if obj is not None:
                configs[key[0], key[2]] = payloads.contents(obj)
        sources = payloads.Sources(
            configs,
            {key: said for key, (said, _) in self._tokens.items()},
            self.facts(pod),
            single_reader(pod),
        )
        for volume in mounted:
            try:
                files = payloads.payload(pod, volume, sources)
            except PayloadError as error:
                raise failed(volume, str(error)) from error
            if files is not None and files != self._written.get(volume.name):
                atomicwriter.write(self._path(volume), files, group_of(pod))
                self._written[volume.name] = files
        return ""

    def facts(self, pod: Pod) -> NodeFacts:
        """What the downward API says of the node."""
        config = self._state.node.config
        return NodeFacts(config.name, config.addresses, self._state.ips(pod), config.allocatable)

    async def _renew_tokens(self, pod: Pod, mounted: list[Volume], now: float) -> float | None:
        for token in payloads.tokens(mounted):
            if token not in self._tokens or self._tokens[token][1] <= now:
                try:
                    async with asyncio.timeout(PATIENCE if token in self._tokens else None):
                        self._tokens[token] = await self._request(pod, token, now)
                except (StatusError, OSError) as error:
                    if token not in self._tokens:
                        raise PayloadError(f"failed to fetch token: {error}") from error
                    self._tokens[token] = (self._tokens[token][0], now + RETRY_SECONDS)
        return min((renewed for _, renewed in self._tokens.values()), default=None)

    async def _request(self, pod: Pod, token: Token, now: float) -> tuple[str, float]:
        meta = pod.metadata
        bound = BoundObjectReference(apiVersion="v1", kind="Pod", name=meta.name, uid=meta.uid)
        audiences = (token.audience,) if token.audience else ()
        answer = await self._state.node.api.request(
            "POST",
            SERVICEACCOUNTS.path(meta.namespace, pod.spec.serviceAccountName or "default", "token"),
            TokenRequest,
            TokenRequest(
                spec=TokenRequestSpec(
                    audiences=audiences, expirationSeconds=token.seconds, boundObjectRef=bound
                )
            ),
        )
        expires = answer.status.expirationTimestamp
        life = datetime.fromisoformat(expires).timestamp() - now if expires else token.seconds
        return answer.status.token, now + min(life * RENEWED, LONGEST_TOKEN)


def mounted_volumes(pod: Pod) -> list[Volume]:
    """The volumes that a container mounts; the others are not made."""
    names = {mount.name for container in containers_of(pod) for mount in container.volumeMounts}
    return [volume for volume in pod.spec.volumes if volume.name in names]


def memory_volumes(pod: Pod) -> tuple[MemoryVolume, ...]:
    """The volumes that the sandbox holds in memory; `size` in bytes, 0 for half of the machine's memory."""
    found = []
    for volume in mounted_volumes(pod):
        if volume.emptyDir and volume.emptyDir.medium == "Memory":
            limit = volume.emptyDir.sizeLimit
            found.append(
                MemoryVolume(volume.name, int(parse(limit)) if limit is not None else 0, group_of(pod))
            )
    return tuple(found)


def is_files(volume: Volume) -> bool:
    """Whether a volume is made of files that `payloads` knows."""
    return bool(volume.configMap or volume.secret or volume.downwardAPI or volume.projected)


def is_read_only(volume: Volume) -> bool:
    """Whether no container may write to it, whatever its mount says."""
    claim = volume.persistentVolumeClaim
    return is_files(volume) or bool(claim and claim.readOnly)


def group_of(pod: Pod) -> int | None:
    """The group that a pod's volumes are for (fsGroup)."""
    return pod.spec.securityContext.fsGroup if pod.spec.securityContext else None


def sub_path(container: Container, mount: VolumeMount, values: Mapping[str, str]) -> str:
    """The path inside the volume, subPathExpr expanded. Raises `ConfigError` for a variable that is not there."""
    if not mount.subPathExpr:
        return mount.subPath
    expanded = expand(mount.subPathExpr, values)
    if "$(" in expanded.replace("$$(", ""):
        raise ConfigError(
            f'failed to expand subPath for volumeMount "{mount.name}" of container "{container.name}"'
        )
    return expanded


def check_host_path(source: HostPathVolumeSource) -> None:
    """Makes or checks the path as its type says. Raises OSError with upstream's words (pkg/volume/hostpath)."""
    path, kind = source.path, source.type or ""
    if kind in ("DirectoryOrCreate", "") and not os.path.lexists(path):
        os.makedirs(path, 0o755, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.lexists(path):
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    check = _CHECKS.get(kind.removesuffix("OrCreate"))
    if check is not None:
        is_right, name = check
        if not os.path.exists(path) or not is_right(os.stat(path).st_mode):
            raise OSError(f"hostPath type check failed: {path} is not {name}")


def failed(volume: Volume, why: str) -> PayloadError:
    """The error in the words of the kubelet's Event."""
    return PayloadError(f'MountVolume.SetUp failed for volume "{volume.name}" : {why}')


def _make_folder(path: Path, mode: int, group: int | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    _own(path, group)


def _own(path: Path, group: int | None) -> None:
    """Lets a group have a folder or a file, as SetVolumeOwnership does. An ordinary user's lab has one group."""
    if group is None or path.is_symlink():
        return
    with contextlib.suppress(OSError):
        os.chown(path, -1, group)
        is_folder = path.is_dir()
        path.chmod(path.stat().st_mode | (0o2770 if is_folder else 0o660))


def _own_all(folder: Path, group: int | None) -> None:
    if group is not None and folder.stat().st_gid != group:
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                _own(Path(parent, name), group)
        _own(folder, group)
