"""How pods without constraints of their own are spread: with those behind the same Services, and of one controller.

Upstream: podtopologyspread.buildDefaultConstraints, helper.DefaultSelector.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.objects.core_v1 import Service
from fairlead.workloads.scheduling.profile import Profile, spread_owner
from fairlead.workloads.scheduling.terms import Kind, Spread, default_spreads


class DefaultSpreads:
    """The Services' selectors, and what follows from them for each kind of pods.

    Cost of a question: a look-up for a kind that is known, else the Services of its namespace. A change of a Service
    forgets what is known of its namespace.
    """

    def __init__(self) -> None:
        self._selectors: dict[str, dict[str, Mapping[str, str]]] = {}
        self._known: dict[str, dict[Kind, tuple[Spread, ...]]] = {}

    def __call__(self, pod: Profile) -> tuple[Spread, ...]:
        """The constraints of a pod that has none."""
        known = self._known.setdefault(pod.namespace, {})
        found = known.get(pod.kind)
        if found is None:
            if len(known) >= KNOWN:
                known.clear()
            found = known[pod.kind] = self._work_out(pod)
        return found

    def change(self, key: str, service: Service | None) -> None:
        """The Service `namespace/name` is like this now; None: it is gone."""
        namespace = key.partition("/")[0]
        selectors = self._selectors.setdefault(namespace, {})
        selector = service.spec.selector if service is not None else {}
        if selector == selectors.get(key, {}):
            return
        if selector:
            selectors[key] = selector
        else:
            del selectors[key]
        if not selectors:
            del self._selectors[namespace]
        self._known.pop(namespace, None)

    def _work_out(self, pod: Profile) -> tuple[Spread, ...]:
        labels = pod.labels
        selected: dict[str, str] = {}
        for selector in self._selectors.get(pod.namespace, {}).values():
            if all(labels.get(name) == value for name, value in selector.items()):
                selected.update(selector)
        return default_spreads(pod.namespace, selected, spread_owner(pod.pod))


KNOWN = 4096
"""Kinds of pods of a namespace whose constraints are remembered."""
