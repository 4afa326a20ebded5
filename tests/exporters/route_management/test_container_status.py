"""`report_container_status`: the platform's own modules write rows as they call it today."""

import pytest

from exporters.route_management import report_container_status
from userdb.models import MonitorEvent, Tenant

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("vendor")]


def test_it_writes_a_container_event() -> None:
    report_container_status("pod restarted", {"pod": "alpha-0"}, level="warning")
    row = MonitorEvent.objects.get()
    assert (row.event_type, row.level, row.message, row.tenant) == ("container", "warning", "pod restarted", "unknown")
    assert row.detail == {"pod": "alpha-0"}


def test_a_known_tenant_in_the_detail_is_the_rows() -> None:
    Tenant.objects.create(name="alpha")
    report_container_status("pod restarted", {"tenant": "alpha"})
    assert MonitorEvent.objects.get().tenant == "alpha"


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="level: 'fatal' is none of"):
        report_container_status("x", level="fatal")
