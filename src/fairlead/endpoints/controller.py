"""The endpoint controllers together: one set of informers, and the controllers that are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead.client.api import Api
from fairlead.client.controllers import serve
from fairlead.client.election import ElectionConfig, elected
from fairlead.client.events import Recorder
from fairlead.client.informer import all_synced
from fairlead.endpoints import config as settings
from fairlead.endpoints import metrics
from fairlead.endpoints.cluster import Cluster
from fairlead.endpoints.config import EndpointsConfig
from fairlead.endpoints.endpointscontroller import EndpointsController
from fairlead.endpoints.mirrorcontroller import MirrorController
from fairlead.endpoints.slicecontroller import SliceController
from fairlead.endpoints.writer import Writer
from fairlead.process import Health

Controller = SliceController | EndpointsController | MirrorController


async def run(
    api: Api, config: EndpointsConfig, health: Health, check: Callable[[], None] = lambda: None
) -> None:
    """Keeps slices, Endpoints and mirrors right until cancelled.

    `check` is asked before each write and raises OSError when another replica may have taken over.
    """
    metrics.SLICES.reset()
    metrics.MIRRORS.reset()
    cluster = Cluster(api)
    writer = Writer(api, check)
    recorders: list[Recorder] = []

    def controller(name: str) -> Controller:
        kind, component = _KINDS[name]
        recorders.append(Recorder(api, component))
        return kind(writer, cluster, recorders[-1], config)

    controllers = [controller(name) for name in config.controllers]
    try:
        async with all_synced(cluster.informers, health, "endpoints") as group:
            serve(group, controllers, cluster.informers)
            while True:
                await asyncio.sleep(config.resync)
                for key in cluster.services.items:
                    for each in controllers:
                        each.look_again(key)
    finally:
        await asyncio.gather(*(recorder.close() for recorder in recorders))


async def run_elected(
    api: Api, config: EndpointsConfig, election: ElectionConfig | None, health: Health
) -> None:
    """The same, whenever this replica leads; without an election it always does."""
    await elected(api, election, health, "endpoints", lambda check: run(api, config, health, check))


_KINDS: dict[str, tuple[Callable[..., Controller], str]] = {
    settings.SLICES: (SliceController, "endpoint-slice-controller"),
    settings.ENDPOINTS: (EndpointsController, "endpoint-controller"),
    settings.MIRRORING: (MirrorController, "endpoint-slice-mirroring-controller"),
}
"""Each controller, and the component that its Events name."""
