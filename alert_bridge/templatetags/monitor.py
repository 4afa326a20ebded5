"""What the pages' templates need beside Django's own: `mapping|at:key`."""

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def at(mapping: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a key that is a variable too; None for nothing."""
    return mapping.get(key)
