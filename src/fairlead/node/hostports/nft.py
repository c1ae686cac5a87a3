"""The host ports' rulesets into the kernel, and what is said of a kernel that does not take them."""

from __future__ import annotations

from fairlead import libnftables


class NftFailed(Exception):
    """The library or the kernel did not take a ruleset. The text says why, and what to do where that is known."""


def run(commands: str) -> None:
    """Runs commands as one transaction in the network namespace of this thread. Blocks for 1 to 20 ms.

    Raises `NftFailed`.
    """
    try:
        libnftables.run(commands)
    except libnftables.Failed as error:
        raise NftFailed(words(error)) from error


def words(error: libnftables.Failed) -> str:
    """What was said, in one line, with what to do where that is known."""
    if isinstance(error, libnftables.KernelWithout) or "No such file" in error.said:
        lacks = "the kernel lacks what they need (modprobe nf_tables nft_nat nft_masq nft_fib_ipv4)"
        return f"{lacks}: {error.said.splitlines()[0]}"
    return str(error).partition("\n")[0] or "libnftables gives no reason"
