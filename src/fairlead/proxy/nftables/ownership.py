"""Whose the table is: from Linux 6.9 on nobody but the proxy can change it while it runs.

A table with the kernel's flags `owner` and `persist` takes changes through one netlink socket, its owner's. Everybody
else may not change it, and `nft flush ruleset` passes it over. When the socket closes, the table stays, and is nobody's
until somebody claims it. `persist` can be given to a table only when it is made, `owner` only to one that has it.

Source: net/netfilter/nf_tables_api.c, nf_tables_newtable, nf_tables_updtable, nft_table_has_owner, nft_rcv_nl_event.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import struct
from collections.abc import Iterator

from fairlead.proxy.dataplane import Refused
from fairlead.proxy.family import Family
from fairlead.proxy.netlink import (
    GETTABLE,
    NEWTABLE,
    NLM_F_CREATE,
    KernelRefused,
    Link,
    Request,
    attribute,
    attributes,
)
from fairlead.proxy.nftables.inventory import TABLE_NAMED
from fairlead.proxy.nftables.names import TABLE
from fairlead.proxy.nftables.skeleton import COMMENT
from fairlead.proxy.rulesets import Context

log = logging.getLogger("fairlead.proxy")

OWNER, PERSIST = 2, 4
"""Of linux/netfilter/nf_tables.h: NFT_TABLE_F_OWNER, NFT_TABLE_F_PERSIST."""

_FLAGS, _USERDATA, _OWNER = 2, 6, 7


class Ownership:
    """Makes one family's table and claims it for a link's socket, where that is wanted and the kernel can."""

    def __init__(self, link: Link, family: Family, *, wanted: bool) -> None:
        self._link, self._family, self._wanted = link, family, wanted
        self._held = False

    def make(self, nft: Context) -> None:
        """Makes the table, empty. Raises as a dataplane does."""
        if self._wanted:
            said = COMMENT.encode() + b"\0"
            flags = attribute(_FLAGS, struct.pack("!I", PERSIST))
            payload = TABLE_NAMED + flags + attribute(_USERDATA, struct.pack("BB", 0, len(said)) + said)
            try:
                self._link.commit([(Request(NEWTABLE, payload, "adding the table", NLM_F_CREATE),)])
                return
            except KernelRefused as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
        nft.run(f'add table {self._family.table} {TABLE} {{ comment "{COMMENT}"; }}')

    def claim(self) -> None:
        """From now on only our link changes the table. Does nothing where that cannot be had."""
        if not self._wanted or self._held or not _flags(self._link)[0] & PERSIST:
            return
        payload = TABLE_NAMED + attribute(_FLAGS, struct.pack("!I", OWNER | PERSIST))
        self._link.commit([(Request(NEWTABLE, payload, "claiming the table"),)])
        self._held = True

    def give_up(self) -> None:
        """The table is nobody's. Raises `Refused` where it is somebody else's."""
        if self._held:
            self._link.renew()
            self._held = False
        refuse_owned(self._link, self._family)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """The table is nobody's meanwhile: libnftables has a socket of its own."""
        held = self._held
        if held:
            self.give_up()
        yield
        if held:
            self.claim()


def refuse_owned(link: Link, family: Family) -> None:
    """Raises `Refused` where a socket owns the table."""
    flags, owner = _flags(link)
    if flags & OWNER:
        raise Refused(
            f"the nftables table {family.table} {TABLE} is owned by another process, which `nft list table "
            f"{family.table} {TABLE}` names (netlink port {owner}): stop the proxy that still runs there"
        )


def _flags(link: Link) -> tuple[int, int]:
    """The table's flags and its owner's netlink port; 0 where there is none."""
    try:
        (answer,) = link.dump(GETTABLE, TABLE_NAMED, every=False)
    except FileNotFoundError:
        return 0, 0
    parts = dict(attributes(answer))
    flags, owner = (int.from_bytes(parts.get(kind, b""), "big") for kind in (_FLAGS, _OWNER))
    return flags, owner
