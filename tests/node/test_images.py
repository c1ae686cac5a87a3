"""Image names, address pools, log lines: the small tables of a node."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairlead.node import imagenames, pulling
from fairlead.node.builtinimages import builtin
from fairlead.node.echo import Port, ports
from fairlead.node.imagenames import repository
from fairlead.node.images import Image, ImageError, describe, find, load_images, merge, missing
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
        ("docker.io/library/nginx:1.27", "nginx:1.27"),
        ("index.docker.io/library/nginx", "nginx"),
        ("docker.io/nginx", "nginx"),
        ("ghcr.io/library/nginx", None),
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
        ("web: {command: [x], overlay: true}", "web: overlay: .* only with a root"),
        ("web: {command: [x], root: nowhere}", "web: root: .*nowhere is not a folder"),
        ("{", "not YAML"),
    ],
)
def test_a_wrong_image_map_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(text)
    with pytest.raises(ImageError, match=problem):
        load_images(path)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nginx", ""),
        ("localhost:5000/a/b:1@sha256:" + "0" * 64, ""),
        ("a_b/c__d/e---f", ""),
        ("Nginx", "invalid reference format: repository name (Nginx) must be lowercase"),
        ("nginx::1", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("", "invalid reference format"),
    ],
)
def test_what_is_no_image_name(name: str, wrong: str) -> None:
    assert imagenames.problem(name).partition(f'parse image name "{name}": ')[2] == wrong


@pytest.mark.parametrize(
    ("image", "policy", "elapsed", "reason"),
    [
        ("nginx", "Always", 0, "ErrImagePull"),
        ("nginx", "Always", 3, "ImagePullBackOff"),
        ("nginx", "Always", 10.5, "ErrImagePull"),
        ("nginx", "Always", 20, "ImagePullBackOff"),
        ("nginx", "IfNotPresent", 30.5, "ErrImagePull"),
        ("nginx", "Never", 0, "ErrImageNeverPull"),
        ("NGINX", "Always", 0, "InvalidImageName"),
    ],
)
def test_a_pull_that_fails(image: str, policy: str, elapsed: float, reason: str) -> None:
    waiting, rest = pulling.waiting(image, policy, f"no {image} here", elapsed)
    assert waiting.reason == reason
    assert image in waiting.message
    assert rest > 0


def test_an_own_entry_stands_before_a_built_in_one() -> None:
    merged = merge({"ng*": Image(command=("mine",))}, {"nginx": Image(), "redis": Image()})
    assert find("nginx:1", merged) == ("ng*", Image(command=("mine",)))
    assert "redis" in merged


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("echo", ""),
        ("docker.io/library/here:1", ""),
        ("shop/cart:1", 'no entry for "shop/cart:1": .*like  shop/cart: {entrypoint'),
        ("absent", "this host has no no-such-program: install the Debian package nsp, or add a line"),
        ("substituted", ""),
    ],
)
def test_why_an_image_cannot_be_run(name: str, why: str) -> None:
    known = {
        "echo": Image(run=lambda: 0),
        "here": Image(needs="sh", package="dash"),
        "absent": Image(needs="no-such-program", package="nsp"),
        "substituted": Image(needs="no-such-program", package="nsp", stand_in=lambda: 0),
    }
    said = missing(name, known)
    assert re.search(why, said) if why else said == ""


def test_how_images_are_run_here() -> None:
    lacking = {"needs": "no-such-program", "package": "nsp"}
    assert [
        describe(image)
        for image in (
            Image(run=lambda: 0),
            Image(needs="sh", package="dash"),
            Image(entrypoint=("web", "-x"), root=Path("/srv/web")),
            Image(**lacking, stand_in=lambda: 0),  # type: ignore[arg-type]
            Image(**lacking),  # type: ignore[arg-type]
            Image(package="nsp"),
        )
    ] == [
        "built in",
        "sh, the host's",
        "web -x in /srv/web",
        "a stand-in (Debian's package nsp has the program)",
        "not here: Debian's package nsp has no-such-program",
        "not here: Debian's package nsp has it, with a line in the map",
    ]


def test_built_in_images() -> None:
    known = builtin()
    for name in ("busybox:1.36", "registry.k8s.io/pause:3.9", "traefik/whoami", "nginx:1.27-alpine"):
        assert missing(name, known) == ""
    assert all(image.run or image.entrypoint or image.command or image.package for image in known.values())


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
