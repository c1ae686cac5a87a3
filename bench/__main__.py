"""The benchmarks' command: runs all of them, or those named, one after another.

    python -m bench [--quick] [--list] [NAME...]

A benchmark is a module of this folder with a `TITLE`, a line, and `measure(quick: bool) -> list[Measure]`, which
checks that the answers are right before it takes the time, and raises `Unavailable` where it cannot run. A budget
missed is said in the table and is no failure: the exit status is 1 where a benchmark failed, 2 for wrong use.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

import bench
from bench.report import Measure, Unavailable, show


class Benchmark(NamedTuple):
    """One module of this folder, as the command sees it."""

    name: str
    title: str
    measure: Callable[[bool], list[Measure]]


def find() -> dict[str, Benchmark]:
    """All benchmarks by name. Modules without a TITLE are what benchmarks share."""
    found = {}
    for module in pkgutil.iter_modules(bench.__path__):
        if module.name == "__main__":
            continue
        imported = importlib.import_module(f"bench.{module.name}")
        if hasattr(imported, "TITLE"):
            found[module.name] = Benchmark(module.name, imported.TITLE, imported.measure)
    return found


def run(benchmark: Benchmark, quick: bool) -> bool:
    """Measures and shows the table; whether it went well."""
    print(f"{benchmark.name}: {benchmark.title} ...", file=sys.stderr)
    try:
        measures = benchmark.measure(quick)
    except Unavailable as error:
        print(f"{benchmark.name}: cannot be measured here: {error}", file=sys.stderr)
        return False
    except Exception:
        traceback.print_exc()
        print(f"{benchmark.name}: FAILED", file=sys.stderr)
        return False
    show(benchmark.title, measures)
    return True


def main() -> int:
    """Reads the arguments and does what they say; gives the exit status."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measures, and prints tables.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a benchmark; all of them without one")
    parser.add_argument("--quick", action="store_true", help="smaller loads, fewer runs")
    parser.add_argument("--list", action="store_true", help="print the benchmarks' names")
    arguments = parser.parse_args()
    known = find()
    if arguments.list:
        width = max(map(len, known), default=0)
        for benchmark in known.values():
            print(f"{benchmark.name:{width}}  {benchmark.title}")
        return 0
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        print(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in arguments.names or known]
    failures = sum(not run(benchmark, arguments.quick) for benchmark in chosen)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
