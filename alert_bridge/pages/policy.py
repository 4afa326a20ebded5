"""The page of thresholds, with a preview: how often the one typed in would have been reached in the last 24 hours.

In: the form as it stands, saved or not. Out: the same form with the preview beside it (`previews.py`). Nothing is saved by it.
"""

from __future__ import annotations  # ModelForm takes its type argument only for the type check

from typing import Any

from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse

from alert_bridge.previews import Preview, PreviewError, preview
from runtime.closed_sets import EVERYONE
from userdb.admin.people import AlertPolicyAdmin
from userdb.models import AlertPolicy

BUTTON = "_preview"


class PolicyPage(AlertPolicyAdmin):
    """Thresholds as `AlertPolicyAdmin` has them; the button "Preview" asks instead of saving."""

    change_form_template = "admin/userdb/alertpolicy/change_form.html"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST" and BUTTON in request.POST:
            return self._previewed(request, object_id, form_url)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _previewed(self, request: HttpRequest, object_id: str | None, form_url: str) -> HttpResponse:
        """Return the form as it was sent, with the preview or what is wrong with the form; 403 for who may not edit."""
        policy = self._policy(request, object_id)
        form: ModelForm[AlertPolicy] = self.get_form(request, policy, change=policy is not None)(
            request.POST, instance=policy
        )
        context = {
            **self.admin_site.each_context(request),
            **_told(form),
            "title": self._title(policy),
            "original": policy,
        }
        fieldsets: Any = self.get_fieldsets(request, policy)
        fields = AdminForm(form, fieldsets, {}, self.get_readonly_fields(request, policy), self)
        context |= {
            "adminform": fields, "media": self.media + fields.media, "errors": AdminErrorList(form, []), "object_id": object_id,
            "is_popup": False, "to_field": None, "inline_admin_formsets": [], "subtitle": str(policy) if policy else None,
        }  # fmt: skip
        change = policy is not None
        return self.render_change_form(request, context, add=not change, change=change, form_url=form_url, obj=policy)

    def _policy(self, request: HttpRequest, object_id: str | None) -> AlertPolicy | None:
        """Return the row that is edited, None for one that is not there yet; raise PermissionDenied or Http404."""
        if object_id is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return None
        policy: AlertPolicy | None = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, policy):
            raise PermissionDenied
        if policy is None:
            raise Http404
        return policy

    def _title(self, policy: AlertPolicy | None) -> str:
        return f"{'Change' if policy else 'Add'} {self.opts.verbose_name}"


def _told(form: ModelForm[AlertPolicy]) -> dict[str, Any]:
    """Return the preview of a form, or why there is none; nothing while the form says itself what is wrong."""
    if not form.is_valid():
        return {}
    asked = form.cleaned_data
    try:
        found = preview(asked["policy"], asked["tenant"], asked["threshold"])
    except PreviewError as error:
        return {"no_preview": str(error)}
    return {"preview": found, "sentence": _sentence(found, asked["threshold"], asked["tenant"])}


def _sentence(found: Preview, threshold: float, tenant: str) -> str:
    """Return the preview in one sentence."""
    times = {1: "once", 2: "twice"}.get(found.times, f"{found.times} times")
    would = f"would have fired {times}" if found.times else "would not have fired"
    span = "in the last 24 h" if found.since is None else "since Prometheus began to keep its thresholds"
    whose = "for the tenants without a threshold of their own" if tenant == EVERYONE else f"for {tenant}"
    return f"With a threshold of {threshold:g}, {found.alertname} {would} {span} {whose}."
