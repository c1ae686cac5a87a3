"""The ServiceAccount of a new pod: it has to be there, and gives the pod what it pulls its images with.

Upstream: plugin/pkg/admission/serviceaccount, without the volume of the token (see docs/access.md).
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.apiserver.deletion import forbidden
from fairlead.apiserver.kinds import PODS, SERVICEACCOUNTS
from fairlead.objects.codec import decoder
from fairlead.objects.core_v1 import Pod, ServiceAccount
from fairlead.store import Store

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a pod that is the picture of one which its node has from a file: it has no account."""


async def with_account(store: Store, pod: Pod) -> Pod:
    """The pod with the secrets of its account, where it names none. Raises 403 without the account. One look-up."""
    meta, name = pod.metadata, pod.spec.serviceAccountName
    if MIRROR in meta.annotations:
        return pod
    entry = await store.get(SERVICEACCOUNTS.key(meta.namespace, name))
    if entry is None:
        why = f'error looking up service account {meta.namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(PODS, meta.name, why)
    if pod.spec.imagePullSecrets or b'"imagePullSecrets"' not in entry.value:
        return pod
    account = decoder(ServiceAccount).decode(entry.value)
    return replace(pod, spec=replace(pod.spec, imagePullSecrets=account.imagePullSecrets))
