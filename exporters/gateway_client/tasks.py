"""Which task names may be labels of metrics. Called by `spool.py` when it counts.

In: GATEWAY_TASKS, names or globs separated by commas. Out: a `Tasks` that says what a name's label is. The raw name stays
in the report.
"""

import os
import re
from fnmatch import fnmatchcase

from runtime.closed_sets import OTHER

MOST_LABELS = 100
"""Distinct labels that may come from a pattern; names given in GATEWAY_TASKS themselves don't count."""
_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")


class Tasks:
    """The names that are known beforehand, and the pattern of the others."""

    def __init__(self, configured: str | None = None) -> None:
        text = os.environ.get("GATEWAY_TASKS", "") if configured is None else configured
        parts = [part.strip() for part in text.split(",") if part.strip()]
        self._globs = [part for part in parts if any(c in part for c in "*?[")]
        self.names = frozenset(parts) - frozenset(self._globs)
        self._any_safe_name = not parts

    def may_be_label(self, name: str) -> bool:
        """Whether the name is configured, or fits a configured pattern, or is safe when nothing is configured."""
        if name in self.names:
            return True
        if self._any_safe_name:
            return _SAFE.fullmatch(name) is not None and name != OTHER
        return any(fnmatchcase(name, glob) for glob in self._globs) and len(name) <= 64
