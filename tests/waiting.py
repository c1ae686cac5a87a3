"""How long tests wait for what has to become true."""

from __future__ import annotations

LIMIT = 60.0
"""Seconds. Nothing takes that long; it only says when to give up on a machine that has other work, too."""
