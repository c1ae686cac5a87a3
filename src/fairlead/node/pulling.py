"""What a container says whose image is not there: the states of a pull. Pure.

Upstream: pkg/kubelet/images (image_manager.go, types.go).
"""

from __future__ import annotations

from fairlead.node import imagenames
from fairlead.objects.core_v1 import ContainerStateWaiting

FIRST_DELAY, LONGEST_DELAY = 10.0, 300.0
"""Seconds between attempts; each time twice as long."""

SHOWN = 2.0
"""Seconds for which a failed pull is called so, before it is called a back-off."""


def waiting(image: str, policy: str, why: str, elapsed: float) -> tuple[ContainerStateWaiting, float]:
    """What a container says `elapsed` seconds after its image was first not found; and how long it says so.

    `why` says why the image map does not have it. The map is asked again after 10 s, 20 s and so on up to 5 minutes;
    each time it is an error for a moment.
    """
    wrong = imagenames.problem(image)
    if wrong:
        return ContainerStateWaiting(reason="InvalidImageName", message=wrong), LONGEST_DELAY
    if policy == "Never":
        message = f'Container image "{image}" is not present with pull policy of Never'
        return ContainerStateWaiting(reason="ErrImageNeverPull", message=message), LONGEST_DELAY
    attempt, delay = 0.0, FIRST_DELAY
    while elapsed >= attempt + delay:
        attempt += delay
        delay = min(delay * 2, LONGEST_DELAY)
    if elapsed < attempt + SHOWN:
        return ContainerStateWaiting(reason="ErrImagePull", message=why), attempt + SHOWN - elapsed
    message = f'Back-off pulling image "{image}": ErrImagePull: {why}'
    return ContainerStateWaiting(reason="ImagePullBackOff", message=message), attempt + delay - elapsed
