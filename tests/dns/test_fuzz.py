"""A fuzzer that is guided by coverage finds no bytes that the parsers stumble over.

FAIRLEAD_FUZZ_SECONDS says for how long each is fuzzed.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from tests.dns.cluster import query
from tests.waiting import LIMIT

SECONDS = int(os.environ.get("FAIRLEAD_FUZZ_SECONDS", "2"))


def seeds() -> dict[str, list[bytes]]:
    """Good messages, from which the fuzzer makes others."""
    name = "my-service.default.svc.cluster.local"
    queries = [
        query(name).to_wire(),
        query(name, "SRV", use_edns=0, payload=4096).to_wire(),
        query("a.example", "AAAA", use_edns=0, options=[dns.edns.CookieOption(b"12345678", b"")]).to_wire(),
        query("2.1.244.10.in-addr.arpa", "PTR").to_wire(),
        query("cluster.local", "ANY").to_wire(),
    ]
    answer = dns.message.make_response(query("a.example"))
    answer.answer.append(dns.rrset.from_text("a.example.", 60, "IN", "CNAME", "b.example."))
    answer.answer.append(dns.rrset.from_text("b.example.", 60, "IN", "A", "192.0.2.1"))
    denial = dns.message.make_response(query("a.example"))
    denial.authority.append(
        dns.rrset.from_text("example.", 60, "IN", "SOA", "ns.example. h.example. 1 2 3 4 5")
    )
    return {"query": queries, "reply": [message.to_wire()[2:] for message in (answer, denial)]}


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="needs atheris, which there is for x86-64 only"
)
@pytest.mark.timeout(5 * LIMIT + 2 * SECONDS)
@pytest.mark.parametrize("target", ["query", "reply"])
def test_no_bytes_break_it(target: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()[target]):
        (corpus / str(number)).write_bytes(seed)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.dns.fuzz", target),
            *(f"-max_total_time={SECONDS}", "-max_len=700", f"-artifact_prefix={tmp_path}/", corpus),
        ],
        capture_output=True,
        text=True,
        timeout=4 * LIMIT + 2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    assert "DONE" in done.stderr
