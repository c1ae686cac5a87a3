"""The flags of `fairlead endpoints`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from fairlead.cli.main import plain
from fairlead.cli.options import duration
from fairlead.endpoints.config import ENDPOINTS, MIRRORING, SLICES, EndpointsConfig, chosen
from tests.forks import Forks


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0.0), ("0s", 0.0), ("500ms", 0.5), ("1.5s", 1.5), ("1m30s", 90.0), ("2h", 7200.0)],
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "-1s", "1d", "s", "1s ", "1,5s"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no length of time"):
        duration(text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("*", (SLICES, ENDPOINTS, MIRRORING)),
        ("*,-endpoints-controller", (SLICES, MIRRORING)),
        ("*,-endpoint", (SLICES, MIRRORING)),
        ("endpointslice-controller", (SLICES,)),
        ("endpointslicemirroring,endpoint", (ENDPOINTS, MIRRORING)),
    ],
)
def test_controllers_are_chosen_as_upstream(words: str, expected: tuple[str, ...]) -> None:
    assert chosen(words.split(",")) == expected


@pytest.mark.parametrize(
    "fields",
    [{"max_endpoints_per_slice": 1001}, {"concurrent_endpoint_syncs": 0}, {"max_endpoints_per_slice": 0}],
)
def test_values_out_of_bounds(fields: dict[str, int]) -> None:
    (name,) = fields
    with pytest.raises(ValueError, match=f"{name.replace('_', '-')} must be from 1 to"):
        EndpointsConfig(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ("--controllers", "nonsense"),
            "there is no controller nonsense; there are: endpointslice-controller",
        ),
        (("--controllers", ""), "no controller is left to run"),
        (("--controllers=-endpoints-controller",), "no controller is left to run"),
        (("--leader-elect-lease-duration", "5s"), "lease-duration must be greater than"),
        (("--leader-elect-retry-period", "0s"), "retry-period must be greater than zero"),
        (("--kubeconfig", "/nowhere"), "cannot read the kubeconfig /nowhere: No such file"),
        (("--kubeconfig", "/dev/null", "--context", "a"), "the kubeconfig /dev/null is empty"),
        (("--health", "127.0.0.1:99999", "--kubeconfig", "x"), "cannot read the kubeconfig x"),
        (("--max-endpoints-per-slice", "1001"), "not in the range 1<=x<=1000"),
        (("--endpointslice-updates-batch-period", "soon"), "is no length of time"),
    ],
)
def test_wrong_flags_are_told(forks: Forks, tmp_path: Path, argv: tuple[str, ...], said: str) -> None:
    done = forks.run(("endpoints", *argv), os.environ, tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["endpoints", "--leader-elect=false"], ["endpoints", "--no-leader-elect"]),
        (["endpoints", "--leader-elect=true", "--x"], ["endpoints", "--leader-elect", "--x"]),
        (["proxy", "--masquerade-all=true", "--cleanup=false"], ["proxy", "--masquerade-all"]),
        (["loadbalancer", "--default-class=false"], ["loadbalancer", "--no-default-class"]),
        (["proxy", "--proxy-mode=true"], ["proxy", "--proxy-mode=true"]),
        (
            ["lab", "exec", "p", "--", "x", "--leader-elect=true"],
            ["lab", "exec", "p", "--", "x", "--leader-elect=true"],
        ),
    ],
)
def test_switches_in_gos_form(given: list[str], read: list[str]) -> None:
    assert plain(given) == read
