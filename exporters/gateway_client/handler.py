"""Log records as reports: `logging.getLogger().addHandler(ReportHandler())`. Called by the logging module."""

import logging
import traceback

from exporters.gateway_client import reporting

_LEVELS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "critical"}
_OWN = __name__.rpartition(".")[0]


class ReportHandler(logging.Handler):
    """Keeps each record of `level` and above (default: ERROR) as a report, with its traceback if it has one."""

    def __init__(self, level: int = logging.ERROR, task: str | None = None) -> None:
        super().__init__(level)
        self._task = task

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_OWN):  # our own trouble with the spool must not be reported into it
            return
        try:
            level = max((known for known in _LEVELS if known <= record.levelno), default=logging.INFO)
            detail = {"logger": record.name, "place": f"{record.pathname}:{record.lineno}"}
            if record.exc_info and record.exc_info[0] is not None:
                detail["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-16_384:]
            reporting.report(self.format(record), detail, _LEVELS[level], self._task, None)
        except Exception:  # noqa: BLE001  (logging's own contract: handleError, never raise into the caller)
            self.handleError(record)
