"""Messages as the relay hands them to a channel."""

from datetime import UTC, datetime
from typing import Any

from alert_bridge.channels.base import Message, Parts

KEY = "a1.1.1764000000000.7.firing.1"


def parts(**changes: Any) -> Parts:
    given: dict[str, Any] = {
        "heading": "FIRING: SimulationFailing (alpha)",
        "paragraphs": ("潮流计算 does not converge",),
        "facts": (("Since", "2026-11-24T10:00:00.000Z"),),
        "links": (("Who was told, and when", "http://bridge/admin/userdb/alert/1/change/"), ("In Prometheus", "http://p/g")),
        "evidence_title": "Last failures of alpha",
        "evidence": ("2026-11-24T09:59:00.000Z error power-flow no_convergence: after 30 iterations",),
        "labels_title": "Labels",
        "labels": (("tenant", "alpha"),),
        "left_out": "… (cut)",
    }  # fmt: skip
    return Parts(**given | changes)


def a_message(**changes: Any) -> Message:
    given: dict[str, Any] = {
        "key": KEY,
        "kind": "firing",
        "title": "[FIRING] SimulationFailing",
        "text": "潮流计算",
        "url": "http://bridge/admin/userdb/alert/1/change/",
        "document": {"version": "1", "title": "潮流计算 does not converge"},
        "written_at": datetime(2026, 11, 24, 10, 0, tzinfo=UTC),
        "parts": parts(),
        "thread": KEY,
    }
    return Message(**given | changes)
