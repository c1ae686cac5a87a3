"""Benchmark results as values, printed as one table beside the peers' figures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


class Unavailable(Exception):
    """A benchmark cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Measure:
    """One thing measured several times. `peer` and `budget` are in the same unit, from the performance budget."""

    what: str
    samples: tuple[float, ...]
    unit: str
    peer: float | None = None
    peer_name: str = ""
    budget: float | None = None
    more_is_better: bool = False

    @property
    def median(self) -> float:
        """What is reported."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """The largest sample less the smallest."""
        return max(self.samples) - min(self.samples)

    @property
    def within_budget(self) -> bool | None:
        """Whether the median keeps the budget; None where there is none."""
        if self.budget is None:
            return None
        return self.median >= self.budget if self.more_is_better else self.median <= self.budget


def number(value: float) -> str:
    """Three significant digits, thousands grouped."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def show(title: str, measures: list[Measure]) -> None:
    """Prints the table: median, spread and count of the runs, the peer's figure, the ratio to it, the budget."""
    table = Table(title=title, title_justify="left")
    for name in ("what", "median", "spread", "runs", "peer", "times better", "budget", ""):
        table.add_column(name, justify="left" if name == "what" else "right")
    for m in measures:
        ratio = ""
        if m.peer:
            ratio = f"{(m.median / m.peer if m.more_is_better else m.peer / m.median):.1f}"
        budget = "" if m.budget is None else f"{'≥' if m.more_is_better else '≤'} {number(m.budget)} {m.unit}"
        verdict = {None: "", True: "kept", False: "missed"}[m.within_budget]
        peer = f"{number(m.peer)} {m.unit} ({m.peer_name})" if m.peer else ""
        table.add_row(
            m.what,
            f"{number(m.median)} {m.unit}",
            number(m.spread),
            str(len(m.samples)),
            peer,
            ratio,
            budget,
            verdict,
        )
    Console(width=150).print(table)
