"""What holds for all tests of the client."""

from __future__ import annotations

import pytest

from fairlead.client import election, events
from tests.waiting import LIMIT


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written at the end is written, however long this machine takes for it."""
    monkeypatch.setattr(events, "CLOSING", LIMIT)
    monkeypatch.setattr(election, "GIVING_BACK", LIMIT)
