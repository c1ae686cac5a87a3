"""Image names, address pools, log lines: the small tables of a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.node.echo import Port, ports
from fairlead.node.images import Image, ImageError, find, load_images, repository
from fairlead.node.logs import ContainerLog
from fairlead.node.network import AddressesExhausted, AddressPool
from fairlead.node.records import Address

IMAGES = {"nginx": Image(command=("nginx",)), "nginx:1.27": Image(), "example.org/*": Image()}


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("nginx", "nginx"),
        ("nginx:latest", "nginx"),
        ("nginx:1.27", "nginx:1.27"),
        ("nginx@sha256:00", "nginx"),
        ("example.org/a/b:1", "example.org/*"),
        ("busybox", None),
    ],
)
def test_find(name: str, pattern: str | None) -> None:
    found = find(name, IMAGES)
    assert (found[0] if found else None) == pattern


def test_a_registrys_port_is_not_a_tag() -> None:
    assert repository("example.org:5000/web") == "example.org:5000/web"
    assert repository("example.org:5000/web:1@sha256:00") == "example.org:5000/web"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "expected an object"),
        ("web: 1", "web: expected an object"),
        ("web: {}", "web: needs an entrypoint or a command"),
        ("web: {comand: [x]}", "web: unknown field comand"),
        ("web: {command: x}", "web: command: expected a list"),
        ("web: {command: [x], root: nowhere}", "web: root: .*nowhere is not a folder"),
        ("{", "not YAML"),
    ],
)
def test_a_wrong_image_map_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(text)
    with pytest.raises(ImageError, match=problem):
        load_images(path)


def test_an_image_map(tmp_path: Path) -> None:
    path = tmp_path / "images.yaml"
    path.write_text("web*: {entrypoint: [python3, -m], command: [http.server, 80], env: {A: 1}}\n")
    image = load_images(path)["web*"]
    assert (image.entrypoint, image.command) == (("python3", "-m"), ("http.server", "80"))
    assert image.environment == {"A": "1"}


def ips(addresses: tuple[Address, ...]) -> list[str]:
    return [address.ip for address in addresses]


def test_addresses_are_given_in_turn_from_2_and_reused_last() -> None:
    pool = AddressPool(["10.244.1.0/29"])
    taken = [pool.take() for _ in range(2)]
    assert [ips(one) for one in taken] == [["10.244.1.2"], ["10.244.1.3"]]
    pool.give_back(taken[0])
    rest = [ips(pool.take())[0] for _ in range(4)]
    assert rest == ["10.244.1.4", "10.244.1.5", "10.244.1.6", "10.244.1.2"]
    with pytest.raises(AddressesExhausted, match=r"10\.244\.1\.0/29"):
        pool.take()


def test_an_adopted_pods_address_is_not_given_again() -> None:
    pool = AddressPool(["10.244.1.0/24", "fd00:1::/64"])
    pool.claim((Address("10.244.1.2"), Address("fd00:1::2")))
    assert ips(pool.take()) == ["10.244.1.3", "fd00:1::3"]


def test_log_lines_are_those_of_cri(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = ContainerLog(path, limit=200)
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"x\n")
    log.write("stdout", b"o\nthree")
    log.finish("stdout")
    log.close()
    lines = [line.split(" ", 1)[1] for line in path.read_text().splitlines()]
    assert lines == ["stdout F one", "stderr F x", "stdout F two", "stdout P three"]


def test_a_full_log_is_kept_once(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "log", limit=1000)
    for _ in range(100):
        log.write("stdout", b"a line of some length\n")
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"log", "log.1"}
    assert all(path.stat().st_size < 1100 for path in tmp_path.iterdir())


def test_echo_ports() -> None:
    assert ports("8080, 53/udp") == [Port(8080, "TCP"), Port(53, "UDP")]
    with pytest.raises(ValueError, match="'0/TCP' is not a port"):
        ports("0/TCP")
