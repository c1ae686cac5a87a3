"""The settings of the kernel that IPVS needs for Services (kube-proxy: pkg/proxy/ipvs/proxier.go)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from fairlead.proxy.dataplane import Unusable
from fairlead.proxy.options import IpvsOptions

log = logging.getLogger("fairlead.proxy")

_ROOT = Path("/proc/sys/net/ipv4")
CONNTRACK = "vs/conntrack"


def wanted(options: IpvsOptions, release: str) -> Iterator[tuple[str, int]]:
    """Names below net.ipv4 with their values, for a kernel of that release."""
    # Without conntrack, what IPVS translates could not be masqueraded.
    yield CONNTRACK, 1
    found = re.match(r"(\d+)\.(\d+)", release)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if (4, 1) <= version < (5, 9):
        # A client's port used again would lead to a server that is drained; mended in 5.9 (kubernetes#93297).
        yield "vs/conn_reuse_mode", 0
    # What belongs to a real server that is gone ends with the next packet, or the next connection of the client.
    yield "vs/expire_nodest_conn", 1
    yield "vs/expire_quiescent_template", 1
    yield "ip_forward", 1
    if options.strict_arp:
        yield "conf/all/arp_ignore", 1
        yield "conf/all/arp_announce", 2


def apply(options: IpvsOptions) -> None:
    """Sets what is set otherwise. Raises `Unusable` where connections cannot be tracked."""
    for name, value in wanted(options, os.uname().release):
        path = _ROOT / name
        try:
            if path.read_text().strip() != str(value):
                path.write_text(str(value))
        except OSError as error:
            setting = f"net.ipv4.{name.replace('/', '.')}={value}"
            if name == CONNTRACK:
                raise Unusable(
                    f"{setting} cannot be set, which the ipvs mode needs: {error.strerror}"
                ) from error
            log.warning("%s cannot be set: %s", setting, error.strerror)
