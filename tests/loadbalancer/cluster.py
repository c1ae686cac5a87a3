"""An API server and the load balancer's controller, which has the rights of its role and no others."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import uvloop
import yaml

from fairlead.client import kubeconfig
from fairlead.client.api import Api
from fairlead.loadbalancer import controller
from fairlead.loadbalancer.config import LoadBalancerConfig, parse_pool
from fairlead.loadbalancer.ipaddresspools import GROUP, RESOURCES, IPAddressPool, definition
from fairlead.loadbalancer.reports import ALLOCATED
from fairlead.objects.apiextensions_v1 import CustomResourceDefinition
from fairlead.objects.core_v1 import Service, ServicePort, ServiceSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import CUSTOMRESOURCEDEFINITIONS, EVENTS, SERVICES
from fairlead.objects.status import StatusError
from fairlead.process import Health
from tests.client.cluster import TOKEN, api_server, eventually
from tests.waiting import LIMIT

POOL = "192.0.2.1-192.0.2.3"
USER = "limited,system:fairlead-loadbalancer,2\n"


@dataclass
class Cluster:
    """What a test has: the administrator's client, and the controller, which it may stop and start."""

    api: Api
    limited: Api
    config: LoadBalancerConfig
    kubeconfig: Path
    authority: bytes
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        health = Health()
        self._task = asyncio.create_task(controller.run(self.limited, self.config, health))
        await asyncio.wait_for(health.ready(), LIMIT)

    async def stop(self) -> None:
        assert self._task is not None
        assert not self._task.done(), self._task.exception()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def kubectl(self, *words: str, text: str = "") -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.kubeconfig.parent)}
        done = await asyncio.to_thread(
            subprocess.run,
            ["kubectl", *words],
            capture_output=True,
            text=True,
            input=text,
            env=environment,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def define(self, text: str = "") -> None:
        """Has IPAddressPools served, ours or those of another definition."""
        wanted = msgspec.convert(yaml.safe_load(text or definition()), CustomResourceDefinition)
        await self.api.create(CUSTOMRESOURCEDEFINITIONS, wanted)

        async def established() -> bool:
            found = await self.api.get(CUSTOMRESOURCEDEFINITIONS, wanted.metadata.name)
            return any(c.type == "Established" and c.status == "True" for c in found.status.conditions)

        await eventually(established, "the pools are served")

    async def put_pool(self, name: str, *addresses: str, group: str = GROUP, **spec: Any) -> None:
        """Makes or changes a pool."""
        resource = RESOURCES[group]
        namespace = "default" if resource.namespaced else ""
        spec = {"addresses": list(addresses), **spec}
        try:
            await self.api.patch(resource, name, namespace, {"spec": spec})
        except StatusError as error:
            if error.code != 404:
                raise
            made = resource.type(metadata=ObjectMeta(name=name, namespace=namespace), spec=spec)
            await self.api.create(resource, made)

    async def pool(self, name: str, group: str = GROUP) -> IPAddressPool:
        resource = RESOURCES[group]
        found: IPAddressPool = await self.api.get(resource, name, "default" if resource.namespaced else "")
        return found

    async def make(
        self,
        name: str,
        annotations: dict[str, str] | None = None,
        *,
        labels: dict[str, str] = {},
        **spec: Any,
    ) -> Service:
        return await self.api.create(
            SERVICES,
            Service(
                metadata=ObjectMeta(
                    name=name, namespace="default", annotations=annotations or {}, labels=labels
                ),
                spec=ServiceSpec(
                    **{
                        "type": "LoadBalancer",
                        "ports": (ServicePort(port=80, protocol="TCP"),),
                        "selector": {"app": name},
                        **spec,
                    }
                ),
            ),
        )

    async def now(self, name: str) -> Service:
        return await self.api.get(SERVICES, name, "default")

    async def addresses(self, name: str) -> list[str]:
        return [each.ip for each in (await self.now(name)).status.loadBalancer.ingress]

    async def has(self, name: str, *expected: str) -> None:
        async def so() -> bool:
            return await self.addresses(name) == list(expected)

        await eventually(so, f"{name} has {expected}")

    async def says(self, name: str, status: str, reason: str, message: str = "") -> None:
        async def so() -> bool:
            conditions = (await self.now(name)).status.conditions
            ours = [c for c in conditions if c.type == ALLOCATED]
            return [(c.status, c.reason) for c in ours] == [(status, reason)] and message in ours[0].message

        await eventually(so, f"{name} says {status} {reason} {message}")

    async def gone(self, name: str) -> None:
        async def so() -> bool:
            try:
                await self.now(name)
            except StatusError as error:
                return error.code == 404
            return False

        await eventually(so, f"{name} is gone")

    async def pool_says(self, name: str, reason: str, message: str = "") -> None:
        async def so() -> bool:
            status = (await self.pool(name)).status or {}
            conditions = status.get("conditions", [])
            return [c["reason"] for c in conditions] == [reason] and message in conditions[0]["message"]

        await eventually(so, f"the pool {name} says {reason} {message}")

    async def pool_counts(self, name: str, *expected: int, group: str = GROUP) -> None:
        fields = ("assignedIPv4", "availableIPv4", "assignedIPv6", "availableIPv6")

        async def so() -> bool:
            status = (await self.pool(name, group)).status or {}
            return [status.get(field) for field in fields[: len(expected)]] == list(expected)

        await eventually(so, f"the pool {name} counts {expected}")

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of what was told about a Service or a pool, each as often as it was told."""
        found = []
        for namespace in ("default",):
            for each in (await self.api.list(EVENTS, namespace)).items:
                if each.involvedObject.name == name:
                    found += [(each.reason, each.message)] * (each.count or 1)
        return found

    async def told_of(self, *names: str) -> None:
        """Events are written in their order: all that were told before are there, too."""

        async def so() -> bool:
            return all([await self.events(name) for name in names])

        await eventually(so, f"Events tell of {names}")

    async def told(self, name: str, message: str) -> None:
        async def so() -> bool:
            return message in [text for _, text in await self.events(name)]

        await eventually(so, f"an Event says {message}")


def scenario(test: Callable[[Cluster], Awaitable[None]], *pools: str, **config: Any) -> None:
    """Runs a test with an API server and the controller, which has these pools."""

    async def run() -> None:
        with TemporaryDirectory(prefix="fairlead-test-") as folder:
            directory = Path(folder)
            async with api_server(directory, others=USER) as admin:
                path = directory / "kubeconfig"
                kubeconfig.write(path, admin.server, admin.authority, TOKEN)
                settings = LoadBalancerConfig(tuple(map(parse_pool, pools)), **config)
                async with Api(admin) as api, Api(replace(admin, token="limited")) as limited:
                    cluster = Cluster(api, limited, settings, path, admin.authority)
                    await cluster.start()
                    try:
                        await test(cluster)
                    finally:
                        await cluster.stop()

    uvloop.run(run())
