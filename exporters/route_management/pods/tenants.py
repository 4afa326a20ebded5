"""Whose a pod is: the value of one label that the platform sets. Called by `render.py` for each pod."""

import re
from collections.abc import Mapping

from runtime.closed_sets import EVERYONE, OTHER, UNKNOWN

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_RESERVED = frozenset({UNKNOWN, OTHER, EVERYONE})


def tenant_of(labels: Mapping[str, str] | None, label: str) -> str:
    """Return the tenant that the pod's label names, "" when it names none that could be one.

    A label, never an annotation: who may write a pod's annotations is often its tenant.
    """
    name = (labels or {}).get(label, "")
    return name if _DNS_LABEL.fullmatch(name) and name not in _RESERVED else ""
