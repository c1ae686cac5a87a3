"""What the commands of components have in common: options, and how their texts are read.

A text that cannot be read is a `UserError`, which names the option.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from fairlead.cli.refusal import UserError

Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="How to reach the API server.",
        show_default="$KUBECONFIG, ~/.kube/config, or the pod's ServiceAccount",
    ),
]
Context = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="The kubeconfig's context.", show_default="the kubeconfig's current one"
    ),
]
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smh]))+|0")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Level = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")]


def store_option(why: str = "", default: bool | str = True) -> Any:
    """Where objects are kept. `default` is what is said of one that is not given; True: itself."""
    return typer.Option(metavar="STORE", help=f"{why}sqlite:PATH or etcd:URL[,URL...].", show_default=default)


def written_kubeconfig(default: str) -> Any:
    """Where a command leaves the kubeconfig of what it runs; `default` as in `store_option`."""
    return typer.Option(metavar="FILE", help="Where to write the kubeconfig.", show_default=default)


def health_option(where: str) -> Any:
    """Where a component serves its health."""
    return typer.Option(
        "--health", metavar="ADDRESS:PORT", help=f"Where to serve {where}; 'none' for nowhere."
    )


def address_of(value: str) -> tuple[str, int]:
    """ADDRESS:PORT, or [ADDRESS]:PORT, as two."""
    address, _, port = value.rpartition(":")
    address = address.strip("[]")
    try:
        ipaddress.ip_address(address)
        number = int(port)
    except ValueError:
        raise UserError(f"{value!r} is no address with a port, such as 127.0.0.1:10256") from None
    if not 0 <= number <= 65535:
        raise UserError(f"{value!r}: a port is at most 65535")
    return address, number


def listen_at(value: str) -> socket.socket:
    """A socket that listens at ADDRESS:PORT."""
    from fairlead.process import listener

    try:
        return listener(*address_of(value))
    except OSError as error:
        raise UserError(str(error.strerror or error)) from error


def check_level(level: str) -> None:
    """Refuses a level of the log that there is not."""
    if level not in ("debug", "info", "warning", "error"):
        raise UserError(f"--log-level {level}: use debug, info, warning or error")


def networks(option: str, value: str) -> tuple[str, ...]:
    """Networks of either family, as A,B; none of an empty text."""
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    for cidr in found:
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise UserError(f"{option} {value}: {error}") from error
    return found


def one_a_family(option: str, value: str, hint: str = "") -> tuple[str, ...]:
    """One network, or one of each family, as A,B."""
    found = networks(option, value)
    if not 1 <= len(found) == len({ipaddress.ip_network(cidr).version for cidr in found}):
        raise UserError(f"{option} {value}: give one network of a family{hint}")
    return found


def service_networks(option: str, value: str) -> tuple[str, ...]:
    """One network, or one of each family, from which addresses of Services can be given."""
    found = one_a_family(option, value, "; add others as ServiceCIDR objects")
    for network in map(ipaddress.ip_network, found):
        if network.version == 6 and network.prefixlen < 64:
            raise UserError(f"{option} {value}: an IPv6 network for Services is /64 at most")
        if network.num_addresses < 4:
            raise UserError(f"{option} {value}: {network} has no room for Services")
    return found


def port_range(option: str, value: str) -> tuple[int, int]:
    """FIRST-LAST as two."""
    first, _, last = value.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
        raise UserError(f"{option} {value}: give a range of ports such as 30000-32767")
    return int(first), int(last)


def duration(value: str) -> float:
    """A length of time as Go writes it, in seconds: 500ms, 1.5s, 1m30s, 0. Raises typer.BadParameter."""
    if not _DURATION.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no length of time, such as 500ms, 1.5s or 1m30s")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smh])", value)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def duration_option(help: str) -> Any:
    """A length of time, which is read by `duration`."""
    return typer.Option(help=help, metavar="DURATION", parser=duration)
