"""Kinds that are stored and that nothing of ours acts upon: who writes one is warned.

A controller of somebody else's may act upon them, so they are not refused.
"""

from __future__ import annotations

from typing import Any

from fairlead.objects import (
    admissionregistration_v1,
    autoscaling_v1,
    autoscaling_v2,
    core_v1,
    networking_v1,
)

_WEBHOOKS = "Fairlead calls no admission webhooks: everything is admitted as it is"
_AUTOSCALERS = "Fairlead scales nothing by HorizontalPodAutoscalers: that takes a controller of another's"

SENTENCES: dict[type[Any], str] = {
    admissionregistration_v1.MutatingWebhookConfiguration: _WEBHOOKS,
    admissionregistration_v1.ValidatingWebhookConfiguration: _WEBHOOKS,
    networking_v1.NetworkPolicy: "Fairlead does not enforce NetworkPolicies: all traffic passes",
    core_v1.ResourceQuota: "Fairlead does not enforce ResourceQuotas: everything is admitted",
    core_v1.LimitRange: "Fairlead does not apply LimitRanges: neither their defaults nor their limits",
    autoscaling_v1.HorizontalPodAutoscaler: _AUTOSCALERS,
    autoscaling_v2.HorizontalPodAutoscaler: _AUTOSCALERS,
}


def warnings(obj: Any) -> list[str]:
    """What is said to who writes an object of these kinds."""
    sentence = SENTENCES.get(type(obj))
    return [sentence] if sentence else []
