"""Users and groups of a container, by number or by name. Pure.

Upstream: what containerd does with runAsUser and the image's USER (oci.WithUser, WithAdditionalGIDs); passwd(5),
group(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class UnknownUser(OSError):
    """The image's user is not in its /etc/passwd or /etc/group; the message says which."""


@dataclass(frozen=True)
class Identity:
    """By which numbers a process is known."""

    user: int = 0
    group: int = 0
    groups: tuple[int, ...] = ()


def identify(
    user: int | str, group: int | None, groups: Sequence[int], passwd: str, group_file: str
) -> Identity:
    """Who a container runs as.

    `user` is runAsUser, or the image's user as a Dockerfile writes it: `1000`, `redis`, `1000:1000`, `redis:redis`;
    "" is root. The primary group is `group` if given, else the image's, else that of the user's line in `passwd`, else
    0. Groups of which `group_file` has the user as a member come on top, and then `groups`.
    """
    name, _, group_name = user.partition(":") if isinstance(user, str) else (str(user), "", "")
    number, primary, known = 0, 0, ""
    lines = [line.split(":") for line in passwd.splitlines()]
    people = [(line[0], int(line[2]), int(line[3])) for line in lines if _has_numbers(line, 2, 3)]
    if name.isdecimal():
        number = int(name)
        known, primary = next(((n, g) for n, u, g in people if u == number), ("", 0))
    elif name:
        found = next(((u, g) for n, u, g in people if n == name), None)
        if found is None:
            raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
        known, (number, primary) = name, found
    else:
        known = "root"
    entries = [line.split(":") for line in group_file.splitlines()]
    teams = [(e[0], int(e[2]), e[3].split(",") if len(e) > 3 else []) for e in entries if _has_numbers(e, 2)]
    if group_name.isdecimal():
        primary = int(group_name)
    elif group_name:
        gid = next((g for n, g, _ in teams if n == group_name), None)
        if gid is None:
            raise UnknownUser(f"unable to find group {group_name}: no matching entries in group file")
        primary = gid
    if group is not None:
        primary = group
    joined = [g for _, g, members in teams if known and known in members]
    return Identity(number, primary, tuple(dict.fromkeys((primary, *joined, *groups))))


def is_mapped(table: str, number: int) -> bool:
    """Whether a user namespace with this uid_map or gid_map has the number."""
    rows = [[int(field) for field in line.split()] for line in table.splitlines()]
    return any(len(row) == 3 and row[0] <= number < row[0] + row[2] for row in rows)


def _has_numbers(fields: Sequence[str], *positions: int) -> bool:
    return all(len(fields) > position and fields[position].isdecimal() for position in positions)
