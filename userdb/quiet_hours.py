"""Quiet hours of a channel: from when to when, in which zone, what is owed waits. Pure; used by the bridge's outbox.

The wall clock of the zone counts: a night in which the clock is put back is an hour longer.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError

log = logging.getLogger(__name__)


def zone(name: str) -> tzinfo:
    """Return the zone of that name (`Asia/Shanghai`); raise ValueError when this machine knows none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a folder
        raise ValueError(f"{name!r} is no time zone such as Asia/Shanghai or UTC") from error


def validate_zone(name: str) -> None:
    """For forms: raise ValidationError with zone's own words."""
    try:
        zone(name)
    except ValueError as error:
        raise ValidationError(str(error)) from error


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Every day from `start` to `end` by the zone's clock; past midnight when `end` is the earlier."""

    start: time
    end: time
    zone: tzinfo
    critical_passes: bool = True

    def until(self, now: datetime, labels: Mapping[str, str]) -> datetime | None:
        """Return when the quiet hours that hold `now` end, in UTC; None when it is not quiet for these labels."""
        if self.critical_passes and labels.get("severity") == "critical":
            return None
        local = now.astimezone(self.zone)
        clock = local.time()
        over_midnight = self.end < self.start
        quiet = clock >= self.start or clock < self.end if over_midnight else self.start <= clock < self.end
        if not quiet:
            return None
        day = local.date() + timedelta(days=1 if over_midnight and clock >= self.start else 0)
        # an hour that comes twice: the second time, the second end is meant
        end = datetime.combine(day, self.end, tzinfo=self.zone).replace(fold=local.fold)
        return end.astimezone(UTC)


def of(start: time | None, end: time | None, zone_name: str, critical_passes: bool) -> QuietHours | None:
    """Return a channel's quiet hours, None without; without too, and said in the log, when the zone is known no more."""
    if start is None or end is None:
        return None
    try:
        return QuietHours(start, end, zone(zone_name), critical_passes)
    except ValueError as error:  # told at once is better than told to nobody
        log.error("quiet hours are not kept", extra={"error": str(error)})
        return None
