"""May this pod reach that one? NetworkPolicies evaluated as their specification says: what selects a pod isolates it, and then
only what a rule of one of them lets through passes. Both ends have to agree."""

from typing import Any, NamedTuple

from tests.pods_yaml.rendered import Document, containers


class Pod(NamedTuple):
    """One end of a flow."""

    namespace: str
    labels: dict[str, str]
    ports: dict[str, int]


WORLD = Pod("", {}, {})
"""Something outside the cluster: no pod, so that only a rule without a peer lets it pass."""


def pod_of(template: Document) -> Pod:
    ports = {p["name"]: p["containerPort"] for c in containers(template) for p in c.get("ports", [])}
    return Pod(template["metadata"]["namespace"], template["metadata"]["labels"], ports)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"  # the only one that the manifests use
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def _peer(rule: dict[str, Any], own: str, other: Pod) -> bool:
    here = {"kubernetes.io/metadata.name": other.namespace}
    namespaces = _selects(rule["namespaceSelector"], here) if "namespaceSelector" in rule else other.namespace == own
    return other is not WORLD and namespaces and _selects(rule.get("podSelector", {}), other.labels)


def _port(rule: dict[str, Any], target: Pod, port: int, protocol: str) -> bool:
    wanted = rule["port"]
    number = target.ports.get(wanted) if isinstance(wanted, str) else wanted
    return number == port and rule.get("protocol", "TCP") == protocol


def _passes(policies: list[Document], side: str, of: Pod, other: Pod, target: Pod, port: int, protocol: str) -> bool:
    concerning = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == of.namespace
        and side in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], of.labels)
    ]
    key, peers = ("ingress", "from") if side == "Ingress" else ("egress", "to")
    rules = [rule for spec in concerning for rule in spec.get(key, [])]
    allowed = any(
        (peers not in rule or any(_peer(peer, of.namespace, other) for peer in rule[peers]))
        and ("ports" not in rule or any(_port(p, target, port, protocol) for p in rule["ports"]))
        for rule in rules
    )
    return allowed or not concerning


def passes(policies: list[Document], source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
    """Return whether `source` reaches `port` of `target`."""
    out = source is WORLD or _passes(policies, "Egress", source, target, target, port, protocol)
    return out and (target is WORLD or _passes(policies, "Ingress", target, source, target, port, protocol))
