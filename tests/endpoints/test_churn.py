"""Everything at once: pods and Services come, go and change, others tamper with slices; in the end all is right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import pytest
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.endpoints import endpointscontroller
from fairlead.endpoints.slices import MANAGED_BY, SERVICE_NAME
from fairlead.objects.core_v1 import Pod
from fairlead.objects.resources import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES
from fairlead.objects.status import StatusError
from tests.client.cluster import eventually
from tests.endpoints.cluster import make_node, make_pod, make_service, set_ready, story

APPS = ("web", "db")
PODS_COUNT = 40
LIMIT = 5
"""Endpoints in a slice: small, so that a Service has many slices and is planned by its layout."""


class Churn:
    """Random changes, several at a time, that are lost when they meet."""

    def __init__(self, api: Api, seed: int) -> None:
        self._api = api
        self._dice = random.Random(seed)

    async def go(self, changes: int, width: int = 8) -> None:
        left = iter(range(changes))

        async def worker() -> None:
            for _ in left:
                change = self._dice.choices(
                    [
                        self._pod_comes,
                        self._pod_goes,
                        self._readiness,
                        self._label,
                        self._service,
                        self._tamper,
                    ],
                    [6, 3, 8, 2, 1, 2],
                )[0]
                with suppress(StatusError):
                    await change()

        await asyncio.gather(*(worker() for _ in range(width)))

    def _name(self) -> str:
        return f"p{self._dice.randrange(PODS_COUNT)}"

    async def _pod_comes(self) -> None:
        number = self._dice.randrange(PODS_COUNT)
        ready, app = self._dice.random() < 0.7, self._dice.choice(APPS)
        await make_pod(self._api, f"p{number}", f"10.244.1.{number + 1}", ready=ready, app=app)

    async def _pod_goes(self) -> None:
        await self._api.delete(PODS, self._name(), "default", grace_period_seconds=0)

    async def _readiness(self) -> None:
        pod = await self._api.get(PODS, self._name(), "default")
        if pod.status.podIP:
            await set_ready(self._api, pod, pod.status.podIP, self._dice.random() < 0.5)

    async def _label(self) -> None:
        patch = {"metadata": {"labels": {"app": self._dice.choice(APPS)}}}
        await self._api.patch(PODS, self._name(), "default", patch)

    async def _service(self) -> None:
        app = self._dice.choice(APPS)
        await self._api.delete(SERVICES, app, "default")
        await make_service(self._api, app)

    async def _tamper(self) -> None:
        found = (await self._api.list(ENDPOINTSLICES, "default", labels=MANAGED_BY)).items
        if not found:
            return
        piece = self._dice.choice(found)
        if self._dice.random() < 0.5:
            await self._api.delete(ENDPOINTSLICES, piece.metadata.name, "default")
        else:
            await self._api.replace(ENDPOINTSLICES, replace(piece, endpoints=piece.endpoints[::2]))


State = dict[str, tuple[str, bool]]
"""Pods by name with their address and whether they are ready."""


def expected(pods: tuple[Pod, ...], app: str) -> State:
    return {
        p.metadata.name: (p.status.podIP, any(c.status == "True" for c in p.status.conditions))
        for p in pods
        if p.metadata.labels["app"] == app and p.status.podIP
    }


async def in_slices(api: Api, app: str) -> State | None:
    """What the slices hold; None if they hold a pod twice, or too many."""
    found: State = {}
    services = {s.metadata.name: s.metadata.uid for s in (await api.list(SERVICES, "default")).items}
    for piece in (await api.list(ENDPOINTSLICES, "default", labels=f"{SERVICE_NAME}={app}")).items:
        if len(piece.endpoints) > LIMIT or [o.uid for o in piece.metadata.ownerReferences] != [services[app]]:
            return None
        for e in piece.endpoints:
            assert e.targetRef
            if e.targetRef.name in found:
                return None
            found[e.targetRef.name] = (e.addresses[0], bool(e.conditions and e.conditions.ready))
    return found


async def in_endpoints(api: Api, app: str) -> State:
    subsets = (await api.get(ENDPOINTS, app, "default")).subsets
    return {
        a.targetRef.name: (a.ip, ready)
        for s in subsets
        for ready, listed in ((True, s.addresses), (False, s.notReadyAddresses))
        for a in listed
        if a.targetRef
    }


class Lossy(Api):
    """One write in ten is not sent, and of one in ten the answer gets lost."""

    dice = random.Random(7)

    async def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        fate = 1.0 if method == "GET" else self.dice.random()
        if fate < 0.1:
            raise OSError("the connection broke before the request was sent")
        answer = await super().raw(method, path, body, headers, params)
        if fate < 0.2:
            raise OSError("the connection broke before the answer was read")
        return answer


@pytest.mark.parametrize("client", [Api, Lossy])
@pytest.mark.parametrize("seed", range(2))
def test_after_all_that_everything_is_right(
    seed: int, client: type[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpointscontroller, "ROSTER", LIMIT)  # so that these Services have a roster, too

    async def told(api: Api) -> None:
        await make_node(api)
        for app in APPS:
            await make_service(api, app)
        churn = Churn(api, seed)
        for _ in range(3):  # each time it calms down
            await churn.go(150)
            for app in APPS:
                with suppress(StatusError):
                    await make_service(api, app)
            for app in APPS:
                await eventually(agrees(api, app), f"the Service {app} is right")

    def agrees(api: Api, app: str) -> Callable[[], Awaitable[bool]]:
        async def holds() -> bool:
            wanted = expected((await api.list(PODS, "default")).items, app)
            try:
                return await in_slices(api, app) == wanted == await in_endpoints(api, app)
            except StatusError:
                return False

        return holds

    story(told, client, LIMIT)
