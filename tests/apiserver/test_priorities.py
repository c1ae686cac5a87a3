"""The priority that a new pod is given."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.client.api import Api
from fairlead.objects.core_v1 import Container, Pod, PodSpec
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.objects.resources import PODS, PRIORITYCLASSES
from fairlead.objects.scheduling_v1 import PriorityClass
from fairlead.objects.status import StatusError
from tests.client.cluster import with_server


def pod(name: str, **spec: Any) -> Pod:
    container = Container(name="main", image="fairlead/echo")
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default"), spec=PodSpec(containers=(container,), **spec)
    )


def classed(name: str, value: int, **fields: Any) -> PriorityClass:
    return PriorityClass(metadata=ObjectMeta(name=name), value=value, **fields)


def test_pods_get_the_priority_of_their_class_or_of_the_default() -> None:
    async def told(api: Api) -> None:
        async def given(name: str, **spec: Any) -> tuple[str, int | None, str | None]:
            made = (await api.create(PODS, pod(name, **spec))).spec
            return made.priorityClassName, made.priority, made.preemptionPolicy

        async def refused(**spec: Any) -> str:
            with pytest.raises(StatusError) as caught:
                await api.create(PODS, pod("refused", **spec))
            assert caught.value.code == 403
            return str(caught.value)

        there = {one.metadata.name: one.value for one in (await api.list(PRIORITYCLASSES)).items}
        assert there == {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
        await api.create(PRIORITYCLASSES, classed("high", 10))
        await api.create(PRIORITYCLASSES, classed("quiet", 20, preemptionPolicy="Never"))
        assert await given("plain") == ("", 0, "PreemptLowerPriority")
        assert await given("never", preemptionPolicy="Never") == ("", 0, "Never")
        assert await given("high", priorityClassName="high") == ("high", 10, "PreemptLowerPriority")
        assert await given("again", priorityClassName="high", priority=10) == (
            "high",
            10,
            "PreemptLowerPriority",
        )
        assert await given("quiet", priorityClassName="quiet") == ("quiet", 20, "Never")
        critical = "system-node-critical"
        assert await given("node", priorityClassName=critical) == (
            critical,
            2_000_001_000,
            "PreemptLowerPriority",
        )
        assert "no PriorityClass with name lost was found" in await refused(priorityClassName="lost")
        assert "(7) must not be provided" in await refused(priority=7)
        assert "computed 10 from" in await refused(priorityClassName="high", priority=7)
        assert "PreemptionPolicy (Never)" in await refused(priorityClassName="high", preemptionPolicy="Never")
        await api.create(PRIORITYCLASSES, classed("usual", 5, globalDefault=True))
        assert await given("usual") == ("usual", 5, "PreemptLowerPriority")
        with pytest.raises(StatusError, match="PriorityClass usual is already marked as default"):
            await api.create(PRIORITYCLASSES, classed("lower", 3, globalDefault=True))
        usual = await api.get(PRIORITYCLASSES, "usual")
        await api.replace(PRIORITYCLASSES, replace(usual, description="for all"))
        with pytest.raises(StatusError, match="this is a system priority class and cannot be deleted"):
            await api.delete(PRIORITYCLASSES, critical)
        await api.delete(PRIORITYCLASSES, "usual")
        assert await given("later") == ("", 0, "PreemptLowerPriority")

    with_server(told)
