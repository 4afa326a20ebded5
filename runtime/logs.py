"""One line an event on standard error, as logfmt or JSON. Every process calls `configure` once at its start.

Fields are given as `log.info("report accepted", extra={"tenant": "a"})`. The formats are those of Prometheus' own
programs (`--log.format=logfmt|json`).
"""

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "source": record.name,
        "msg": record.getMessage(),
    }
    fields.update({k: v for k, v in vars(record).items() if k not in _STANDARD and not k.startswith("_")})
    if record.exc_info:
        fields["error"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _one_line(text: str) -> str:
    """Return JSON text with all that is not printable escaped: U+2028 breaks a line, U+009B begins a terminal's command."""
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _logfmt_value(value: object) -> str:
    text = str(value)
    if text and not any(c in text for c in ' "=\\') and text.isprintable():
        return text
    return _one_line(json.dumps(text, ensure_ascii=False))


class LogfmtFormatter(logging.Formatter):
    """`time=... level=info source=... msg="..." key=value`, always one line."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{k}={_logfmt_value(v)}" for k, v in _fields(record).items())


class JsonFormatter(logging.Formatter):
    """The same fields as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return _one_line(json.dumps(_fields(record), ensure_ascii=False, default=str))


def configure(level: str = "info", form: str = "logfmt") -> None:
    """Send every logger's lines of `level` and above to standard error in `form`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # waitress says each full queue on its own; the queue's depth is a matter for its users' metrics
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logging.captureWarnings(True)
