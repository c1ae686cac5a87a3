"""The roles and bindings that every cluster starts with: upstream's, for the kinds and components that there are here.

What is left out of upstream's: the roles of controllers of volumes, certificates and autoscaling. What is added: a role
for each component of Fairlead that has no counterpart, with just what it asks for (`fairlead:...`).
Facts: plugin/pkg/auth/authorizer/rbac/bootstrappolicy; docs/reference/access-authn-authz/rbac of the documentation.
"""

from __future__ import annotations

from fairlead.apiserver.access.users import (
    AUTHENTICATED,
    MASTERS,
    SERVICE_ACCOUNTS,
    UNAUTHENTICATED,
)
from fairlead.objects.meta_v1 import LabelSelector, ObjectMeta
from fairlead.objects.rbac import GROUP
from fairlead.objects.rbac_v1 import (
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    RoleRef,
    Subject,
)

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
ALL = f"{READ} {WRITE}"

APPS, AUTHENTICATION = "apps", "authentication.k8s.io"
AUTHORIZATION, AUTOSCALING, BATCH = "authorization.k8s.io", "autoscaling", "batch"
CERTIFICATES, COORDINATION, DISCOVERY = "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io"
EVENTS, EXTENSIONS, NETWORKING = "events.k8s.io", "extensions", "networking.k8s.io"
NODE, POLICY, STORAGE = "node.k8s.io", "policy", "storage.k8s.io"


def may(verbs: str, groups: str, resources: str, names: str = "") -> PolicyRule:
    """A rule; several values are divided by spaces, and `core` is the group without a name."""
    return PolicyRule(
        verbs=tuple(verbs.split()),
        apiGroups=tuple("" if group == "core" else group for group in groups.split()),
        resources=tuple(resources.split()),
        resourceNames=tuple(names.split()),
    )


def may_get(*paths: str) -> PolicyRule:
    """A rule about paths that are no resources."""
    return PolicyRule(verbs=("get",), nonResourceURLs=paths)


def role(name: str, *rules: PolicyRule, gathers: str = "", part_of: str = "") -> ClusterRole:
    """A ClusterRole; `gathers` the rules of those that are `part_of` it."""
    labels = {**LABELS, f"{GROUP}/aggregate-to-{part_of}": "true"} if part_of else LABELS
    gathered = LabelSelector(matchLabels={f"{GROUP}/aggregate-to-{gathers}": "true"})
    return ClusterRole(
        metadata=ObjectMeta(name=name, labels=labels, annotations={AUTOUPDATE: "true"}),
        rules=rules,
        aggregationRule=AggregationRule(clusterRoleSelectors=(gathered,)) if gathers else None,
    )


def users(*names: str) -> tuple[Subject, ...]:
    """Subjects that are users."""
    return tuple(Subject(kind="User", apiGroup=GROUP, name=name) for name in names)


def groups(*names: str) -> tuple[Subject, ...]:
    """Subjects that are groups."""
    return tuple(Subject(kind="Group", apiGroup=GROUP, name=name) for name in names)


def account(name: str) -> tuple[Subject, ...]:
    """A ServiceAccount of kube-system as the subject."""
    return (Subject(kind="ServiceAccount", name=name, namespace="kube-system"),)


def bind(name: str, subjects: tuple[Subject, ...], to: str = "") -> ClusterRoleBinding:
    """A binding of the ClusterRole `to`, by default the one of the binding's own name."""
    return ClusterRoleBinding(
        metadata=ObjectMeta(name=name, labels=LABELS, annotations={AUTOUPDATE: "true"}),
        roleRef=RoleRef(apiGroup=GROUP, kind="ClusterRole", name=to or name),
        subjects=subjects,
    )


WRITE_EVENTS = may("create patch update", f"core {EVENTS}", "events")
READ_NODES = may(READ, "core", "nodes")
CHECK_ACCESS = (
    may("create", AUTHENTICATION, "tokenreviews"),
    may("create", AUTHORIZATION, "subjectaccessreviews"),
)
HEALTH = ("/healthz", "/livez", "/readyz")
VERSION = ("/version", "/version/")

