"""The nftables mode: Services as elements of maps and sets in one table of the kernel for each family."""

from fairlead.proxy.nftables.table import Nftables, cleanup

__all__ = ["Nftables", "cleanup"]
