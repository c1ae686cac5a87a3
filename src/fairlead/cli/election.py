"""The options of a leader election, with client-go's names, for every command of which replicas may run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from fairlead.cli.options import duration_option
from fairlead.cli.refusal import UserError

if TYPE_CHECKING:
    from fairlead.client.election import ElectionConfig


@dataclass(frozen=True)
class _Option:
    name: str
    kind: Any
    default: Any


def _options(lease: str) -> tuple[_Option, ...]:
    return (
        _Option(
            "leader_elect",
            Annotated[
                bool,
                typer.Option(help="Of several replicas, let only the one that holds a Lease do the work."),
            ],
            True,
        ),
        _Option(
            "leader_elect_lease_duration",
            Annotated[float, duration_option("How long a lease that is not renewed holds the others off.")],
            "15s",
        ),
        _Option(
            "leader_elect_renew_deadline",
            Annotated[float, duration_option("How long the leader tries to renew before it stops the work.")],
            "10s",
        ),
        _Option(
            "leader_elect_retry_period",
            Annotated[float, duration_option("The time between two tries.")],
            "2s",
        ),
        _Option("leader_elect_resource_name", Annotated[str, typer.Option(help="The Lease.")], lease),
        _Option(
            "leader_elect_resource_namespace",
            Annotated[str, typer.Option(help="Where the Lease is.")],
            "kube-system",
        ),
    )


def with_election(component: str, lease: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Puts the options into a command, at the place of its parameter `election`, which gets what they say.

    That is None with --leader-elect=false. `lease` is the Lease's name where no option says otherwise. What does not
    fit together is a `UserError` that names the component.
    """
    options = _options(lease)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def decorated(**given: Any) -> None:
            said = {option.name.removeprefix("leader_elect_"): given.pop(option.name) for option in options}
            command(**given, election=_election(component, **said))

        # Only type checkers know this name: rooms are imported when the command runs.
        hints = get_type_hints(command, localns={"ElectionConfig": object}, include_extras=True)
        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.name != "election":
                parameters.append(parameter.replace(annotation=hints[parameter.name]))
                continue
            for o in options:
                parameters.append(
                    inspect.Parameter(o.name, parameter.kind, default=o.default, annotation=o.kind)
                )
        decorated.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        decorated.__annotations__ = {p.name: p.annotation for p in parameters}
        return decorated

    return decorate


def _election(component: str, *, leader_elect: bool, **said: Any) -> ElectionConfig | None:
    from fairlead.client.election import ElectionConfig

    try:
        config = ElectionConfig(**said)
    except ValueError as error:
        raise UserError(f"fairlead {component}: {error}") from error
    return config if leader_elect else None
