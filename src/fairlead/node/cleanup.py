"""What an agent that is gone for good leaves on its node goes: pods, their files, and the host ports.

An agent that ends leaves all of it for the next one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from fairlead import libnftables
from fairlead.node import runtime
from fairlead.node.hostports import ruleset
from fairlead.node.occupancy import occupied


def cleanup(state_directory: Path, node: str) -> list[str]:
    """Ends the pods of this state directory and closes their host ports; gives the pods' namespaces and names.

    In the node's network namespace. Claims stay, which are the users' data, and so does the Node in the API. Raises
    `OccupiedError` where the agent runs still, `libnftables.Failed` where the kernel does not let the ports go.
    """
    with occupied(state_directory, node):
        ended = runtime.remove_all(state_directory)
        with contextlib.suppress(libnftables.KernelWithout):  # and so there are none
            libnftables.run("".join(map(ruleset.removal, ruleset.FAMILIES)))
        return ended
