"""One report as the gateway takes it: an event of `POST /api/v1/events`, cut so that nothing is refused for its size.

In: what failed, in plain values. Out: an `Event` with its JSON body and a new UUID. Called by `runs.py` and `reporting.py`
when a failure is kept; never on a successful run.
"""

import json
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from exporters.gateway_client.masking import masked
from exporters.gateway_client.spool import Event
from runtime.closed_sets import FAILURE_TYPES, LEVELS, OTHER
from runtime.texts import clean

# the gateway takes 65,536 characters of message, 262,144 of detail, 32 levels of it, 200 of task
LONGEST_MESSAGE, LONGEST_DETAIL, DEEPEST, LONGEST_TASK = 8_000, 200_000, 24, 200
_LONGEST_TEXT, _MOST_ITEMS = 32_768, 1000
CUT = " [cut]"


def cut(text: str, longest: int) -> str:
    """Return the text with at most `longest` characters, marked where it was cut."""
    return text if len(text) <= longest else text[: longest - len(CUT)] + CUT


def plain(value: Any, depth: int = 0) -> Any:
    """Return the value as JSON takes it, bounded: other objects as text, NaN as text, the rest of what is too much cut."""
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return cut(masked(clean(value)), _LONGEST_TEXT)
    if depth < DEEPEST and isinstance(value, Mapping):
        return {_key(k): _secret_or(k, v, depth) for k, v in list(value.items())[:_MOST_ITEMS]}
    if depth < DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in list(value)[:_MOST_ITEMS]]
    if isinstance(value, (bytes, bytearray)):
        return plain(bytes(value[:_LONGEST_TEXT]).decode("utf-8", "replace"))
    return cut(masked(clean(_text(value))), _LONGEST_TEXT)


def _key(key: Any) -> str:
    return cut(clean(_text(key)), 200)


def _secret_or(key: Any, value: Any, depth: int) -> Any:
    """Return the value masked when its key names a secret."""
    if isinstance(key, str) and isinstance(value, str):
        prefix = f"{key}="
        return "***" if masked(prefix + "x") != prefix + "x" else plain(value, depth + 1)
    return plain(value, depth + 1)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  (a stranger's __str__ must not cost the report)
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def _bounded(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detail within the gateway's limit: the longest texts give way first."""
    kept: dict[str, Any] = plain(detail)
    for longest in (_LONGEST_TEXT, 4096, 512):
        text = json.dumps(kept, ensure_ascii=False)
        if len(text) <= LONGEST_DETAIL:
            return kept
        kept = {k: cut(json.dumps(v, ensure_ascii=False), longest) if _long(v, longest) else v for k, v in kept.items()}
    return {"cut": cut(json.dumps(kept, ensure_ascii=False), LONGEST_DETAIL // 2)}


def _long(value: Any, longest: int) -> bool:
    return len(json.dumps(value, ensure_ascii=False)) > longest


def make(
    *,
    task: str,
    failure_type: str,
    level: str,
    message: str,
    detail: Mapping[str, Any],
    occurred_at: float,
    identifier: str | None = None,
) -> Event:
    """Return the event. What no closed set knows is folded and kept in the detail; `occurred_at` is Unix time in seconds."""
    detail = dict(detail)
    if failure_type not in FAILURE_TYPES:
        detail["reported_failure_type"], failure_type = failure_type, OTHER
    if level not in LEVELS:
        detail["reported_level"], level = level, "error"
    if len(task) > LONGEST_TASK:
        detail["reported_task"] = task
    moment = datetime.fromtimestamp(occurred_at, UTC).isoformat(timespec="microseconds")
    event_id = identifier or str(uuid.uuid4())
    body = {
        "id": event_id,
        "occurred_at": moment.replace("+00:00", "Z"),
        "task": cut(clean(task).strip(), LONGEST_TASK),
        "failure_type": failure_type,
        "level": level,
        "message": cut(masked(clean(message)), LONGEST_MESSAGE) or failure_type,
        "detail": _bounded(detail),
    }
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Event(event_id, body["task"], failure_type, level, text)  # type: ignore[arg-type]
