"""The rights of each component of Fairlead: what it needs for its work, and what it has no business with.

That they do their work with these rights is shown by the tests of the lab, where every component is known by a user of
its own and none is ever refused.
"""

from __future__ import annotations

import pytest

from fairlead.apiserver.access.bootstrappolicy import BINDINGS, NODE_RULES, ROLES
from fairlead.apiserver.access.grants import Grants
from fairlead.apiserver.access.nodeauthorizer import NodeAuthorizer
from fairlead.apiserver.access.podreferences import PodReferences
from fairlead.apiserver.access.users import User, account_groups, account_name, authenticated
from fairlead.lab.credentials import users
from fairlead.lab.topology import plan_nodes
from tests.apiserver.access.test_nodes import wish


def named(name: str) -> User:
    """A component of a lab, as its certificate says it."""
    user, groups = users(plan_nodes(1, ()))[name]
    return authenticated(User(user, groups=groups))


COMPONENTS = {
    "endpoints": named("controllers"),
    "endpoints in a pod": authenticated(
        User(account_name("kube-system", "fairlead-endpoints"), groups=account_groups("kube-system"))
    ),
    "scheduler": named("scheduler"),
    "workloads": named("workloads"),
    "proxy": named("proxy"),
    "dns": authenticated(
        User(account_name("kube-system", "fairlead-dns"), groups=account_groups("kube-system"))
    ),
    "node": named("node1"),
    "any pod": authenticated(User(account_name("default", "default"), groups=account_groups("default"))),
}

SLICES, LEASES = "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"
ENDPOINTS = (
    f"watch services|watch pods|watch nodes|watch endpoints|watch {SLICES}|create endpoints x/a|update endpoints x/a|"
    f"delete endpoints x/a|create {SLICES} x/a|update {SLICES} x/a|delete {SLICES} x/a|create events x/|"
    f"create {LEASES} kube-system/|update {LEASES} kube-system/fairlead-endpoints",
    f"update services x/a|update services/status x/a|delete pods x/a|list secrets x/|get configmaps x/a|patch nodes a|"
    f"update {LEASES} kube-system/other|delete {LEASES} kube-system/fairlead-endpoints",
)
RIGHTS: dict[str, tuple[str, str]] = {
    "endpoints": ENDPOINTS,
    "endpoints in a pod": ENDPOINTS,
    "scheduler": (
        "watch pods|watch nodes|create pods/binding x/a|create bindings x/|patch pods/status x/a|create events x/|"
        f"create {LEASES} kube-system/|update {LEASES} kube-system/kube-scheduler",
        "create pods x/|update pods x/a|patch nodes a|list secrets x/|list configmaps x/|"
        "create serviceaccounts/token x/a",
    ),
    "workloads": (
        "watch pods|create pods x/|delete pods x/a|patch pods x/a|watch replicasets.apps|"
        "update replicasets.apps/status x/a|"
        "create replicasets.apps x/|delete replicasets.apps x/a|update deployments.apps x/a|"
        "update deployments.apps/status x/a|update jobs.batch/status x/a|delete jobs.batch x/a|"
        f"update replicationcontrollers/status x/a|create events x/|create {LEASES} kube-system/|"
        f"update {LEASES} kube-system/fairlead-workloads",
        "create deployments.apps x/|delete deployments.apps x/a|list secrets x/|get configmaps x/a|"
        "create pods/exec x/a|"
        f"update services x/a|update {LEASES} kube-system/fairlead-endpoints|create serviceaccounts/token x/a",
    ),
    "proxy": (
        f"watch services|watch {SLICES}|watch endpoints|get nodes a|watch nodes|create events x/",
        f"list pods|list secrets x/|update services/status x/a|update {SLICES} x/a|patch nodes a",
    ),
    "dns": (
        f"watch services|watch namespaces|watch {SLICES}",
        f"watch pods|get services x/a|watch endpoints|list secrets x/|watch nodes|create events x/|update {SLICES} x/a",
    ),
    "node": (
        f"create nodes|patch nodes node1|patch nodes/status node1|get nodes node1|create {LEASES} kube-node-lease/|"
        f"patch {LEASES} kube-node-lease/node1|patch pods/status x/a|delete pods x/a|create events x/",
        f"list pods|list nodes|get nodes node2|get secrets x/a|get configmaps x/a|create serviceaccounts/token x/a|"
        f"delete nodes node1|patch {LEASES} kube-node-lease/node2|update services x/a|list {SLICES}",
    ),
    "any pod": ("", "list pods default/|get secrets default/a|list services|get nodes a|list namespaces"),
}


@pytest.fixture(scope="module")
def grants() -> Grants:
    made = Grants()
    for role in ROLES:
        rules = role.rules
        made.put_role(("", role.metadata.name), rules)
    for binding in BINDINGS:
        made.put_binding(("", binding.metadata.name), binding.roleRef, binding.subjects)
    return made


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_may_do_its_work_and_no_more(grants: Grants, name: str) -> None:
    user, nodes = COMPONENTS[name], NodeAuthorizer(PodReferences(), NODE_RULES)
    for wishes, expected in zip(RIGHTS[name], (True, False), strict=True):
        for text in filter(None, wishes.split("|")):
            wanted = wish(text)
            allowed = grants.verdict(user, wanted).allowed or nodes.verdict(user, wanted).allowed
            assert allowed is expected, text


@pytest.mark.parametrize("name", COMPONENTS)
def test_no_component_can_give_itself_more(grants: Grants, name: str) -> None:
    user, nodes = COMPONENTS[name], NodeAuthorizer(PodReferences(), NODE_RULES)
    group = "rbac.authorization.k8s.io"
    for text in (
        *(f"{verb} {kind}.{group} a" for verb in ("create", "update", "patch", "bind", "escalate")
          for kind in ("clusterroles", "clusterrolebindings")),
        *(f"create {kind}.{group} kube-system/a" for kind in ("roles", "rolebindings")),
        "impersonate users a",
        "impersonate groups system:masters",
        "impersonate serviceaccounts kube-system/a",
        "create serviceaccounts/token kube-system/a",
        "get secrets kube-system/a",
        "list secrets",
        "create certificatesigningrequests.certificates.k8s.io/approval a",
    ):  # fmt: skip
        wanted = wish(text)
        assert not grants.verdict(user, wanted).allowed, text
        assert not nodes.verdict(user, wanted).allowed, text
