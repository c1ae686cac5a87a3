"""How long tests wait for what has to become true, and how one that waits for longer is ended."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType

from _pytest.outcomes import Failed  # pytest.fail.Exception, for the checker of types

LIMIT = 60.0
"""Seconds. Nothing takes that long; it only says when to give up on a machine that has other work, too."""

Handler = Callable[[int, FrameType | None], object]


class TookTooLong(Failed, SystemExit):
    """The failure of a test whose time is up, as an event loop lets it pass.

    A loop goes on after whatever a signal's handler raises, and a task keeps it for itself; SystemExit stops both.
    """


def ending(handler: Handler) -> Handler:
    """A handler of a signal that fails the test also while a loop runs, where the one given fails it otherwise."""

    def ends(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except Failed as failed:
            raise TookTooLong(failed.msg) from None

    return ends
