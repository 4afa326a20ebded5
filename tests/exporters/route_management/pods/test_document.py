"""docs/pod-exporter.md names every family that is exposed, with its type and labels, and no other."""

import re

from exporters.route_management.pods.render import Renderer
from tests.docs import pages
from tests.exporters.route_management.pods.cast import at, condition, ended, pod, status, waiting
from tests.exporters.route_management.pods.test_exposition import Exposition

ON_EVERY_LINE = {"namespace", "pod", "uid", "tenant"}


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    found = {}
    for names, kind, labels, _ in pages.rows("pod-exporter.md", "Families"):
        plain, *init = [word for word in pages.words(names) if word.startswith("kube_pod_")]
        found[plain] = (kind, frozenset(pages.words(labels)))
        for name in init:
            more = {word for word in pages.words(names) if not word.startswith("kube_pod_")}
            found[name] = (kind, frozenset({*pages.words(labels), *more}))
    return found


def test_every_family_is_documented_with_its_type_and_no_other() -> None:
    kinds = {family.name: family.type for family in Renderer("tenant").families}
    assert {name: kind for name, (kind, _) in documented().items()} == kinds


def test_labels_are_documented_as_they_are() -> None:
    exposition = Exposition()
    last = ended("Error", 1, at(5))
    resources = {"requests": {"cpu": 1}, "limits": {"cpu": 1}}
    containers = [
        status("solver", waiting("CrashLoopBackOff"), last),
        status("done", ended("Error", 1, at(9)), last),
    ]
    conditions = [
        condition(kind) for kind in ("Ready", "Initialized", "ContainersReady", "DisruptionTarget", "PodScheduled")
    ]
    specs = [{"name": name, "resources": resources} for name in ("solver", "done")]
    exposition.put(
        pod(
            metadata={"deletionTimestamp": at(9)},
            spec={"containers": specs, "initContainers": specs},
            status={
                "reason": "Evicted",
                "containerStatuses": containers,
                "initContainerStatuses": containers,
                "conditions": conditions,
            },
        ),
        pod("sim-1", status={"conditions": [condition("PodScheduled", "False")]}),
    )
    seen: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(kube_pod_\w+)\{(.*)\} ", exposition.text(), re.MULTILINE):
        seen.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    expected = {
        name: set(labels) | ON_EVERY_LINE for name, (_, labels) in documented().items() if name != "kube_pod_labels"
    }
    assert seen == expected
