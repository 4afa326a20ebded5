"""What kustomize makes of pods_yaml/, by a real kubectl, as plain values."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl") or "kubectl"
OURS = "mission-monitor/"
Document = dict[str, Any]


@cache
def _text(folder: str) -> str:
    command = [KUBECTL, "kustomize", str(ROOT / "pods_yaml" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # a warning is of something that will be taken away
    return done.stdout


def documents(folder: str = "") -> list[Document]:
    """Return the objects of one folder of pods_yaml/."""
    return list(yaml.safe_load_all(_text(folder)))


def everything() -> list[Document]:
    """Return the whole installation with its sample tenant."""
    return documents() + documents("tenants/demo")


def name_of(document: Document) -> str:
    return f"{document['kind']}/{document['metadata'].get('namespace', '')}/{document['metadata']['name']}"


def templates(found: list[Document]) -> Iterator[tuple[str, Document]]:
    """Yield the pod templates with their owners' names, and the namespace in their metadata."""
    for document in found:
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = document["spec"]["template"]
            template["metadata"]["namespace"] = document["metadata"]["namespace"]
            yield name_of(document), template


def containers(template: Document) -> list[Document]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def of_kind(kind: str, found: list[Document] | None = None) -> list[Document]:
    return [document for document in (everything() if found is None else found) if document["kind"] == kind]
