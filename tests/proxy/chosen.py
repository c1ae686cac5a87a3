"""Which of the proxy's modes to test: FAIRLEAD_PROXY_MODES (A,B), for a kernel that only one of them needs."""

from __future__ import annotations

import os

from fairlead.proxy.modes import MODES

CHOSEN = os.environ.get("FAIRLEAD_PROXY_MODES", ",".join(MODES)).split(",")
