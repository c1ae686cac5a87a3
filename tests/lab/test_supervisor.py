"""What becomes of a lab's processes when one of them is killed."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fairlead.lab import processes, removal
from fairlead.lab.keeper import Keeper, Report, fork_keeper
from fairlead.lab.network import Refused
from fairlead.lab.state import NoLab, Process, StateDirectory, Taken
from fairlead.lab.supervisor import Component, Lab, fork
from tests.lab.conftest import freeze, record, wait_for
from tests.waiting import LIMIT


def sleeper() -> int:
    signal.pause()
    return 0


def answer(sock: socket.socket) -> int:
    """Answers each connection with the number of the process."""
    while True:
        connection, _ = sock.accept()
        connection.sendall(str(os.getpid()).encode())
        connection.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def lab(directory: StateDirectory, listening: socket.socket, tmp_path: Path) -> Iterator[Keeper]:
    lock = directory.create_locked()
    begun = tmp_path / "begun"

    def last() -> int:
        begun.touch()
        return sleeper()

    def prepare(report: Report, held: tuple[int, ...]) -> Lab:
        report("everything")
        directory.write(record())
        components = (
            Component("server", lambda: answer(listening), keeps=(listening.fileno(),)),
            Component("node1", sleeper),
            Component("node2", last),
        )
        return Lab(directory, lambda: components, held, lambda: _remove(directory))

    keeper = fork_keeper(directory, lock, prepare)
    assert list(keeper.progress()) == ["everything"]
    # In the record a little before it begins: one whose supervisor is killed in between is made anew.
    wait_for(begun.exists)
    yield keeper
    removal.down(directory)
    assert keeper.is_over(LIMIT)
    os.close(keeper.life)


def _remove(directory: StateDirectory) -> None:
    removal.remove(directory)


def running(directory: StateDirectory) -> dict[str, Process]:
    try:
        found = directory.read().processes
    except NoLab:
        return {}
    return {p.name: p for p in found if p.identity.is_alive()}


def is_another(directory: StateDirectory, before: Process) -> bool:
    now = all_of(directory).get(before.name)
    return now is not None and now.identity != before.identity


def all_of(directory: StateDirectory) -> dict[str, Process]:
    found = running(directory)
    return found if len(found) == 5 else {}


@pytest.mark.parametrize("name", ["server", "node1", "supervisor", "keeper"])
def test_a_killed_process_comes_back_and_the_others_stay(
    directory: StateDirectory, lab: Keeper, name: str
) -> None:
    before = wait_for(lambda: all_of(directory))
    assert before[name].identity.send(signal.SIGKILL)

    def is_back() -> dict[str, Process]:
        now = all_of(directory)
        return now if now and now[name].identity != before[name].identity else {}

    after = wait_for(is_back)
    assert after[name].restarts == 1
    others = before.keys() - {name}
    assert {n: after[n].identity for n in others} == {n: before[n].identity for n in others}


def test_the_pair_survives_being_killed_one_after_the_other(directory: StateDirectory, lab: Keeper) -> None:
    for name in ("supervisor", "keeper") * 3:
        before = wait_for(lambda: all_of(directory))
        before[name].identity.send(signal.SIGKILL)
        wait_for(partial(is_another, directory, before[name]))
    assert wait_for(lambda: all_of(directory))["node1"].restarts == 0


@pytest.mark.parametrize("killed", [False, True], ids=["that was told", "that was killed instead"])
def test_the_supervisor_runs_what_is_to_run_now(
    directory: StateDirectory, tmp_path: Path, killed: bool
) -> None:
    wanted = tmp_path / "wanted"
    wanted.write_text("node1 node2")

    def prepare(_: Report, held: tuple[int, ...]) -> Lab:
        directory.write(record())

        def begin(name: str) -> int:
            (tmp_path / name).touch()
            return sleeper()

        def now() -> tuple[Component, ...]:
            return tuple(Component(name, partial(begin, name)) for name in wanted.read_text().split())

        return Lab(directory, now, held, lambda: _remove(directory))

    keeper = fork_keeper(directory, directory.create_locked(), prepare)
    try:
        assert list(keeper.progress()) == []
        before = wait_for(lambda: of_nodes(directory, {"node1", "node2"}))
        # In the record a little before it begins: one whose supervisor is killed in between is made anew.
        wait_for((tmp_path / "node2").exists)
        supervisor = running(directory)["supervisor"].identity
        wanted.write_text("node2 node3")
        assert supervisor.send(signal.SIGKILL if killed else signal.SIGUSR1)
        after = wait_for(lambda: of_nodes(directory, {"node2", "node3"}))
        assert after["node2"].identity == before["node2"].identity
        assert not before["node1"].identity.is_alive()
        assert "node1" not in {process.name for process in directory.read().components}
    finally:
        removal.down(directory)
        assert keeper.is_over(LIMIT)
        os.close(keeper.life)


def of_nodes(directory: StateDirectory, names: set[str]) -> dict[str, Process]:
    """The nodes' processes, once they are these."""
    found = {name: process for name, process in running(directory).items() if name.startswith("node")}
    return found if found.keys() == names else {}


