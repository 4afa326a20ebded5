"""The pod exporter's rights in the cluster are the requests that it makes, and none beside: both ways."""

from pathlib import Path
from typing import Any

import pytest

from tests.exporters.route_management.pods.apiserver import ApiServer
from tests.exporters.route_management.pods.cast import pod
from tests.exporters.route_management.pods.conftest import until
from tests.exporters.route_management.pods.test_process import exporter, migrate
from tests.pods_yaml.rendered import everything, of_kind, templates

VERBS = {"list": ("", "pods", "list"), "watch": ("", "pods", "watch"), "usage": ("metrics.k8s.io", "pods", "list")}
"""What the API server asks a right for: a GET of a collection is `list`, with `watch=true` it is `watch`."""
COMMAND = next(t for name, t in templates(everything()) if name.endswith("/pod-exporter"))["spec"]["containers"][0][
    "command"
]


def granted(kind: str, name: str) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for role in of_kind(kind)
        if role["metadata"]["name"] == name
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.processes
def test_the_exporters_role_is_exactly_what_it_asks_for(tmp_path: Path) -> None:
    migrate(tmp_path)
    server = ApiServer()
    server.usage = b'{"kind": "PodMetricsList", "items": []}'
    server.put(pod("pod-a", "tenants"))
    try:
        with exporter(server, tmp_path, *COMMAND[2:]):
            until(lambda: {kind for kind, _ in list(server.requests)} == set(VERBS), 20)
        asked = {VERBS[kind] for kind, _ in server.requests}
        assert granted("Role", "pod-exporter") == asked
        assert {query["namespace"] for _, query in server.requests} == {"tenants"}
    finally:
        server.close()


def test_nobody_has_a_right_in_the_whole_cluster() -> None:
    assert of_kind("ClusterRole") + of_kind("ClusterRoleBinding") == []


def test_prometheus_may_find_pods_and_nothing_else() -> None:
    # source: Prometheus, kubernetes_sd_config, role pod: it lists and watches
    assert granted("Role", "prometheus") == {("", "pods", "list"), ("", "pods", "watch")}


def test_every_binding_names_an_account_that_is_there() -> None:
    accounts = {(d["metadata"]["name"], d["metadata"]["namespace"]) for d in of_kind("ServiceAccount")}
    bound: set[Any] = {(s["name"], s["namespace"]) for d in of_kind("RoleBinding") for s in d["subjects"]}
    assert bound == accounts
