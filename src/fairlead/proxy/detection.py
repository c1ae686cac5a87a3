"""What traffic comes from this node's own pods (kube-proxy: --detect-local-mode, pkg/proxy/util/localdetector.go).

Such traffic is not masqueraded on its way to a ClusterIP, and takes the short cut past externalTrafficPolicy.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.proxy.family import Family


@dataclass(frozen=True, slots=True)
class LocalPods:
    """How this node's pods are told from everybody else: by their addresses, or by the interface they come in on.

    With neither, nobody is known to be local: nothing is masqueraded for coming from elsewhere.
    """

    cidrs: tuple[str, ...] = ()
    interface: str = ""
    """An interface's name; with `*` at its end, what the names of all begin with."""

    def known(self, family: Family) -> bool:
        """Whether they can be told from others at all."""
        return bool(self.interface or self.networks(family))

    def networks(self, family: Family) -> tuple[str, ...]:
        """Those of `cidrs` that belong to the family."""
        return family.only(self.cidrs)
