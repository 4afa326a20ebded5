"""pods_yaml/ as kustomize renders it: valid in three versions of Kubernetes, restricted, and in step with the rest."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from local import compose, programs
from pods_yaml import build
from tests.compose.files import services
from tests.pods_yaml.rendered import (
    KUBECTL,
    OURS,
    ROOT,
    Document,
    containers,
    documents,
    everything,
    name_of,
    of_kind,
    templates,
)  # fmt: skip

VERSIONS = ("1.29", "1.33", "1.37")
TEMPLATES = dict(templates(everything()))
OPERATOR = ("PodMonitor", "PrometheusRule")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    found = {name_of(document): document for document in documents("overlays/operator") + everything()}
    # the operator's objects have no schema in Kubernetes itself
    checked = [document for document in found.values() if document["kind"] not in OPERATOR]
    for document in checked:
        kubernetes_validate.validate(document, version, strict=True)
    assert len(checked) > 50


def test_a_misspelt_field_would_be_found() -> None:
    wrong: Any = yaml.safe_load(yaml.safe_dump(of_kind("Deployment")[0]))
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("path", build.WRITTEN, ids=lambda path: path.name)
def test_what_is_made_is_what_the_script_makes(path: Path) -> None:
    assert path.read_text() == build.WRITTEN[path](), "run: python pods_yaml/build.py"


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_pod_keeps_to_the_restricted_standard(name: str) -> None:
    # source: Kubernetes, pod security standards, profile "restricted"
    spec = TEMPLATES[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(TEMPLATES[name]):
        own = container["securityContext"]
        assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]})
        assert own["readOnlyRootFilesystem"] is True  # ours: more than the standard asks for
    assert {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"} <= {
        "configMap", "emptyDir", "projected", "secret"
    }  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_container_says_what_it_needs_and_what_it_may_take(name: str) -> None:
    for container in containers(TEMPLATES[name]):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name.startswith(("Deployment", "StatefulSet"))])
def test_every_server_has_probes_on_ports_that_it_names(name: str) -> None:
    probed = [c for c in TEMPLATES[name]["spec"]["containers"] if "readinessProbe" in c]
    assert probed
    for container in probed:
        ports = {port["name"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe"):
            asked = container[probe]
            assert "exec" in asked or asked["httpGet"]["port"] in ports


def test_only_what_asks_the_api_server_holds_a_token_for_it() -> None:
    holding = {name for name, t in TEMPLATES.items() if t["spec"].get("automountServiceAccountToken") is not False}
    assert holding == {"Deployment/mission-monitor/pod-exporter", "StatefulSet/mission-monitor/prometheus"}


def test_every_replicated_server_has_a_disruption_budget() -> None:
    replicated = {
        d["metadata"]["name"]: d["spec"]["selector"]["matchLabels"]
        for d in of_kind("Deployment") + of_kind("StatefulSet")
        if d["spec"]["replicas"] > 1
    }
    budgets = {d["metadata"]["name"]: d["spec"]["selector"]["matchLabels"] for d in of_kind("PodDisruptionBudget")}
    assert budgets == replicated


def test_every_service_finds_a_pod_and_a_port_of_it() -> None:
    for service in of_kind("Service"):
        wanted = service["spec"]["selector"].items()
        pods = [t for t in TEMPLATES.values() if wanted <= t["metadata"]["labels"].items()]
        assert pods, name_of(service)
        names = {
            p[key] for t in pods for c in containers(t) for p in c.get("ports", []) for key in ("name", "containerPort")
        }
        assert {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]} <= names


def _commands() -> dict[str, list[str]]:
    return {
        f"{name} {c['name']}": c["command"]
        for name, template in TEMPLATES.items()
        for c in template["spec"]["containers"]
        if c["image"].startswith(OURS) and c["command"][0] in ("alert-bridge", "route-management", "gateway-client")
    }


@pytest.mark.processes
@pytest.mark.parametrize("name", _commands())
def test_every_command_of_ours_is_one_that_the_program_knows(name: str) -> None:
    program, *arguments = _commands()[name]
    command = [Path(sys.executable).with_name(program), *arguments, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, arguments[0] in done.stdout) == (0, True), done.stderr


def test_every_variable_of_ours_is_a_documented_one() -> None:
    documented = (ROOT / "docs" / "configuration.md").read_text()
    told = {
        variable["name"]
        for template in TEMPLATES.values()
        for container in containers(template)
        if container["image"].startswith(OURS)
        for variable in container.get("env", [])
    }
    told |= {
        name for d in of_kind("ConfigMap") if d["metadata"]["name"].startswith("alert-bridge-") for name in d["data"]
    }
    assert {name for name in told if f"`{name}`" not in documented} == set()


def test_the_heartbeats_address_is_an_optional_secret_of_the_process_that_calls_it() -> None:
    calling = {
        name: variable["valueFrom"]
        for name, template in TEMPLATES.items()
        for container in containers(template)
        for variable in container.get("env", [])
        if variable["name"] == "HEARTBEAT_URL"
    }
    source = {"secretKeyRef": {"name": "heartbeat", "key": "url", "optional": True}}
    assert calling == {"Deployment/mission-monitor/alert-bridge-reconcile": source}


def test_images_of_others_are_those_of_the_compose_file() -> None:
    composed = {service["image"] for service in services().values()}
    used = {c["image"] for template in TEMPLATES.values() for c in containers(template)}
    assert {image for image in used if not image.startswith(OURS)} <= composed


def _secrets() -> dict[str, set[str]]:
    """Return the keys of each Secret that a pod mounts."""
    found: dict[str, set[str]] = {}
    for template in TEMPLATES.values():
        for volume in template["spec"].get("volumes", []):
            sources = [s["secret"] for s in volume.get("projected", {}).get("sources", []) if "secret" in s]
            if "secret" in volume:
                sources.append(volume["secret"] | {"name": volume["secret"]["secretName"]})
            for source in sources:
                keys = {item["key"] for item in source.get("items", [])}
                found.setdefault(source["name"], set()).update(keys)
    return found


def test_every_secret_that_is_mounted_is_one_that_the_script_makes(tmp_path: Path) -> None:
    compose.write_secrets(tmp_path)
    environment = {"PATH": f"{Path(KUBECTL).parent}:/usr/bin:/bin"}
    command = [ROOT / "pods_yaml" / "secrets.sh", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    made: dict[str, Document] = {d["metadata"]["name"]: d for d in yaml.safe_load_all(done.stdout) if d}
    mounted = _secrets()
    tenants_own = {name for name in mounted if name.startswith("reporter-token-")}
    assert set(mounted) - tenants_own == set(made)
    assert all(keys <= set(made[name]["data"]) for name, keys in mounted.items() if name in made)


def test_prometheus_takes_the_configuration_of_the_cluster_but_for_its_discovery(tmp_path: Path) -> None:
    # Debian's build of Prometheus has no discovery by Kubernetes: that part is replaced, and the next test reads it
    document = yaml.safe_load((ROOT / "pods_yaml" / "monitoring" / "prometheus.yml").read_text())
    for part in document["scrape_configs"] + document["alerting"]["alertmanagers"]:
        assert part.pop("kubernetes_sd_configs")
        part["static_configs"] = [{"targets": ["127.0.0.1:1"]}]
    (tmp_path / "rules").symlink_to(ROOT / "prometheus" / "rules")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(document))
    command = [programs.find("promtool"), "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "rules found" in done.stdout) == (0, True), done.stderr


def test_every_job_finds_pods_by_labels_that_they_carry() -> None:
    config = yaml.safe_load((ROOT / "pods_yaml" / "monitoring" / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        (discovery,) = job["kubernetes_sd_configs"]
        wanted = dict(pair.split("=") for pair in discovery["selectors"][0]["label"].split(","))
        pods = [
            t
            for t in TEMPLATES.values()
            if wanted.items() <= t["metadata"]["labels"].items()
            and t["metadata"]["namespace"] in discovery["namespaces"]["names"]
        ]
        names = {p["name"] for t in pods for c in containers(t) for p in c.get("ports", [])}
        assert "metrics" in names, job["job_name"]


def test_the_tenants_name_comes_from_a_label_that_the_platform_sets() -> None:
    (deployment,) = of_kind("Deployment", documents("tenants/demo"))
    assert deployment["spec"]["template"]["metadata"]["labels"]["tenant"] == "demo"
    assert deployment["spec"]["selector"]["matchLabels"]["tenant"] == "demo"


def test_the_pages_are_reached_from_outside_and_the_webhook_is_not() -> None:
    (ingress,) = of_kind("Ingress")
    paths = {(p["path"], p["pathType"]) for rule in ingress["spec"]["rules"] for p in rule["http"]["paths"]}
    assert paths == {("/", "Exact"), ("/admin", "Prefix"), ("/static", "Prefix")}
