"""Events are removed an hour after they were last written."""

from __future__ import annotations

from pathlib import Path

import uvloop

from fairlead.apiserver.expiry import Expiry
from fairlead.apiserver.kinds import EVENTS
from fairlead.store import Change
from fairlead.store.sqlite import SQLiteStore


def test_an_event_goes_an_hour_after_it_was_last_written(tmp_path: Path) -> None:
    old, again, other = EVENTS.key("default", "old"), EVENTS.key("default", "again"), "/pods/default/old"

    async def main() -> None:
        async with await SQLiteStore.open(tmp_path / "store.db") as store:
            expiry = Expiry(store)

            async def there(now: float) -> list[str]:
                await expiry.step(now)
                return [entry.key for entry in (await store.range("/")).entries]

            await store.commit([], [Change(old, b"1"), Change(again, b"1"), Change(other, b"1")])
            assert await there(0) == sorted([old, again, other])
            await store.commit([], [Change(again, b"2")])
            assert await there(60) == sorted([old, again, other])
            assert await there(3599) == sorted([old, again, other])
            assert await there(3600) == sorted([again, other])
            assert await there(3660) == [other]

    uvloop.run(main())
