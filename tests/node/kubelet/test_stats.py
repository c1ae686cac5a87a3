"""Usage: what is read of /proc, and summed up."""

from __future__ import annotations

import os
import subprocess
import sys

from fairlead.node.kubelet import stats
from fairlead.node.kubelet.stats import Asked, look, parse_stat, tree


def test_a_line_of_a_process() -> None:
    fields = " ".join(["S", "7", *["0"] * 9, "100", "20", "3", "1", "20"])
    found = parse_stat(f"42 (a) b ( c) {fields}\n".encode())
    assert (found.pid, found.parent) == (42, 7)
    assert round(found.cpu / stats.TICK) == 124, "user and system, its own and its children's"


def test_all_that_descend_from_a_process() -> None:
    children = {1: [2, 3], 3: [4], 4: [5], 6: [7]}
    assert sorted(tree(1, children)) == [1, 2, 3, 4, 5]
    assert tree(8, children) == [8]


def test_a_child_is_found_by_the_number_that_its_parent_knows() -> None:
    script = "import sys; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        used, own = look([Asked("it", os.getpid(), child.pid), Asked("none", os.getpid(), 1)], os.getpid())
        assert list(used) == ["it"]
        assert used["it"].memory > 1 << 20
        assert used["it"].cpu < own.cpu or own.cpu == 0
        child.communicate()
