"""Events that are told faster than the server takes them."""

from __future__ import annotations

from fairlead.client.api import Api
from fairlead.client.events import Recorder
from fairlead.objects.core_v1 import ObjectReference
from fairlead.objects.resources import EVENTS
from tests.client.cluster import with_server


def test_as_many_wait_as_may_and_are_written_in_order_and_later_ones_are_dropped() -> None:
    async def told(api: Api) -> None:
        recorder = Recorder(api, "test", waiting=10)
        for number in range(15):
            about = ObjectReference(kind="Pod", namespace="default", name=f"p{number:02}", uid=str(number))
            recorder.event(about, "Normal", "Told", f"number {number}")
        await recorder.close()
        found = (await api.list(EVENTS, "default")).items
        ordered = sorted(found, key=lambda event: int(event.metadata.resourceVersion))
        assert [event.message for event in ordered] == [f"number {number}" for number in range(10)]
        assert {event.source.component for event in found} == {"test"}
        times = [int(event.metadata.name.rpartition(".")[2], 16) for event in ordered]
        assert times == sorted(times), "they bear the time at which they were told"

    with_server(told)
