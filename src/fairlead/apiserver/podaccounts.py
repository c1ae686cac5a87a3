"""The ServiceAccount of a new pod: it has to be there, and says what the pod pulls images with, and has a token for.

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
    """The pod with what its account says, where the pod itself says nothing. Raises 403 without it. One look-up.

    Upstream an account without tokens for its pods keeps the volume of the token out of them; here the pod says it.
    """
    meta, name = pod.metadata, pod.spec.serviceAccountName
    if MIRROR in meta.annotations:
        return pod
    entry = await store.get(SERVICEACCOUNTS.key(meta.namespace, name))
    if entry is None:
        why = f'error looking up service account {meta.namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(PODS, meta.name, why)
    if b'"imagePullSecrets"' not in entry.value and b'"automountServiceAccountToken"' not in entry.value:
        return pod
    account, spec = decoder(ServiceAccount).decode(entry.value), pod.spec
    if not spec.imagePullSecrets:
        spec = replace(spec, imagePullSecrets=account.imagePullSecrets)
    if spec.automountServiceAccountToken is None and account.automountServiceAccountToken is False:
        spec = replace(spec, automountServiceAccountToken=False)
    return replace(pod, spec=spec)
