"""A process that has imported the command, and runs it in forks of itself: without a third of a second for imports.

It reads requests, each a line of JSON: words, environment, folder, and the files for output and errors; its answer is
the status.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
from typing import Any, NoReturn

MODULES = (
    "fairlead.cli.main",
    "fairlead.apiserver.server",
    "fairlead.dns.server",
    "fairlead.endpoints.controller",
    "fairlead.lab.launch",
    "fairlead.loadbalancer.controller",
    "fairlead.node.agent",
    "fairlead.proxy.server",
    "fairlead.workloads.scheduler",
)


class Forks:
    """The same from outside; `close` ends it."""

    def __init__(self) -> None:
        self._process = Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=PIPE,
            stdout=PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )

    def run(
        self, words: tuple[str, ...], environment: Mapping[str, str], folder: Path
    ) -> CompletedProcess[str]:
        """Runs `fairlead WORDS` in the folder, with nothing on its standard input."""
        assert self._process.stdin
        assert self._process.stdout
        with tempfile.TemporaryDirectory(prefix="fairlead-test-") as made:
            out, err = Path(made, "out"), Path(made, "err")
            request = [words, dict(environment), str(folder), str(out), str(err)]
            print(json.dumps(request), file=self._process.stdin, flush=True)
            status = int(self._process.stdout.readline())
            return CompletedProcess(words, status, out.read_text(), err.read_text())

    def close(self) -> None:
        """No more is asked for."""
        self._process.communicate()


def command(words: list[str], environment: dict[str, str], folder: str, out: str, err: str) -> NoReturn:
    """Does in this process what the command does in one of its own."""
    from fairlead.cli.main import main

    for number, path in enumerate((os.devnull, out, err)):
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["fairlead", *words]
    status: Any = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


def serve() -> None:
    """Answers requests until there are no more."""
    for module in MODULES:
        importlib.import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            command(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
