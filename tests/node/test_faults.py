"""What goes wrong on a node, with real processes: the rest works on, and the status tells the truth."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as replaced

from fairlead.node import agent, inputs, logs, registration, runtime
from fairlead.node.account import RETRY_SECONDS, Account
from fairlead.node.inputs import Inputs
from fairlead.node.records import SandboxRecord, read_histories, read_sandbox, start_ticks
from fairlead.objects import codec
from fairlead.objects.core_v1 import ConfigMap, Pod
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import CONFIGMAPS, EVENTS, PODS
from fairlead.objects.status import StatusError
from fairlead.process import Health, listener
from tests.client.cluster import eventually as holds
from tests.node.places import Cluster, is_ready, root, with_cluster
from tests.node.pods import PROBE, Defects, ask, eventually, shell, signal_file, state
from tests.waiting import LIMIT

MANY = 100


def sandbox_of(cluster: Cluster, pod: Pod) -> SandboxRecord:
    found = read_sandbox(cluster.config.state_directory / "pods" / pod.metadata.uid)
    assert found is not None
    return found


def processes(cluster: Cluster) -> dict[str, tuple[int, int, str]]:
    """Of each pod, by its uid: its first process, and the run of its container. Those that have ended are not there."""
    found = {}
    for directory in (cluster.config.state_directory / "pods").iterdir():
        record, history = read_sandbox(directory), read_histories(directory).get("c")
        if record is not None and history is not None and start_ticks(record.pid) == record.ticks:
            found[directory.name] = (record.pid, record.ticks, history.current.id)
    return found


@root
def test_an_agent_that_is_killed_finds_a_hundred_pods_again(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.start_program()
        await asyncio.gather(*(cluster.run(f"web-{i}", PROBE if i < 3 else None) for i in range(MANY)))

        async def versions() -> dict[str, str]:
            pods = (await cluster.api.list(PODS, "default")).items
            return {pod.metadata.name: pod.metadata.resourceVersion for pod in pods if is_ready(pod)}

        async def all_are_ready() -> bool:
            return len(await versions()) == MANY

        await holds(all_are_ready, f"{MANY} pods are ready", 3 * LIMIT)
        before, written = processes(cluster), await versions()
        assert len(before) == MANY
        cluster.kill_program()
        pod = await cluster.until("web-0", is_ready)
        assert '"pod": "web-0"' in await ask(pod)
        assert processes(cluster) == before
        cluster.start_program()
        # The next agent has found them when it does something new.
        await cluster.run("next")
        await cluster.until("next", is_ready)
        gone = await cluster.until("web-1", is_ready)
        await cluster.api.delete(PODS, "web-1", "default", grace_period_seconds=0)
        await eventually(lambda: gone.metadata.uid not in processes(cluster))
        del before[gone.metadata.uid], written["web-1"]
        after = processes(cluster)
        assert {uid: after.get(uid) for uid in before} == before
        now = await versions()
        assert {name: now[name] for name in written} == written  # no status was written again

    with_cluster(tmp_path, test, start=False)


@root
def test_a_container_that_fills_its_log_has_the_end_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LARGEST", 1 << 20)

    async def test(cluster: Cluster) -> None:
        line = "$(head -c 8000 /dev/zero | tr '\\0' x)"
        await cluster.run("full", shell("c", f"yes {line}"), terminationGracePeriodSeconds=1)
        await cluster.run("web", PROBE)
        pod = await cluster.until("full", is_ready)
        folder = cluster.config.state_directory / "pods" / pod.metadata.uid / "logs" / "c"
        first, second = folder / "0.log", folder / "0.log.1"
        seen: set[tuple[int, int]] = set()
        most = 0

        def looked() -> bool:
            nonlocal most
            with suppress(FileNotFoundError):  # renamed while we look
                most = max(most, first.stat().st_size, (full := second.stat()).st_size)
                seen.add((full.st_ino, full.st_ctime_ns))  # numbers are used again
            return len(seen) > 2

        def kept() -> bool:
            names = set(folder.iterdir())
            assert names <= {first, second}
            return len(names) == 2  # not while the one has become the other

        await eventually(looked)
        await eventually(kept)
        assert 1 << 20 <= most < (1 << 20) + 10_000
        path = PODS.path("default", "full", "log")
        code, shown = await cluster.api.raw("GET", path, params={"tailLines": "2"})
        assert (code, shown) == (200, (b"x" * 8000 + b"\n") * 2)
        code, shown = await cluster.api.raw("GET", path, params={"limitBytes": "100"})
        assert (code, len(shown)) == (200, 100)
        web = await cluster.until("web", is_ready)
        assert '"pod": "web"' in await ask(web)
        assert state(await cluster.until("full", is_ready)).restartCount == 0
        await cluster.api.delete(PODS, "full", "default")
        await cluster.gone("full")
        await eventually(lambda: not folder.exists())

    with_cluster(tmp_path, test)


@root
def test_two_agents_of_one_name_tell_of_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "RENEWALS", 800)

    async def test(cluster: Cluster) -> None:
        # As on another machine: the same name and rights, and files of its own.
        config = replace(cluster.config, state_directory=tmp_path / "other", kubelet=None)
        health = Health()
        other = asyncio.create_task(agent.run(cluster.node_api, config, health))

        async def told() -> bool:
            events = (await cluster.api.list(EVENTS, "default")).items
            return any(
                event.reason == "NodeNameConflict"
                and event.type == "Warning"
                and event.involvedObject.name == "node1"
                and event.message
                == "another agent says that it is the node node1: stop one of them, "
                "or give it a name of its own"
                for event in events
            )

        await holds(told, "an Event NodeNameConflict about the node")
        other.cancel()
        await asyncio.wait([other])

    with_cluster(tmp_path, test)


@root
def test_pods_that_go_while_they_start_leave_nothing(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        defects = Defects()
        made: set[str] = set()

        def is_new() -> bool:
            now = {path.parent.name for path in directory.glob("*/sandbox.json")} - made
            made.update(now)
            return bool(now)

        for _ in range(10):
            await cluster.run("web", PROBE)
            await eventually(is_new)
            await cluster.api.delete(PODS, "web", "default", grace_period_seconds=0)
        await cluster.run("web", PROBE)
        pod = await cluster.until("web", is_ready)
        assert '"pod": "web"' in await ask(pod)
        uid = pod.metadata.uid
        await eventually(lambda: [path.name for path in directory.iterdir()] == [uid])
        assert defects.said == []

    directory = tmp_path / "node" / "pods"
    with_cluster(tmp_path, test)


CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "told", "namespace": "default"},
    "data": {"WORD": "kept"},
}


def told() -> ConfigMap:
    return codec.decode(ConfigMap, codec.encode(CONFIG))


@root
@pytest.mark.parametrize("mute", [False, True], ids=["it refuses", "it does not answer"])
def test_while_the_api_is_away_containers_are_restarted_and_it_is_told_later(
    tmp_path: Path, mute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "PATIENCE", 0.1)

    async def test(cluster: Cluster) -> None:
        await cluster.api.create(CONFIGMAPS, told())
        script = f'echo "$WORD $KUBERNETES_PORT" >>{go}.runs; {until_told}; rm {go}; exit 3'
        source = {"envFrom": [{"configMapRef": {"name": "told"}}]}
        await cluster.run("crash", shell("c", script, **source), terminationGracePeriodSeconds=1)
        work = shell("c", f"until test -e {go}.work; do sleep 0.02; done; exit 7")
        await cluster.run("work", work, restartPolicy="Never")
        await cluster.run("web", PROBE)
        web = await cluster.until("web", is_ready)
        for name in ("crash", "work"):
            await cluster.until(name, is_ready)
        await cluster.serving.stop()
        silent = listener("127.0.0.1", cluster.serving.port) if mute else None
        go.touch()
        runs, done = Path(f"{go}.runs"), Path(f"{go}.work")
        await eventually(lambda: len(runs.read_text().splitlines()) == 2)
        first, second = runs.read_text().splitlines()
        assert first == second
        assert first.startswith("kept tcp://10.96.0.1:")
        done.touch()
        assert '"pod": "web"' in await ask(web)
        if silent is not None:
            silent.close()
        await cluster.serving.start()
        pod = await cluster.until("crash", lambda pod: is_ready(pod) and state(pod).restartCount == 1)
        last = state(pod).lastState.terminated
        assert last is not None
        assert (last.exitCode, last.reason) == (3, "Error")
        pod = await cluster.until("work", lambda pod: pod.status.phase == "Failed")
        ended = state(pod).state.terminated
        assert ended is not None
        assert ended.exitCode == 7
        assert await cluster.until("web", is_ready) == web  # nothing was written about it

    with signal_file() as (until_told, go):
        with_cluster(tmp_path, test)


@root
def test_what_the_api_said_last_is_remembered_while_it_is_away(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.api.create(CONFIGMAPS, told())
        await cluster.run("web", {"envFrom": [{"configMapRef": {"name": "told"}}]})
        pod = await cluster.get("web")
        assert pod is not None
        there, absent = (CONFIGMAPS, "told"), (CONFIGMAPS, "absent")
        asked, learnt, ignorant = (Inputs(cluster.api) for _ in range(3))
        assert await asked.config(there, "default") == {"WORD": "kept"}
        assert await asked.config(absent, "default") is None
        await learnt.learn([pod])
        links = await learnt.service_links(pod)
        assert links["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
        changed = {"data": {"WORD": "newer"}}
        await cluster.api.patch(CONFIGMAPS, "told", "default", changed)
        assert await asked.config(there, "default") == {
            "WORD": "newer"
        }  # as it is now, while it can be asked for
        account = Account(cluster.api, tmp_path / "account")
        due = await account.keep(pod, time.time())
        assert due is not None
        token = (tmp_path / "account" / "token").read_text()
        await cluster.serving.stop()
        again = await account.keep(pod, due)  # the token goes on being good for a fifth of its life
        assert again == due + RETRY_SECONDS
        assert (tmp_path / "account" / "token").read_text() == token
        assert await asked.config(there, "default") == {"WORD": "newer"}
        assert await asked.config(absent, "default") is None
        assert await learnt.config(there, "default") == {"WORD": "kept"}
        assert await learnt.service_links(pod) == links
        with pytest.raises(OSError, match="out of reach"):
            await ignorant.config(there, "default")

    with_cluster(tmp_path, test, start=False)


@root
def test_a_disk_that_is_full_for_all_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        defects = Defects()
        await cluster.run("web", PROBE)
        await cluster.run("talks", shell("c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"))
        work = shell("c", f"{until_told}; echo last words; rm {go}; exit 5")
        await cluster.run("work", work, restartPolicy="Never")
        web = await cluster.until("web", is_ready)
        for name in ("talks", "work"):
            await cluster.until(name, is_ready)
        with (tmp_path / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

        numbers = itertools.count()

        async def refused() -> bool:
            meta = ObjectMeta(
                name=f"large-{next(numbers)}", namespace="default"
            )  # the store may have room for some
            try:
                await cluster.api.create(
                    CONFIGMAPS, replaced(told(), metadata=meta, data={"x": "x" * 100_000})
                )
            except StatusError as error:
                return "disk is full" in str(error)
            return False

        await holds(refused, "a write is refused since the disk is full")
        go.touch()
        await eventually(lambda: not go.exists())
        assert '"pod": "web"' in await ask(web)
        path = PODS.path("default", "talks", "log")
        code, before = await cluster.api.raw("GET", path, params={"tailLines": "1"})
        assert (code, before[-1:]) == (200, b"\n")
        (tmp_path / "filling").unlink()

        pod = await cluster.until("work", lambda pod: pod.status.phase == "Failed")
        ended = state(pod).state.terminated
        assert ended is not None
        assert ended.exitCode == 5
        await cluster.run("next")
        await cluster.until("next", is_ready)

        async def talks_on() -> bool:
            _, now = await cluster.api.raw("GET", path, params={"tailLines": "1"})
            return int(now) > int(before)

        await holds(talks_on, "what is printed is kept again")
        for name in ("web", "talks"):
            assert state(await cluster.until(name, is_ready)).restartCount == 0
        assert [line for line in defects.said if "defect" in line] == []

    with signal_file() as (until_told, go):
        with_cluster(tmp_path, test, disk="12m")


@root
def test_a_pod_whose_folder_is_removed_begins_anew(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        defects = Defects()
        for name in ("asked", "left"):
            await cluster.run(name, PROBE)
        asked, left = [await cluster.until(name, is_ready) for name in ("asked", "left")]
        sandboxes = [sandbox_of(cluster, pod) for pod in (asked, left)]
        # One is noticed when somebody wants something of it, the other by the next agent.
        remove(cluster, asked)
        code, said = await cluster.api.raw("GET", PODS.path("default", "asked", "log"))
        assert (code, b"the folder of the pod default/asked is gone" in said) == (500, True), said
        again = await cluster.until("asked", lambda pod: is_ready(pod) and state(pod).restartCount == 1)
        last = state(again).lastState.terminated
        assert last is not None
        assert last.exitCode == 137
        await cluster.stop()
        remove(cluster, left)
        await cluster.start()
        await cluster.until(
            "left", lambda pod: is_ready(pod) and state(pod).containerID != state(left).containerID
        )
        for name in ("asked", "left"):
            assert f'"pod": "{name}"' in await ask(await cluster.until(name, is_ready))
        await eventually(lambda: not any(start_ticks(one.pid) == one.ticks for one in sandboxes))
        assert defects.said == []

    with_cluster(tmp_path, test)


def remove(cluster: Cluster, pod: Pod) -> None:
    shutil.rmtree(cluster.config.state_directory / "pods" / pod.metadata.uid)


def stop(sandbox: runtime.Sandbox) -> None:
    os.kill(sandbox.record.pid, signal.SIGSTOP)


def hang_up(sandbox: runtime.Sandbox) -> None:
    assert sandbox._writer is not None
    sandbox._writer.transport.abort()


@root
@pytest.mark.parametrize("break_off", [stop, hang_up])
def test_a_pod_whose_sandbox_does_not_answer_begins_anew_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_off: Callable[[runtime.Sandbox], None]
) -> None:
    made: list[int] = []
    create = runtime.create

    async def create_mute(*arguments: Any) -> runtime.Sandbox:
        monkeypatch.setattr(runtime, "START_TIMEOUT", LIMIT)
        sandbox = await create(*arguments)
        made.append(sandbox.record.pid)
        if len(made) == 1:
            break_off(sandbox)
            monkeypatch.setattr(runtime, "START_TIMEOUT", 0.5)  # of this one only
        return sandbox

    async def test(cluster: Cluster) -> None:
        await cluster.run("web")
        pod = await cluster.until("web", is_ready)
        assert sandbox_of(cluster, pod).pid == made[-1] != made[0]
        assert '"pod": "web"' in await ask(pod)
        # Nor does one of a pod that is to go hold it.
        os.kill(made[-1], signal.SIGSTOP)
        monkeypatch.setattr(runtime, "START_TIMEOUT", 0.5)
        await cluster.api.delete(PODS, "web", "default")
        await cluster.gone("web")

    monkeypatch.setattr(runtime, "create", create_mute)
    with_cluster(tmp_path, test)
