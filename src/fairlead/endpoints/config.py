"""What can be set of the controllers, named as the flags of kube-controller-manager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.client.choice import choose

ENDPOINTS = "endpoints-controller"
SLICES = "endpointslice-controller"
MIRRORING = "endpointslice-mirroring-controller"
CONTROLLERS = (SLICES, ENDPOINTS, MIRRORING)
_ALIASES = {"endpoint": ENDPOINTS, "endpointslice": SLICES, "endpointslicemirroring": MIRRORING}
"""The names before Kubernetes 1.28, which are still taken."""

MOST_ENDPOINTS = 1000
"""In a slice; the API's own bound."""
MOST_SYNCS = 50


@dataclass(frozen=True)
class EndpointsConfig:
    """Periods are in seconds; `resync` is a safety net. Raises ValueError with a sentence for what cannot be."""

    controllers: tuple[str, ...] = CONTROLLERS
    max_endpoints_per_slice: int = 100
    mirroring_max_endpoints_per_subset: int = 1000
    concurrent_service_endpoint_syncs: int = 5
    concurrent_endpoint_syncs: int = 5
    mirroring_concurrent_service_endpoint_syncs: int = 5
    endpointslice_updates_batch_period: float = 0
    endpoint_updates_batch_period: float = 0
    mirroring_endpointslice_updates_batch_period: float = 0
    resync: float = 600

    def __post_init__(self) -> None:
        bounds = {
            "max_endpoints_per_slice": MOST_ENDPOINTS,
            "mirroring_max_endpoints_per_subset": MOST_ENDPOINTS,
            "concurrent_service_endpoint_syncs": MOST_SYNCS,
            "concurrent_endpoint_syncs": MOST_SYNCS,
            "mirroring_concurrent_service_endpoint_syncs": MOST_SYNCS,
        }
        for name, most in bounds.items():
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise ValueError(f"{name.replace('_', '-')} must be from 1 to {most}, but got {value}")


def chosen(words: Sequence[str]) -> tuple[str, ...]:
    """The controllers that `--controllers` names (see `choose`). Raises ValueError."""
    return choose(words, CONTROLLERS, _ALIASES)
