"""The project's frame: ./run, the locks and the check of the tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tools.check_tree import findings

ROOT = Path(__file__).resolve().parent.parent

# In two parts, for this file is checked too.
REGISTRY = "pypi" + ".org"
MIRROR = "deb" + ".debian.org"
MACHINE = "/wor" + "k"


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "run"), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "usage: ./run COMMAND"),
        (("tset",), "there is no command 'tset'"),
        (("lint", "src"), "lint takes no arguments"),
        (("bench", "nothing"), "there is no benchmark nothing"),
    ],
)
def test_wrong_use_is_status_2_with_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("asked", ["help", "-h", "--help"])
def test_help_is_no_error(asked: str) -> None:
    done = run(asked)
    assert done.returncode == 0
    for command in ("demo", "test", "lint", "bench", "fairlead"):
        assert f"\n  {command} " in done.stdout


def test_benchmarks_are_listed_with_their_titles(tmp_path: Path) -> None:
    done = run("bench", "--list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    modules = {p.stem for p in (ROOT / "bench").glob("*.py") if re.search(r"^TITLE\b", p.read_text(), re.M)}
    assert {line.split()[0] for line in done.stdout.splitlines()} == modules


def test_a_bare_machine_is_told_what_is_missing_and_why(tmp_path: Path) -> None:
    """An ordinary user on a machine where nothing is on the PATH but the shell's own tools."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dirname", "readlink", "sha256sum", "uname", "cat", "tr", "flock", "mktemp", "rm"):
        (tools / name).symlink_to(Path("/usr/bin") / name)
    (tools / "apt-get").symlink_to("/bin/false")
    (tools / "id").write_text("#!/bin/sh\necho 1000\n")
    (tools / "id").chmod(0o755)
    for name in ("run", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        [str(tmp_path / "run"), "test"],
        env={"PATH": str(tools), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "missing Debian packages: " in done.stderr
    assert "kubernetes-client (the client that" in done.stderr
    assert "sudo apt-get update && sudo apt-get install --no-install-recommends" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"see https://{REGISTRY}/simple", "the address of a package registry"),
        (f"pip install -i https://user@{REGISTRY}/simple", "the address of a package registry"),
        (f"deb http://{MIRROR}/debian bookworm main", "the address of a package registry"),
        ("--index-url https://mirror.example/simple", "a place for pip to look"),
        ("--find-links /srv/wheels", "a place for pip to look"),
        (f'open("{MACHINE}/main/x")', "a path of one machine"),
        (f"file://{MACHINE}", "a path of one machine"),
        ("#    pip-compile --no-emit-index-url --no-emit-find-links", None),
        ("https://kubernetes.io/docs/concepts/services-networking/service/", None),
        ("src/fairlead/work/queue.py and /workloads", None),
        ('path.rglob("*/work/*")', None),
    ],
)
def test_the_tree_names_no_registry_and_no_machine(line: str, what: str | None) -> None:
    assert [found for _, found in findings(f"first\n{line}\n")] == ([what] if what else [])


def test_locks_pin_every_package_with_its_hashes() -> None:
    runtime, dev = (
        {
            entry.split("==")[0]: entry.split()
            for entry in re.split(r"\n(?=\S)", (ROOT / name).read_text())
            if not entry.startswith("#")
        }
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert runtime.keys() <= dev.keys()
    for name, entry in dev.items():
        assert re.fullmatch(r"[a-z0-9-]+==[^=*]+", entry[0]), name
        assert any(word.startswith("--hash=sha256:") for word in entry), name
        assert name not in runtime or runtime[name][0] == entry[0]


def test_the_package_is_used_where_it_stands() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import fairlead; print(fairlead.__file__)"],
        cwd="/",
        check=False,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()) == ROOT / "src/fairlead/__init__.py"
