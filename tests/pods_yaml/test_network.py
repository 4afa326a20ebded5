"""Who reaches whom, by the NetworkPolicies of pods_yaml/: what the chain needs passes, and nothing of what would hurt."""

import pytest

from tests.pods_yaml.flows import WORLD, Pod, passes, pod_of
from tests.pods_yaml.rendered import everything, of_kind, templates

POLICIES = of_kind("NetworkPolicy")
PODS = {name.rpartition("/")[2]: pod_of(template) for name, template in templates(everything())}
PODS |= {
    "ingress": Pod("ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"}, {}),
    "names": Pod("kube-system", {"k8s-app": "kube-dns"}, {}),
    "stranger": Pod("elsewhere", {"app.kubernetes.io/name": "prometheus"}, {}),
    "other-tenant": PODS["user-container-demo"]._replace(
        labels=PODS["user-container-demo"].labels | {"tenant": "other"}
    ),
    "world": WORLD,
}
NEEDED = [
    ("user-container-demo", "user-gateway", 8001),
    ("user-gateway", "mysql", 3306),
    ("pod-exporter", "mysql", 3306),
    ("pod-exporter", "world", 6443),
    ("prometheus", "world", 6443),
    ("prometheus", "user-container-demo", 9810),
    ("prometheus", "user-gateway", 8111),
    ("prometheus", "pod-exporter", 9811),
    ("prometheus", "alert-bridge-web", 8100),
    ("prometheus", "alert-bridge-relay", 8101),
    ("prometheus", "alert-bridge-reconcile", 8102),
    ("prometheus", "alertmanager", 9093),
    ("prometheus", "prometheus", 9090),
    ("alertmanager", "alert-bridge-web", 8000),
    ("alertmanager", "alertmanager", 9094),
    ("alertmanager", "world", 587),
    ("alert-bridge-web", "mysql", 3306),
    ("alert-bridge-web", "alertmanager", 9093),
    ("alert-bridge-web", "prometheus", 9090),
    ("alert-bridge-relay", "mysql", 3306),
    ("alert-bridge-relay", "alertmanager", 9093),
    ("alert-bridge-relay", "world", 443),
    ("alert-bridge-relay", "world", 587),
    ("alert-bridge-reconcile", "mysql", 3306),
    ("alert-bridge-reconcile", "alertmanager", 9093),
    ("alert-bridge-reconcile", "world", 443),
    ("migrate", "mysql", 3306),
    ("grafana-grants", "mysql", 3306),
    ("grafana", "mysql", 3306),
    ("grafana", "prometheus", 9090),
    ("ingress", "alert-bridge-web", 8000),
    ("ingress", "grafana", 3000),
]
REFUSED = [
    ("user-container-demo", "user-gateway", 8111),
    ("user-container-demo", "mysql", 3306),
    ("user-container-demo", "alert-bridge-web", 8000),
    ("user-container-demo", "alertmanager", 9093),
    ("user-container-demo", "prometheus", 9090),
    ("user-container-demo", "other-tenant", 9810),
    ("user-container-demo", "world", 443),
    ("user-container-demo", "world", 6443),
    ("world", "mysql", 3306),
    ("world", "alert-bridge-web", 8000),
    ("stranger", "alert-bridge-web", 8100),
    ("stranger", "user-container-demo", 9810),
    ("grafana", "alertmanager", 9093),
    ("user-gateway", "alert-bridge-web", 8000),
    ("user-gateway", "world", 443),
    ("alert-bridge-relay", "user-container-demo", 9810),
    ("alert-bridge-relay", "world", 6443),
    ("mysql", "world", 443),
]


@pytest.mark.parametrize(("source", "target", "port"), NEEDED)
def test_what_the_chain_needs_passes(source: str, target: str, port: int) -> None:
    assert passes(POLICIES, PODS[source], PODS[target], port)


@pytest.mark.parametrize(("source", "target", "port"), REFUSED)
def test_what_nobody_needs_does_not(source: str, target: str, port: int) -> None:
    assert not passes(POLICIES, PODS[source], PODS[target], port)


@pytest.mark.parametrize(
    "name", [name for name, pod in PODS.items() if pod.namespace in ("mission-monitor", "tenants")]
)
def test_everybody_may_ask_for_names(name: str) -> None:
    assert passes(POLICIES, PODS[name], PODS["names"], 53, "UDP")
