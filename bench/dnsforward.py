"""Names that are not the cluster's, out of the cache of what another server said."""

from __future__ import annotations

from pathlib import Path

from bench.cluster import child
from bench.dnscluster import DOMAIN
from bench.dnspeer import knot, wait_for_answer
from bench.dnsperf import ask, free_port
from bench.report import Measure
from fairlead.client.kubeconfig import Config
from fairlead.dns.config import DnsConfig
from fairlead.dns.server import serve
from fairlead.dns.upstreams import Upstream


def forwarded(
    credentials: Config, expected: dict[str, str], file: Path, runs: int, seconds: int, workers: int
) -> list[Measure]:
    """As many names as there are Services, which Knot DNS knows; without it nothing is measured."""
    full = {f"{name}.{DOMAIN}": address for name, address in expected.items()}
    file.write_text("".join(f"{name} A\n" for name in full))
    found = []
    with knot(full, workers) as other:
        if other is None:
            return []
        port = free_port()
        # A cluster of another domain, for which these are names of others.
        config = DnsConfig(
            listen=(("127.0.0.1", port),),
            domain="elsewhere.local",
            workers=workers,
            upstreams=(Upstream("127.0.0.1", other[0]),),
        )
        with child(lambda: serve(config, credentials, expose="")) as parent:
            wait_for_answer(port, next(iter(full)))
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            pids = [parent, *map(int, children)]
            for what, options in (("names of others, kept", ()), ("the same over TCP", ("-m", "tcp"))):
                # Once for the other server to be asked.
                ask(port, file, seconds, options)
                samples = [ask(port, file, seconds, options, pids) for _ in range(runs)]
                rates, costs = tuple(s.rate for s in samples), tuple(s.cpu for s in samples)
                found.append(Measure(what, rates, "queries/s", more_is_better=True))
                found.append(Measure("  CPU of the server", costs, "µs/query"))
    return found
