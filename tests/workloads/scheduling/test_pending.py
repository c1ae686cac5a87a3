"""The queue of pods without a node, on a clock of the test's own."""

from __future__ import annotations

from fairlead.workloads.scheduling.pending import FIRST_DELAY, LONGEST_DELAY, LONGEST_WAIT, Pending
from fairlead.workloads.scheduling.profile import profile
from tests.workloads.scheduling.makers import pod

FIT = frozenset(("NodeResourcesFit",))
AFFINITY = frozenset(("NodeAffinity",))


def popped(pending: Pending, now: float) -> str:
    entry = pending.pop(now)
    return entry.profile.key.partition("/")[2] if entry is not None else ""


def test_the_highest_priority_is_first_and_of_equals_the_oldest() -> None:
    pending = Pending()
    for at, (name, priority) in enumerate((("a", 0), ("b", 10), ("c", 10), ("d", -5), ("e", 0))):
        pending.add(profile(pod(name, priority=priority)), float(at))
    assert [popped(pending, 9.0) for _ in range(6)] == ["b", "c", "a", "e", "d", ""]


def test_a_parked_pod_waits_until_something_that_it_lacks_changes() -> None:
    pending = Pending()
    pending.add(profile(pod("a")), 0.0)
    assert popped(pending, 0.0) == "a"
    pending.park("default/a", FIT, 0.0)
    assert popped(pending, 50.0) == ""
    pending.wake(lambda entry: True, AFFINITY)
    assert popped(pending, 50.0) == "", "what refused it has not changed"
    pending.wake(lambda entry: False, FIT)
    assert popped(pending, 50.0) == "", "the change does not help it"
    pending.wake(lambda entry: True, FIT)
    assert popped(pending, 50.0) == "a"


def test_back_off_lets_others_go_first_but_nobody_waits_for_nothing() -> None:
    pending = Pending()
    pending.add(profile(pod("hopeless", priority=9)), 0.0)
    popped(pending, 0.0)
    pending.park("default/hopeless", FIT, 0.0)
    pending.wake(lambda entry: True)
    pending.add(profile(pod("new")), 0.1)
    assert popped(pending, 0.1) == "new", "the other is in its back-off"
    assert popped(pending, 0.1) == "hopeless", "there is nothing else to do"
    pending.park("default/hopeless", FIT, 0.1)
    pending.wake(lambda entry: True)
    pending.add(profile(pod("newer")), 0.2)
    assert popped(pending, 0.1 + 2 * FIRST_DELAY) == "hopeless", "its second back-off is over"


def test_the_back_off_doubles_up_to_a_limit_and_is_waited_for_after_failures() -> None:
    pending = Pending()
    pending.add(profile(pod("a")), 0.0)
    now, delays = 0.0, []
    for _ in range(6):
        assert popped(pending, now) == "a"
        pending.fail("default/a", now)
        due = pending.due()
        assert due is not None
        assert popped(pending, due - 0.01) == ""
        delays.append(due - now)
        now = due
    assert delays == [1.0, 2.0, 4.0, 8.0, LONGEST_DELAY, LONGEST_DELAY]


def test_a_pod_that_changed_or_came_back_is_tried_at_once() -> None:
    pending = Pending()
    pending.add(profile(pod("a")), 0.0)
    popped(pending, 0.0)
    pending.park("default/a", FIT, 0.0)
    pending.add(profile(pod("a", cpu="1")), 0.1)
    entry = pending.pop(0.1)
    assert entry is not None
    assert entry.profile.requests == {"cpu": 1000}
    assert entry.attempts == 1, "it has not become another pod"
    pending.add(profile(pod("a")), 0.2)
    pending.park("default/a", FIT, 0.2)
    assert popped(pending, 0.3) == "a", "the change came while it was being tried"
    pending.remove("default/a")
    pending.park("default/a", FIT, 0.4)
    pending.fail("default/a", 0.4)
    assert len(pending) == 0
    assert popped(pending, 99.0) == ""


def test_nobody_is_parked_for_ever() -> None:
    pending = Pending()
    pending.add(profile(pod("a")), 0.0)
    popped(pending, 0.0)
    pending.park("default/a", FIT, 0.0)
    pending.wake_old(LONGEST_WAIT - 1)
    assert popped(pending, LONGEST_WAIT - 1) == ""
    pending.wake_old(LONGEST_WAIT)
    assert popped(pending, LONGEST_WAIT) == "a"


def test_what_could_not_be_written_is_found_out_again_later() -> None:
    pending = Pending()
    pending.add(profile(pod("a")), 0.0)
    popped(pending, 0.0)
    pending.park("default/a", FIT, 0.0)
    pending.fail_parked("default/a", 0.0)
    assert popped(pending, 0.5) == ""
    assert popped(pending, 1.0) == "a"


def test_each_queue_says_how_many_wait_in_it() -> None:
    pending = Pending()
    for name in ("a", "b", "c", "d"):
        pending.add(profile(pod(name)), 0.0)
    assert pending.counts(0.0) == {"active": 4, "backoff": 0, "unschedulable": 0}
    assert [popped(pending, 0.0) for _ in range(3)] == ["a", "b", "c"]
    assert pending.counts(0.0) == {"active": 1, "backoff": 0, "unschedulable": 0}, "three are being tried"
    pending.park("default/a", FIT, 0.0)
    pending.park("default/b", AFFINITY, 0.0)
    pending.fail("default/c", 0.0)
    assert pending.counts(0.5) == {"active": 1, "backoff": 1, "unschedulable": 2}
    pending.wake(lambda entry: True, FIT)
    assert pending.counts(0.5) == {"active": 1, "backoff": 2, "unschedulable": 1}
    assert pending.counts(FIRST_DELAY) == {"active": 3, "backoff": 0, "unschedulable": 1}
    pending.remove("default/b")
    pending.remove("default/c")
    assert pending.counts(0.5) == {"active": 1, "backoff": 1, "unschedulable": 0}
