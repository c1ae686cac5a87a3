"""The nft language by way of Debian's libnftables, without a child process."""

from __future__ import annotations

import ctypes
from functools import cache


class NftFailed(Exception):
    """The library or the kernel did not take a ruleset. The text says why, and what to do where that is known."""


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise NftFailed("libnftables.so.1 is missing: install the Debian package libnftables1") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    library.nft_ctx_buffer_error.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def run(commands: str) -> None:
    """Runs commands as one transaction in the network namespace of this thread. Blocks for 1 to 20 ms.

    Raises `NftFailed`.
    """
    library = _library()
    context = library.nft_ctx_new(0)
    if not context:
        raise NftFailed("libnftables cannot start: out of memory, or no netlink socket")
    try:
        library.nft_ctx_buffer_error(context)
        if library.nft_run_cmd_from_buffer(context, commands.encode()):
            said = (library.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace").strip()
            raise NftFailed(words(said))
    finally:
        library.nft_ctx_free(context)


def words(said: str) -> str:
    """What the library said, in one line, with what to do where that is known."""
    first = said.splitlines()[0] if said else "libnftables gives no reason"
    if "Protocol not supported" in said or "Operation not supported" in said or "No such file" in said:
        return f"the kernel lacks what they need (modprobe nf_tables nft_nat nft_masq nft_fib_ipv4): {first}"
    if "Operation not permitted" in said:
        return f"the node's agent needs CAP_NET_ADMIN in its network namespace: {first}"
    return first
