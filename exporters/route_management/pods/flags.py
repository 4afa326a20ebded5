"""The flags of `route-management pods`, checked. Called by `cli.py`, read by `service.py`; imports nothing heavy."""

import argparse
import re
from pathlib import Path

from runtime.flags import add_listen_flag, add_log_flags, duration

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_LABEL = re.compile(r"([-a-z0-9.]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)


def namespace(text: str) -> str:
    if not _NAMESPACE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no namespace")
    return text


def label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no label of Kubernetes")
    return text


def pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error
    return text


def seconds(text: str) -> float:
    found = duration(text).total_seconds()
    if not 1 <= found <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1s and 1d")
    return found


def number(text: str) -> int:
    if not (text.isdecimal() and int(text) < 10_000):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a shard")
    return int(text)


def add(pods: argparse.ArgumentParser) -> None:
    """Add every flag of the command."""
    add_listen_flag(pods, ":9811", "metrics and health")
    pods.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: as a pod of the cluster")
    pods.add_argument(
        "--namespace", type=namespace, action="append", help="watch this one; may be repeated; default: all"
    )
    pods.add_argument(
        "--tenant-label", type=label, default="tenant", help="pods' label that names the tenant; default: tenant"
    )
    pods.add_argument(
        "--pod-label", type=label, action="append", default=[], help="label for kube_pod_labels; may be repeated"
    )
    pods.add_argument(
        "--metric-denylist", type=pattern, action="append", default=[], metavar="REGEX",
        help="leave out the families of this name; may be repeated",
    )  # fmt: skip
    pods.add_argument("--shard", type=number, default=0, help="which of the shards this is, from 0; default: 0")
    pods.add_argument("--total-shards", type=number, default=1, help="default: 1")
    pods.add_argument(
        "--not-ready-after", type=seconds, default=300.0, help="when a pod that is not ready is an event; default: 5m"
    )
    pods.add_argument("--no-history", action="store_true", help="write nothing into userdb")
    pods.add_argument("--usage", action="store_true", help="CPU and memory from metrics.k8s.io")
    pods.add_argument(
        "--usage.interval", dest="usage_interval", type=seconds, default=30.0, help="how often; default: 30s"
    )
    add_log_flags(pods)