_CLUSTER = (
    role(
        "cluster-admin",
        may("*", "*", "*"),
        PolicyRule(verbs=("*",), nonResourceURLs=("*",)),
    ),
    role(
        "system:discovery",
        may_get("/api", "/api/*", "/apis", "/apis/*", *HEALTH, "/openapi", "/openapi/*", *VERSION),
    ),
    role("system:public-info-viewer", may_get(*HEALTH, *VERSION)),
    role(
        "system:monitoring",
        may_get(*HEALTH, *(f"{path}/*" for path in HEALTH), "/metrics", "/metrics/slis"),
    ),
    role(
        "system:basic-user",
        may("create", AUTHORIZATION, "selfsubjectaccessreviews selfsubjectrulesreviews"),
        may("create", AUTHENTICATION, "selfsubjectreviews"),
    ),
    role("system:auth-delegator", *CHECK_ACCESS),
    role(
        "system:service-account-issuer-discovery",
        may_get("/.well-known/openid-configuration", "/openid/v1/jwks"),
    ),
    role(
        "system:heapster",
        may(READ, "core", "events namespaces nodes pods"),
        may(READ, EXTENSIONS, "deployments"),
    ),
    role("system:kube-aggregator", may(READ, "core", "endpoints services")),
)

_NAMESPACE = (
    role("admin", gathers="admin"),
    role("edit", gathers="edit", part_of="admin"),
    role("view", gathers="view", part_of="edit"),
    role(
        "system:aggregate-to-admin",
        may("create", AUTHORIZATION, "localsubjectaccessreviews"),
        may(ALL, GROUP, "rolebindings roles"),
        part_of="admin",
    ),
    role(
        "system:aggregate-to-edit",
        may(READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        may("impersonate", "core", "serviceaccounts"),
        may(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
        may("create", "core", "pods/eviction"),
        may(
            WRITE,
            "core",
            "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
            "serviceaccounts services services/proxy",
        ),
        may("create", "core", "serviceaccounts/token"),
        may(
            WRITE,
            APPS,
            "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "
            "statefulsets statefulsets/scale",
        ),
        may(WRITE, AUTOSCALING, "horizontalpodautoscalers"),
        may(WRITE, BATCH, "cronjobs jobs"),
        may(
            WRITE,
            EXTENSIONS,
            "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets "
            "replicasets/scale replicationcontrollers/scale",
        ),
        may(WRITE, POLICY, "poddisruptionbudgets"),
        may(WRITE, NETWORKING, "ingresses networkpolicies"),
        may(ALL, COORDINATION, "leases"),
        part_of="edit",
    ),
    role(
        "system:aggregate-to-view",
        may(
            READ,
            "core",
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
            "replicationcontrollers/scale serviceaccounts services services/status",
        ),
        may(
            READ,
            "core",
            "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
            "resourcequotas resourcequotas/status",
        ),
        may(READ, "core", "namespaces"),
        may(READ, DISCOVERY, "endpointslices"),
        may(
            READ,
            APPS,
            "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
            "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        ),
        may(READ, AUTOSCALING, "horizontalpodautoscalers horizontalpodautoscalers/status"),
        may(READ, BATCH, "cronjobs cronjobs/status jobs jobs/status"),
        may(
            READ,
            EXTENSIONS,
            "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses "
            "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
            "replicationcontrollers/scale",
        ),
        may(READ, POLICY, "poddisruptionbudgets poddisruptionbudgets/status"),
        may(READ, NETWORKING, "ingresses ingresses/status networkpolicies"),
        part_of="view",
    ),
)

NODE_RULES = (
    *CHECK_ACCESS,
    may("create", AUTHORIZATION, "localsubjectaccessreviews"),
    may(READ, "core", "services"),
    may(f"create {READ}", "core", "nodes"),
    may("patch update", "core", "nodes/status"),
    may("patch update", "core", "nodes"),
    may("create patch update", "core", "events"),
    may(READ, "core", "pods"),
    may("create delete", "core", "pods"),
    may("patch update", "core", "pods/status"),
    may("create", "core", "pods/eviction"),
    may(READ, "core", "configmaps secrets"),
    may("get", "core", "persistentvolumeclaims persistentvolumes"),
    may("get", "core", "endpoints"),
    may(f"create {READ}", CERTIFICATES, "certificatesigningrequests"),
    may("create delete get patch update", COORDINATION, "leases"),
    may("get", STORAGE, "volumeattachments"),
    may("get patch update", "core", "persistentvolumeclaims/status"),
    may("create", "core", "serviceaccounts/token"),
    may(READ, STORAGE, "csidrivers"),
    may("create delete get patch update", STORAGE, "csinodes"),
    may(READ, NODE, "runtimeclasses"),
)
"""What every node may do; `nodeauthorizer` decides which objects it may do it to."""

_COMPONENTS = (
    role("system:node", *NODE_RULES),
    role(
        "system:node-problem-detector",
        may("get", "core", "nodes"),
        may("patch", "core", "nodes/status"),
        WRITE_EVENTS,
    ),
    role(
        "system:kubelet-api-admin",
        READ_NODES,
        may("proxy", "core", "nodes"),
        may("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ),
    role(
        "system:node-bootstrapper",
        may(f"create {READ}", CERTIFICATES, "certificatesigningrequests"),
    ),
    role(
        "system:node-proxier",
        may("list watch", "core", "endpoints services"),
        READ_NODES,
        WRITE_EVENTS,
        may("list watch", DISCOVERY, "endpointslices"),
        may("list watch", NETWORKING, "servicecidrs"),
    ),
    role(
        "system:kube-controller-manager",
        WRITE_EVENTS,
        may("create", COORDINATION, "leases"),
        may("get update", COORDINATION, "leases", "kube-controller-manager"),
        may("create", "core", "secrets serviceaccounts"),
        may("delete", "core", "secrets"),
        may("get", "core", "configmaps namespaces secrets serviceaccounts"),
        may("update", "core", "secrets serviceaccounts"),
        *CHECK_ACCESS,
        may("list watch", "*", "*"),
        may("create", "core", "serviceaccounts/token"),
    ),
    role(
        "system:kube-scheduler",
        WRITE_EVENTS,
        may("create", COORDINATION, "leases"),
        may("get list watch update", COORDINATION, "leases", "kube-scheduler"),
        READ_NODES,
        may(f"delete {READ}", "core", "pods"),
        may("create", "core", "bindings pods/binding"),
        may("patch update", "core", "pods/status"),
        may(READ, "core", "replicationcontrollers services"),
        may(READ, f"{APPS} {EXTENSIONS}", "replicasets"),
        may(READ, APPS, "statefulsets"),
        may(READ, POLICY, "poddisruptionbudgets"),
        may(READ, "core", "persistentvolumeclaims persistentvolumes"),
        *CHECK_ACCESS,
        may(READ, STORAGE, "csidrivers csinodes csistoragecapacities"),
        may(READ, "core", "namespaces"),
    ),
    role(
        "system:volume-scheduler",
        may(f"{READ} patch update", "core", "persistentvolumes"),
        may(READ, STORAGE, "storageclasses"),
        may(f"{READ} patch update", "core", "persistentvolumeclaims"),
    ),
    role("system:kube-dns", may("list watch", "core", "endpoints services")),
    role(
        # The role that CoreDNS is deployed with, upstream by kubeadm.
        "system:coredns",
        may("list watch", "core", "endpoints namespaces pods services"),
        may("list watch", DISCOVERY, "endpointslices"),
    ),
)

_OWN = (
    role(
        "fairlead:dns",
        may("list watch", "core", "namespaces services"),
        may("list watch", DISCOVERY, "endpointslices"),
    ),
    role(
        "fairlead:endpoints",
        may("list watch", "core", "nodes pods"),
        may(READ, "core", "services"),
        may("create delete list update watch", "core", "endpoints"),
        may("create delete list update watch", DISCOVERY, "endpointslices"),
        may("create patch", "core", "events"),
        # Where several replicas elect one.
        may("create", COORDINATION, "leases"),
        may("get update", COORDINATION, "leases", "fairlead-endpoints"),
        # What kube-apiserver asks for besides: to own with blockOwnerDeletion, and to write addresses of pods.
        may("update", "core", "services/finalizers endpoints/finalizers"),
        may("create", "core", "endpoints/restricted"),
    ),
)

_CONTROLLERS: dict[str, tuple[PolicyRule, ...]] = {
    "clusterrole-aggregation-controller": (
        may("escalate get list patch update watch", GROUP, "clusterroles"),
    ),
    "cronjob-controller": (
        may(f"{READ} update", BATCH, "cronjobs"),
        may(f"create delete patch update {READ}", BATCH, "jobs"),
        may("update", BATCH, "cronjobs/status"),
        may("update", BATCH, "cronjobs/finalizers"),
        may("delete list watch", "core", "pods"),
        WRITE_EVENTS,
    ),
    "daemon-set-controller": (
        may(READ, f"{APPS} {EXTENSIONS}", "daemonsets"),
        may("update", f"{APPS} {EXTENSIONS}", "daemonsets/status"),
        may("update", f"{APPS} {EXTENSIONS}", "daemonsets/finalizers"),
        may("list watch", "core", "nodes"),
        may("create delete list patch watch", "core", "pods"),
        may("create", "core", "pods/binding"),
        may(f"create delete patch update {READ}", APPS, "controllerrevisions"),
        WRITE_EVENTS,
    ),
    "deployment-controller": (
        may(f"{READ} update", f"{APPS} {EXTENSIONS}", "deployments"),
        may("update", f"{APPS} {EXTENSIONS}", "deployments/status"),
        may("update", f"{APPS} {EXTENSIONS}", "deployments/finalizers"),
        may(f"create delete patch update {READ}", f"{APPS} {EXTENSIONS}", "replicasets"),
        may(f"{READ} update", "core", "pods"),
        WRITE_EVENTS,
    ),
    "disruption-controller": (
        may(READ, f"{APPS} {EXTENSIONS}", "deployments"),
        may(READ, f"{APPS} {EXTENSIONS}", "replicasets"),
        may(READ, "core", "replicationcontrollers"),
        may(READ, POLICY, "poddisruptionbudgets"),
        may(READ, APPS, "statefulsets"),
        may("update", POLICY, "poddisruptionbudgets/status"),
        may("patch update", "core", "pods/status"),
        may("get", "*", "*/scale"),
        WRITE_EVENTS,
    ),
    "endpoint-controller": (
        may(READ, "core", "pods services"),
        may(f"create delete update {READ}", "core", "endpoints"),
        may("create", "core", "endpoints/restricted"),
        WRITE_EVENTS,
    ),
    "endpointslice-controller": (
        may(READ, "core", "nodes pods services"),
        may("update", "core", "services/finalizers"),
        may(f"create delete update {READ}", DISCOVERY, "endpointslices"),
        WRITE_EVENTS,
    ),
    "endpointslicemirroring-controller": (
        may(READ, "core", "endpoints services"),
        may("update", "core", "services/finalizers"),
        may("update", "core", "endpoints/finalizers"),
        may(f"create delete update {READ}", DISCOVERY, "endpointslices"),
        WRITE_EVENTS,
    ),
    "generic-garbage-collector": (may(f"delete patch update {READ}", "*", "*"), WRITE_EVENTS),
    "job-controller": (
        may(f"{READ} patch update", BATCH, "jobs"),
        may("update", BATCH, "jobs/status"),
        may("update", BATCH, "jobs/finalizers"),
        may("create delete list patch watch", "core", "pods"),
        WRITE_EVENTS,
    ),
    "namespace-controller": (
        may(f"delete {READ}", "core", "namespaces"),
        may("update", "core", "namespaces/finalize namespaces/status"),
        may(f"delete deletecollection {READ}", "*", "*"),
    ),
    "node-controller": (
        may(f"delete patch update {READ}", "core", "nodes"),
        may("patch update", "core", "nodes/status"),
        may("patch update", "core", "pods/status"),
        may(f"delete {READ}", "core", "pods"),
        WRITE_EVENTS,
    ),
    "pod-garbage-collector": (
        may("delete list watch", "core", "pods"),
        READ_NODES,
        may("patch", "core", "pods/status"),
    ),
    "replicaset-controller": (
        may(f"{READ} update", f"{APPS} {EXTENSIONS}", "replicasets"),
        may("update", f"{APPS} {EXTENSIONS}", "replicasets/status"),
        may("update", f"{APPS} {EXTENSIONS}", "replicasets/finalizers"),
        may("create delete list patch watch", "core", "pods"),
        WRITE_EVENTS,
    ),
    "replication-controller": (
        may(f"{READ} update", "core", "replicationcontrollers"),
        may("update", "core", "replicationcontrollers/status"),
        may("update", "core", "replicationcontrollers/finalizers"),
        may("create delete list patch watch", "core", "pods"),
        WRITE_EVENTS,
    ),
    "root-ca-cert-publisher": (may("create update", "core", "configmaps"), WRITE_EVENTS),
    "service-account-controller": (may("create", "core", "serviceaccounts"), WRITE_EVENTS),
    "service-cidrs-controller": (
        may(f"{READ} patch update", NETWORKING, "servicecidrs"),
        may("patch update", NETWORKING, "servicecidrs/finalizers"),
        may("patch update", NETWORKING, "servicecidrs/status"),
        may(READ, NETWORKING, "ipaddresses"),
        WRITE_EVENTS,
    ),
    "service-controller": (
        may(READ, "core", "services"),
        may("patch update", "core", "services/status"),
        may("list watch", "core", "nodes"),
        WRITE_EVENTS,
    ),
    "statefulset-controller": (
        may("list watch", "core", "pods"),
        may(READ, APPS, "statefulsets"),
        may("update", APPS, "statefulsets/status"),
        may("update", APPS, "statefulsets/finalizers"),
        may("create delete get patch update", "core", "pods"),
        may(f"create delete patch update {READ}", APPS, "controllerrevisions"),
        may(f"create {READ}", "core", "persistentvolumeclaims"),
        may("delete update", "core", "persistentvolumeclaims"),
        may("update", "core", "pods/finalizers"),
        WRITE_EVENTS,
    ),
    "ttl-after-finished-controller": (may(f"delete {READ}", BATCH, "jobs"), WRITE_EVENTS),
}

ROLES: tuple[ClusterRole, ...] = (
    *_CLUSTER,
    *_NAMESPACE,
    *_COMPONENTS,
    *_OWN,
    *(role(f"system:controller:{name}", *rules) for name, rules in _CONTROLLERS.items()),
)

BINDINGS: tuple[ClusterRoleBinding, ...] = (
    bind("cluster-admin", groups(MASTERS)),
    bind("system:monitoring", groups("system:monitoring")),
    bind("system:discovery", groups(AUTHENTICATED)),
    bind("system:basic-user", groups(AUTHENTICATED)),
    bind("system:public-info-viewer", groups(AUTHENTICATED, UNAUTHENTICATED)),
    bind("system:node-proxier", users("system:kube-proxy")),
    bind("system:kube-controller-manager", users("system:kube-controller-manager")),
    bind("system:kube-dns", account("kube-dns")),
    bind("system:coredns", account("coredns")),
    bind("system:kube-scheduler", users("system:kube-scheduler")),
    bind("system:volume-scheduler", users("system:kube-scheduler")),
    bind("system:service-account-issuer-discovery", groups(SERVICE_ACCOUNTS)),
    bind("system:node", ()),  # the Node authorizer decides for nodes
    bind("fairlead:dns", account("fairlead-dns")),
    bind("fairlead:endpoints", (*account("fairlead-endpoints"), *users("system:fairlead-endpoints"))),
    *(bind(f"system:controller:{name}", account(name)) for name in _CONTROLLERS),
)
