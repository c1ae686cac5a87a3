"""What every namespace comes with."""

from __future__ import annotations

from fairlead.apiserver.kinds import CONFIGMAPS, SERVICEACCOUNTS
from fairlead.apiserver.metadata import created
from fairlead.objects.codec import encode
from fairlead.objects.core_v1 import ConfigMap, ServiceAccount
from fairlead.objects.meta_v1 import ObjectMeta
from fairlead.store import Change

ROOT_AUTHORITY = "kube-root-ca.crt"
ROOT_AUTHORITY_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def service_account(namespace: str) -> ServiceAccount:
    """The account of pods that name none."""
    return ServiceAccount(metadata=created(ObjectMeta(name="default", namespace=namespace)))


def root_authority(namespace: str, pem: bytes) -> ConfigMap:
    """The certificate by which pods know the API server."""
    metadata = ObjectMeta(
        name=ROOT_AUTHORITY,
        namespace=namespace,
        annotations={"kubernetes.io/description": ROOT_AUTHORITY_NOTE},
    )
    return ConfigMap(metadata=created(metadata), data={"ca.crt": pem.decode()})


def furnishing(namespace: str, pem: bytes) -> list[Change]:
    """The writes that go with a new namespace."""
    return [
        Change(SERVICEACCOUNTS.key(namespace, "default"), encode(service_account(namespace))),
        Change(CONFIGMAPS.key(namespace, ROOT_AUTHORITY), encode(root_authority(namespace, pem))),
    ]
