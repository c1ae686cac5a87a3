"""What kube-proxy sets in the kernel's connection tracking, where it may be written."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("fairlead.proxy")

CONNTRACK = Path("/proc/sys/net/netfilter")


@dataclass(frozen=True, slots=True)
class ConntrackOptions:
    """kube-proxy's --conntrack-* flags, with their defaults; 0 leaves a setting as it is. Timeouts in seconds."""

    max_per_core: int = 32768
    min: int = 131072
    tcp_timeout_established: int = 86400
    tcp_timeout_close_wait: int = 3600
    tcp_be_liberal: bool = False
    udp_timeout: int = 0
    udp_timeout_stream: int = 0

    def settings(self, cores: int) -> Iterator[tuple[str, int]]:
        """Names of files of /proc/sys/net/netfilter, and what they are to hold on a machine of so many cores."""
        limit = max(self.min, self.max_per_core * cores) if self.max_per_core else 0
        for name, value in (
            ("nf_conntrack_max", limit),
            ("nf_conntrack_tcp_be_liberal", int(self.tcp_be_liberal)),
            ("nf_conntrack_tcp_timeout_established", self.tcp_timeout_established),
            ("nf_conntrack_tcp_timeout_close_wait", self.tcp_timeout_close_wait),
            ("nf_conntrack_udp_timeout", self.udp_timeout),
            ("nf_conntrack_udp_timeout_stream", self.udp_timeout_stream),
        ):
            if value:
                yield name, value


def apply(options: ConntrackOptions) -> None:
    """Sets them in this thread's network namespace; what may not be written there is logged, and left."""
    kept = []
    for name, value in options.settings(os.cpu_count() or 1):
        path = CONNTRACK / name
        try:
            if path.read_text().strip() != str(value):
                path.write_text(str(value))
        except OSError as error:
            kept.append(f"{name} ({error.strerror})")
    if kept:
        # The table's size is the whole machine's: a network namespace of its own may not change it.
        log.info(
            "connection tracking keeps its own settings where they cannot be written: %s", ", ".join(kept)
        )
