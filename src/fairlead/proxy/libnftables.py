"""Debian's libnftables by way of ctypes: rulesets as text, without a child process."""

from __future__ import annotations

import ctypes
from functools import cache


class NftablesMissing(RuntimeError):
    """The library is not installed, or the kernel has no nf_tables for us. The text says what to do."""


class RulesetRefused(RuntimeError):
    """The library or the kernel did not take a ruleset. The text is the library's."""


@cache
def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise NftablesMissing(
            "libnftables.so.1 cannot be loaded: install the Debian package libnftables1"
        ) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def run(commands: str) -> str:
    """Runs commands of the nft language as one transaction in this thread's network namespace; gives their output.

    Takes about a millisecond. Raises `NftablesMissing` or `RulesetRefused`.
    """
    library = _load()
    context = library.nft_ctx_new(0)
    if not context:
        raise NftablesMissing("libnftables cannot start: out of memory, or no netlink socket")
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        if library.nft_run_cmd_from_buffer(context, commands.encode()):
            said = (library.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace").strip()
            if "Operation not permitted" in said:
                raise NftablesMissing(
                    "the kernel does not let this process change nftables: it needs CAP_NET_ADMIN in its "
                    "network namespace (run as root, or in a user namespace)"
                )
            if "Protocol not supported" in said or "Operation not supported" in said:
                raise NftablesMissing("this kernel has no nf_tables: load the module (modprobe nf_tables)")
            raise RulesetRefused(said)
        return (library.nft_ctx_get_output_buffer(context) or b"").decode(errors="replace")
    finally:
        library.nft_ctx_free(context)
