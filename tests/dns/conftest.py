"""What holds for all tests of the DNS server."""

from __future__ import annotations

import pytest

from fairlead.dns import forward, upstreams
from tests.waiting import LIMIT


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other servers may take longer than any test waits: a question put again says something of us, not of the machine.

    A test of a server that does not answer sets what it has to.
    """
    monkeypatch.setattr(upstreams, "TRY", 10 * LIMIT)
    monkeypatch.setattr(forward, "ALL_TRIES", 10 * LIMIT)
