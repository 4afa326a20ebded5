"""The host project's own tests, as `manage.py test` runs them."""

from django.test import TestCase

from monitoring import events
from userdb.models import MonitorEvent


class EventsTest(TestCase):
    databases = {"default", "userdb"}

    def test_a_failure_is_noted(self) -> None:
        events.note_failure("did not converge", {"case": "ieee13"})
        assert MonitorEvent.objects.get().message == "did not converge"
