"""What containers get from the API besides their pods when they start: Services, ConfigMaps, Secrets.

It is asked for at each start, so that a container has what was written before it. What was answered is remembered, for
the time in which there is no answer: a container that ends then is to be restarted. The kubelet has caches that it
keeps true by watching (pkg/kubelet/util/manager); those may be behind, and cost a watch for each object.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fairlead.client.api import Api
from fairlead.node import environment, servicelinks
from fairlead.node.containers import containers_of
from fairlead.node.environment import Reference
from fairlead.objects.core_v1 import ConfigMap, Pod, Secret
from fairlead.objects.resources import SERVICES, Resource
from fairlead.objects.status import StatusError

PATIENCE = 5.0
"""Seconds that the API may take to answer before what it said last is taken."""

REMEMBERED = 1024
"""Answers that are kept; those that were asked for longest ago go first."""

Key = tuple[str, str, str]
"""Plural, namespace and name; a collection has no name."""

Variables = Mapping[str, str]


class Inputs:
    """A node's. Raises StatusError, or OSError where the API cannot be reached and has never answered."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._said: OrderedDict[Key, Variables | None] = OrderedDict()

    async def service_links(self, pod: Pod) -> Variables:
        """The variables of the Services of the pod's namespace: one list."""
        if pod.spec.enableServiceLinks is False:
            return {}
        namespace = pod.metadata.namespace

        async def ask() -> Variables:
            return servicelinks.variables((await self._api.list(SERVICES, namespace)).items)

        return await self._answer((SERVICES.plural, namespace, ""), ask) or {}

    async def config(self, reference: Reference, namespace: str) -> Variables | None:
        """The values of a ConfigMap or Secret; None if there is none."""
        resource, name = reference

        async def ask() -> Variables | None:
            try:
                return environment.contents(await self._get(resource, name, namespace))
            except StatusError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
                return None

        return await self._answer((resource.plural, namespace, name), ask)

    async def learn(self, pods: Iterable[Pod]) -> None:
        """Asks for what running pods would need for a restart, as far as it is not known; the rest fails later."""
        for pod in pods:
            namespace = pod.metadata.namespace
            wanted = {one for container in containers_of(pod) for one in environment.references(container)}
            try:
                if (SERVICES.plural, namespace, "") not in self._said:
                    await self.service_links(pod)
                for reference in wanted:
                    if (reference[0].plural, namespace, reference[1]) not in self._said:
                        await self.config(reference, namespace)
            except (StatusError, OSError):
                continue

    async def _get(self, resource: Resource[Any], name: str, namespace: str) -> ConfigMap | Secret:
        found: ConfigMap | Secret = await self._api.get(resource, name, namespace)
        return found

    async def _answer(self, key: Key, ask: Callable[[], Awaitable[Variables | None]]) -> Variables | None:
        known = key in self._said
        try:
            async with asyncio.timeout(PATIENCE if known else None):
                answer = await ask()
        except OSError:
            if not known:
                raise
            return self._said[key]
        except StatusError as error:
            if not known or error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            return self._said[key]
        self._said[key] = answer
        self._said.move_to_end(key)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        return answer
