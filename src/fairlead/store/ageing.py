"""The history that is older than anybody should need: forgotten on a timer, as kube-apiserver does it.

Upstream: apiserver/pkg/storage/etcd3/compact.go.
"""

from __future__ import annotations

import asyncio
import logging

from fairlead.store.interface import Closed, Failed, Store

log = logging.getLogger("fairlead.store")

SECONDS = 300.0
"""kube-apiserver's default (--etcd-compaction-interval): what is kept is this old to twice this."""


async def forget_what_is_old(store: Store, seconds: float = SECONDS) -> None:
    """At every interval forgets what was history at the one before, until it is cancelled or the store is closed."""
    before = store.revision
    while True:
        await asyncio.sleep(seconds)
        now = store.revision
        try:
            await store.compact(before)
        except Closed:
            return
        except Failed as error:
            log.warning("the history is not compacted, which is tried again in %d s: %s", seconds, error)
        before = now
