"""The priority of a new pod: that of its PriorityClass, or of the class that is the default.

Upstream: plugin/pkg/admission/priority.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.apiserver.deletion import forbidden
from fairlead.apiserver.kinds import PODS, PRIORITYCLASSES
from fairlead.objects.codec import decoder
from fairlead.objects.core_v1 import Pod
from fairlead.objects.priorityclasses import PREEMPT, SYSTEM
from fairlead.objects.scheduling_v1 import PriorityClass
from fairlead.store import Store

_SYSTEM = {one.metadata.name: one for one in SYSTEM}
_NONE = PriorityClass(preemptionPolicy=PREEMPT)


async def with_priority(store: Store, pod: Pod) -> Pod:
    """The pod with the priority and policy of its class. Raises 403 where there is no such class, or where the pod
    says otherwise itself. One look-up.

    A pod that says 0, or PreemptLowerPriority, is taken for one that says nothing: both are filled in before.
    """
    spec = pod.spec
    found = await _class(store, spec.priorityClassName)
    if found is None:
        raise forbidden(
            PODS, pod.metadata.name, f"no PriorityClass with name {spec.priorityClassName} was found"
        )
    if spec.priority not in (0, found.value):
        raise forbidden(
            PODS,
            pod.metadata.name,
            f"the integer value of priority ({spec.priority}) must not be provided in pod spec; priority admission "
            f"controller computed {found.value} from the given PriorityClass name",
        )
    policy = found.preemptionPolicy or PREEMPT
    if spec.preemptionPolicy not in (PREEMPT, policy) and found is not _NONE:
        raise forbidden(
            PODS,
            pod.metadata.name,
            f"the string value of PreemptionPolicy ({spec.preemptionPolicy}) must not be provided in pod spec; "
            f"priority admission controller computed {policy} from the given PriorityClass name",
        )
    if found is _NONE:
        return pod
    spec = replace(spec, priority=found.value, preemptionPolicy=policy, priorityClassName=found.metadata.name)
    return replace(pod, spec=spec)


async def _class(store: Store, name: str) -> PriorityClass | None:
    """The class of that name; without a name the default, or none that is like no class at all."""
    if name in _SYSTEM:
        return _SYSTEM[name]
    if name:
        entry = await store.get(PRIORITYCLASSES.key("", name))
        return decoder(PriorityClass).decode(entry.value) if entry is not None else None
    return min(await _defaults(store), key=lambda one: one.value, default=_NONE)


async def check_only_default(store: Store, priority_class: PriorityClass) -> None:
    """Raises 403 where another class is the default. Two made at one moment may both be; the lower counts then."""
    for other in await _defaults(store):
        name = other.metadata.name
        if name != priority_class.metadata.name:
            why = f"PriorityClass {name} is already marked as default. Only one default can exist"
            raise forbidden(PRIORITYCLASSES, priority_class.metadata.name, why)


async def _defaults(store: Store) -> list[PriorityClass]:
    """The classes of pods that name none. Cost: the number of classes, which are few."""
    entries = (await store.range(PRIORITYCLASSES.prefix)).entries
    return [
        decoder(PriorityClass).decode(entry.value)
        for entry in entries
        if b'"globalDefault":true' in entry.value
    ]
