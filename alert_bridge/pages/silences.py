"""Silences of one alert, kept by Alertmanager: which cover it, one more, and the end of one. Called by the alert's page.

Alertmanager is asked outside any transaction; when none answers, the page says so and nothing has been done.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from alert_bridge import alertmanagers
from alert_bridge.pages import spans
from runtime.settings import SettingsError
from userdb import audit
from userdb.admin.pages import when
from userdb.matchers import Matcher, parse, wants
from userdb.models import Alert

LONGEST = timedelta(days=90)
_COMMENT, _ID = 1000, 64


class SilenceForm(forms.Form):
    """What to silence, how long and why."""

    matchers = forms.CharField(
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "class": "vLargeTextField mission-code"}),
        help_text='One a line, all must hold: name="value", !=, =~, !~. Fewer lines silence more alerts.',
    )
    duration = forms.CharField(
        initial="2h", max_length=20, widget=forms.TextInput(attrs={"size": 8}), help_text="30m, 2h, 1d12h; at most 90d."
    )
    comment = forms.CharField(
        max_length=_COMMENT,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Why, for those who wonder.",
    )

    def __init__(self, alert: Alert, data: Any = None) -> None:
        super().__init__(data, initial={"matchers": prefilled(alert.identity.labels), "duration": "2h"})
        self._labels = alert.identity.labels

    def clean_matchers(self) -> tuple[Matcher, ...]:
        try:
            found = parse(self.cleaned_data["matchers"])
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if all(matcher.holds({}) for matcher in found):
            raise ValidationError("These matchers hold for every alert: at least one must ask for something.")
        # Watchdog may be silenced where it is meant: what a channel wants of it is another matter
        if not wants(found, self._labels) and not all(matcher.holds(self._labels) for matcher in found):
            odd = next(m for m in found if not m.holds(self._labels))
            raise ValidationError(
                f"They would not silence this alert: {odd.name}{odd.operator}{odd.value!r} does not hold."
            )
        return found

    def clean_duration(self) -> timedelta:
        try:
            length = spans.parse(self.cleaned_data["duration"])
        except ValueError as error:
            raise ValidationError(f"{capfirst(str(error))}.") from error
        if not timedelta(minutes=1) <= length <= LONGEST:
            raise ValidationError("At least 1m, at most 90d: what is never to be told belongs into the rule.")
        return length


def prefilled(labels: dict[str, str]) -> str:
    """Return matchers that hold for exactly these labels, as the form takes them."""
    return "\n".join(f'{name}="{_quoted(value)}"' for name, value in sorted(labels.items()))


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def view(page: Any, request: HttpRequest, alert: Alert | None, frame: dict[str, Any], permission: str) -> HttpResponse:
    """Show the silences that cover the alert with a form for one more, which a POST makes."""
    alert, user = _allowed(request, alert, permission)
    form = SilenceForm(alert, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        made = _create(form, user.get_username(), alert)
        if isinstance(made, str):
            page.message_user(request, made, messages.SUCCESS)
            return redirect("admin:userdb_alert_change", alert.pk)
        form.add_error(None, f"No silence was made. {made}")
    context = {**frame, "form": form, "subtitle": "Silences", **covering(alert)}
    return TemplateResponse(request, "admin/userdb/alert/silences.html", context)


def _allowed(request: HttpRequest, alert: Alert | None, permission: str) -> tuple[Alert, Any]:
    user: Any = request.user
    if not user.has_perm(permission):
        raise PermissionDenied
    if alert is None:
        raise Http404
    return alert, user


def _create(form: SilenceForm, by: str, alert: Alert) -> str | Exception:
    """Return what was done, or the error that an admin is shown."""
    now = datetime.now(UTC)
    ends = now + form.cleaned_data["duration"]
    matchers, comment = form.cleaned_data["matchers"], form.cleaned_data["comment"]
    try:
        made = alertmanagers.create_silence(matchers, now, ends, by, comment)
    except (alertmanagers.AlertmanagerError, SettingsError) as error:
        return error
    said = [f"{m.name}{m.operator}{m.value!r}" for m in matchers]
    audit.record(
        by, "silence", alert, new={"id": made, "matchers": said, "until": ends.isoformat(), "comment": comment}
    )
    return f"Silenced until {when(ends)}. Alertmanager goes on without telling the bridge of it."


def covering(alert: Alert) -> dict[str, Any]:
    """Return the silences that cover the alert, in force or to come, and which Alertmanager did not answer."""
    try:
        known = alertmanagers.silences()
    except SettingsError as error:
        return {"silences": [], "errors": [str(error)], "answered": []}
    labels = alert.identity.labels
    found = [silence for silence in known.found if silence.state != "expired" and silence.covers(labels)]
    return {"silences": found, "errors": sorted(known.errors.values()), "answered": known.answered}


def expire(page: Any, request: HttpRequest, alert: Alert | None, permission: str) -> HttpResponse:
    """End the silence that the form names and return to the list."""
    alert, user = _allowed(request, alert, permission)
    silence = request.POST.get("silence", "")[:_ID]
    by = user.get_username()
    try:
        alertmanagers.expire_silence(silence)
    except (alertmanagers.AlertmanagerError, SettingsError) as error:
        page.message_user(request, f"The silence was not ended. {error}", messages.ERROR)
    else:
        audit.record(by, "expire_silence", alert, new={"id": silence})
        page.message_user(request, "The silence is over.", messages.SUCCESS)
    return redirect("admin:userdb_alert_silences", alert.pk)
