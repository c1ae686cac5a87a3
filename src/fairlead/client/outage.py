"""No answer from the API server."""

from __future__ import annotations


class Unreachable(OSError):
    """No answer from the API server, or one that is not an API's; says which server and which request."""