def test_no_connection_is_refused_while_the_server_comes_back(
    directory: StateDirectory, lab: Keeper, listening: socket.socket
) -> None:
    first = wait_for(lambda: all_of(directory))["server"].identity
    first.send(signal.SIGKILL)
    wait_for(lambda: not first.is_alive())

    def ask() -> bytes:
        """The answer; empty from one that is killed when it has just accepted."""
        with socket.create_connection(listening.getsockname(), timeout=LIMIT) as connection:
            return connection.recv(100)

    assert wait_for(ask) != str(first.pid).encode()


def test_sigterm_to_either_of_the_pair_removes_the_lab(directory: StateDirectory, lab: Keeper) -> None:
    found = wait_for(lambda: all_of(directory))
    found["keeper"].identity.send(signal.SIGTERM)
    assert lab.is_over(LIMIT)
    assert not directory.path.exists()
    wait_for(lambda: not [p for p in found.values() if p.identity.is_alive()])


def test_down_after_all_were_killed_leaves_nothing(directory: StateDirectory, lab: Keeper) -> None:
    found = wait_for(lambda: all_of(directory))
    for name in ("keeper", "supervisor"):
        freeze(found[name].identity)
    for process in found.values():
        process.identity.send(signal.SIGKILL)
    wait_for(lambda: lab.is_over(0))
    removed = removal.down(directory)
    assert str(directory.path) in removed.files
    assert not directory.path.exists()


def test_down_kills_components_whose_supervisors_died(directory: StateDirectory, lab: Keeper) -> None:
    found = wait_for(lambda: all_of(directory))
    for name in ("keeper", "supervisor"):
        freeze(found[name].identity)
    for name in ("keeper", "supervisor"):
        found[name].identity.send(signal.SIGKILL)
    wait_for(lambda: lab.is_over(0))
    assert found["node1"].identity.is_alive()
    assert {"server", "node1", "node2"} <= set(removal.down(directory).processes)
    wait_for(lambda: not [p for p in found.values() if p.identity.is_alive()])


def test_down_finds_a_lab_whose_directory_somebody_has_deleted(
    directory: StateDirectory, lab: Keeper
) -> None:
    found = wait_for(lambda: all_of(directory))
    shutil.rmtree(directory.path)
    assert len(removal.down(directory).processes) == len(found)
    wait_for(lambda: not [p for p in found.values() if p.identity.is_alive()])


def test_a_second_lab_of_the_same_name_is_refused(directory: StateDirectory, lab: Keeper) -> None:
    wait_for(lambda: all_of(directory))
    with pytest.raises(Taken, match="is running"):
        directory.create_locked()


def test_down_without_a_lab_finds_nothing(directory: StateDirectory) -> None:
    assert not removal.down(directory)


def test_a_refusal_while_making_the_lab_reaches_the_caller(directory: StateDirectory) -> None:
    def prepare(report: Report, held: tuple[int, ...]) -> Lab:
        raise Refused("the kernel has no bridges")

    keeper = fork_keeper(directory, directory.create_locked(), prepare)
    with pytest.raises(Refused, match="has no bridges"):
        list(keeper.progress())
    assert keeper.is_over(LIMIT)
    os.close(keeper.life)


def test_a_process_number_in_use_again_is_not_taken_for_the_old_process() -> None:
    me = processes.this_process()
    other = processes.Identity(me.pid, me.started - 1)
    assert me.is_alive()
    assert not other.is_alive()
    assert other.pidfd() is None
    assert not other.send(signal.SIGKILL)


def test_the_state_directory_is_the_owners_alone(directory: StateDirectory, tmp_path: Path) -> None:
    os.close(directory.create_locked())
    assert directory.path.stat().st_mode & 0o777 == 0o700


def test_a_component_leaves_what_it_shares_to_its_garbage_collector_untouched() -> None:
    """The collector writes to every object that it looks at, and a page that is written to is copied."""
    gc.unfreeze()  # what servers in earlier tests have set aside

    def run() -> int:
        return 0 if gc.get_freeze_count() > 10_000 else 1

    _, status = os.waitpid(fork("frozen", run), 0)
    assert os.waitstatus_to_exitcode(status) == 0
