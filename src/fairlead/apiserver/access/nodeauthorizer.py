"""What the agent of a node may do: see to its own Node, its Lease and its pods, and read what these need.

A node is a user named system:node:NAME in the group system:nodes. What it writes is judged by the content too, see
`noderestriction`. Upstream: plugin/pkg/auth/authorizer/node/node_authorizer.go, pkg/auth/nodeidentifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fairlead.apiserver.access.grants import Verdict
from fairlead.apiserver.access.podreferences import PodReferences
from fairlead.apiserver.access.rules import Attributes, Rules, allows, quote
from fairlead.apiserver.access.users import NODES, User
from fairlead.objects.rbac_v1 import PolicyRule

PREFIX = "system:node:"
LEASES = "kube-node-lease"
"""The namespace of the Leases by which nodes say that they live."""

READ = ("get", "list", "watch")
ALLOWED = Verdict(True)
UNKNOWN = Verdict(False)


def node_of(user: User) -> str | None:
    """The name of the node that the user is, "" for a node without a name, None for everybody else."""
    if not user.name.startswith(PREFIX) or NODES not in user.groups:
        return None
    return user.name[len(PREFIX) :]


class NodeAuthorizer:
    """Decides for nodes; nobody else concerns it. `rules` are those that all nodes have alike."""

    def __init__(self, references: PodReferences, rules: Sequence[PolicyRule]) -> None:
        self._references = references
        self._rules = rules
        self._subdivided: dict[tuple[str, str], Callable[[str, Attributes], Verdict]] = {
            ("", "secrets"): self._read,
            ("", "configmaps"): self._read,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): _lease,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }

    def verdict(self, user: User, wanted: Attributes) -> Verdict:
        """Whether the node may do this. 0.1 us for those who are no node."""
        node = node_of(user)
        if node is None:
            return UNKNOWN
        if not node:
            return _no(f"unknown node for user {quote(user.name)}")
        judge = self._subdivided.get((wanted.group, wanted.resource))
        if judge is not None:
            return judge(node, wanted)
        return ALLOWED if any(allows(rule, wanted) for rule in self._rules) else UNKNOWN

    def rules_for(self, user: User, namespace: str) -> Rules:
        """Nothing, and that this is not all."""
        if node_of(user) is None:
            return Rules()
        return Rules(problems=("node authorizer does not support user rule resolution",), incomplete=True)

    def _bound(self, node: str, wanted: Attributes) -> Verdict:
        if not wanted.name:
            return _no("No Object name found")
        if self._references.bound(node, (wanted.resource, wanted.namespace, wanted.name)):
            return ALLOWED
        return _no(f"no relationship found between node '{node}' and this object")

    def _read(self, node: str, wanted: Attributes) -> Verdict:
        if wanted.verb not in READ:
            return _no("can only read resources of this type")
        if wanted.subresource:
            return _no("cannot read subresource")
        if not wanted.namespace:
            return _no("can only read namespaced object of this type")
        return self._bound(node, wanted)

    def _get(self, node: str, wanted: Attributes) -> Verdict:
        if wanted.verb != "get":
            return _no("can only get individual resources of this type")
        if wanted.subresource:
            return _no("cannot get subresource")
        return self._bound(node, wanted)

    def _claim(self, node: str, wanted: Attributes) -> Verdict:
        if wanted.subresource != "status":
            return self._get(node, wanted)
        if wanted.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._bound(node, wanted)

    def _account(self, node: str, wanted: Attributes) -> Verdict:
        if wanted.verb == "get" and not wanted.subresource:
            return self._bound(node, wanted)
        if wanted.verb != "create" or not wanted.name:
            return _no("can only create tokens for individual service accounts")
        if wanted.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._bound(node, wanted)

    def _pod(self, node: str, wanted: Attributes) -> Verdict:
        match wanted.subresource, wanted.verb:
            case "", "get":
                return self._bound(node, wanted)
            case "", "list" | "watch":
                if wanted.selector.exact("spec.nodeName") == node:
                    return ALLOWED
                if wanted.name:
                    return self._bound(node, wanted)
                return _no("can only list/watch pods with spec.nodeName field selector")
            case ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create"):
                return ALLOWED
        return UNKNOWN


def _lease(node: str, wanted: Attributes) -> Verdict:
    if wanted.verb not in ("get", "create", "update", "patch", "delete"):
        return _no("can only get, create, update, patch, or delete a node lease")
    if wanted.namespace != LEASES:
        return _no(f"can only access leases in the {quote(LEASES)} system namespace")
    if wanted.verb != "create" and wanted.name != node:
        return _no("can only access node lease with the same name as the requesting node")
    return ALLOWED


def _node(node: str, wanted: Attributes) -> Verdict:
    match wanted.subresource, wanted.verb:
        case ("", "create" | "update" | "patch") | ("status", "update" | "patch"):
            return ALLOWED
        case "", "get" | "list" | "watch":
            if wanted.name == node:
                return ALLOWED
            if not wanted.name:
                return _no(f"node '{node}' cannot read all nodes, only its own Node object")
            return _no(f"node '{node}' cannot read '{wanted.name}', only its own Node object")
    return UNKNOWN


def _no(why: str) -> Verdict:
    return Verdict(False, why)
