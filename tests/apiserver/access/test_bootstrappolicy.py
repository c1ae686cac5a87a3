"""The default roles beside those of Kubernetes (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata)."""

from __future__ import annotations

import pytest

from fairlead.apiserver.access.bootstrappolicy import BINDINGS, ROLES
from fairlead.objects.rbac_v1 import ClusterRole

KUBERNETES = {
    "admin": 0,
    "cluster-admin": 2,
    "edit": 0,
    "system:aggregate-to-admin": 2,
    "system:aggregate-to-edit": 15,
    "system:aggregate-to-view": 12,
    "system:auth-delegator": 2,
    "system:basic-user": 2,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": 1,
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": 1,
    "system:certificates.k8s.io:kube-apiserver-client-approver": 1,
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": 1,
    "system:certificates.k8s.io:kubelet-serving-approver": 1,
    "system:certificates.k8s.io:legacy-unknown-approver": 1,
    "system:discovery": 1,
    "system:heapster": 2,
    "system:kube-aggregator": 1,
    "system:kube-controller-manager": 11,
    "system:kube-dns": 1,
    "system:kube-scheduler": 26,
    "system:kubelet-api-admin": 4,
    "system:monitoring": 2,
    "system:node": 25,
    "system:node-bootstrapper": 1,
    "system:node-problem-detector": 3,
    "system:node-proxier": 5,
    "system:persistent-volume-provisioner": 5,
    "system:public-info-viewer": 1,
    "system:service-account-issuer-discovery": 1,
    "system:volume-scheduler": 3,
    "view": 0,
}
"""All cluster roles of cluster-roles.yaml, with the number of their rules."""


def theirs(name: str) -> bool:
    """Whether it is a role of those files: none of a controller, and none that is added."""
    return not name.startswith(("system:controller:", "fairlead:")) and name != "system:coredns"


BOUND = {
    "cluster-admin": ["Group system:masters"],
    "system:basic-user": ["Group system:authenticated"],
    "system:discovery": ["Group system:authenticated"],
    "system:kube-controller-manager": ["User system:kube-controller-manager"],
    "system:kube-dns": ["ServiceAccount kube-system/kube-dns"],
    "system:kube-scheduler": ["User system:kube-scheduler"],
    "system:monitoring": ["Group system:monitoring"],
    "system:node": [],
    "system:node-proxier": ["User system:kube-proxy"],
    "system:public-info-viewer": ["Group system:authenticated", "Group system:unauthenticated"],
    "system:service-account-issuer-discovery": ["Group system:serviceaccounts"],
    "system:volume-scheduler": ["User system:kube-scheduler"],
}
"""All of cluster-role-bindings.yaml."""

LABELLED = {
    "edit": "admin",
    "view": "edit",
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}

RULES = """system:aggregate-to-edit create delete deletecollection patch update core,events.k8s.io events
system:aggregate-to-edit create core pods/eviction
system:aggregate-to-edit create core serviceaccounts/token
system:aggregate-to-edit impersonate core serviceaccounts
system:aggregate-to-edit create delete deletecollection get list patch update watch coordination.k8s.io leases
system:aggregate-to-view get list watch core,events.k8s.io events
system:aggregate-to-view get list watch discovery.k8s.io endpointslices
system:monitoring get core nodes/metrics
system:node get core serviceaccounts
system:node create patch update core,events.k8s.io events
system:node-proxier list watch discovery.k8s.io endpointslices
system:node-proxier list watch networking.k8s.io servicecidrs
system:node-proxier get list watch core nodes
system:kube-scheduler update core pods/finalizers
system:kube-controller-manager list watch * *
system:kube-dns list watch core endpoints,services
system:controller:endpoint-controller create core endpoints/restricted
system:controller:endpointslice-controller create delete get list update watch discovery.k8s.io endpointslices
system:controller:endpointslicemirroring-controller update core endpoints/finalizers
system:controller:service-controller patch update core services/status
system:controller:service-cidrs-controller get list patch update watch networking.k8s.io servicecidrs
system:controller:node-controller get list watch coordination.k8s.io leases
"""
"""Rules that matter to Services, as they stand there: role, verbs, groups, resources."""

BY_NAME = {role.metadata.name: role for role in ROLES}


def test_the_roles_are_those_of_kubernetes() -> None:
    found = {name: len(role.rules) for name, role in BY_NAME.items()}
    assert {name: count for name, count in found.items() if theirs(name)} == KUBERNETES


def test_they_are_bound_as_there() -> None:
    found = {
        binding.metadata.name: [
            f"{one.kind} {one.namespace + '/' if one.namespace else ''}{one.name}" for one in binding.subjects
        ]
        for binding in BINDINGS
        if theirs(binding.metadata.name)
    }
    assert {name: sorted(subjects) for name, subjects in found.items()} == BOUND


def test_every_controller_is_bound_to_its_account() -> None:
    prefix = "system:controller:"
    found = {
        b.metadata.name: [
            (s.kind, s.namespace, s.name) for s in b.subjects if not s.name.endswith("fairlead-workloads")
        ]
        for b in BINDINGS
        if b.metadata.name.startswith(prefix)
    }
    assert found == {
        name: [("ServiceAccount", "kube-system", name.removeprefix(prefix))]
        for name in BY_NAME
        if name.startswith(prefix)
    }


def test_what_is_gathered_and_how_all_are_marked() -> None:
    for name, role in BY_NAME.items():
        metadata = role.metadata
        assert metadata.annotations == {"rbac.authorization.kubernetes.io/autoupdate": "true"}, name
        more = (
            {f"rbac.authorization.k8s.io/aggregate-to-{LABELLED[name]}": "true"} if name in LABELLED else {}
        )
        assert metadata.labels == {"kubernetes.io/bootstrapping": "rbac-defaults", **more}, name
    assert [name for name, role in BY_NAME.items() if role.aggregationRule] == ["admin", "edit", "view"]


def rules_of(role: ClusterRole) -> set[tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]]:
    return {
        (frozenset(rule.verbs), tuple(g or "core" for g in rule.apiGroups), tuple(rule.resources))
        for rule in role.rules
    }


@pytest.mark.parametrize("row", RULES.strip().splitlines())
def test_a_rule_stands_as_there(row: str) -> None:
    name, *verbs, groups, resources = row.split()
    assert (frozenset(verbs), tuple(groups.split(",")), tuple(resources.split(","))) in rules_of(
        BY_NAME[name]
    )


def test_paths_that_are_no_resources() -> None:
    def paths(name: str) -> list[str]:
        return sorted(path for rule in BY_NAME[name].rules for path in rule.nonResourceURLs)

    health = ["/healthz", "/livez", "/readyz"]
    assert paths("system:public-info-viewer") == sorted([*health, "/version", "/version/"])
    assert paths("system:discovery") == sorted(
        [*health, "/version", "/version/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
    )
    checks = [f"{path}/*" for path in health]
    assert paths("system:monitoring") == sorted([*health, *checks, "/metrics", "/metrics/slis", "/statusz"])
    keys = ["/.well-known/openid-configuration", "/openid/v1/jwks"]
    assert paths("system:service-account-issuer-discovery") == sorted([*keys, *(f"{key}/" for key in keys)])
