"""An admin takes an episode on: who, when, why; no repeats from then on. Called by the alert's page, by POST."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from userdb import audit
from userdb.models import Acknowledgement, Alert, AlertIdentity
from userdb.transactions import in_transaction

NOTE = 1000


def view(page: Any, request: HttpRequest, pk: int, permission: str) -> HttpResponse:
    """Acknowledge the episode `pk` and return to its page; 403 without the permission, 404 without the episode."""
    user: Any = request.user
    if not user.has_perm(permission):
        raise PermissionDenied
    note = request.POST.get("note", "").strip()[:NOTE].replace("\0", "")
    taken = in_transaction(lambda: take(pk, user.get_username(), note))
    if taken is None:
        raise Http404
    if taken:
        page.message_user(
            request, "Acknowledged: it is not repeated any more while this episode lasts.", messages.SUCCESS
        )
    else:
        page.message_user(request, "This episode is over: there is nothing to acknowledge.", messages.WARNING)
    return redirect("admin:userdb_alert_change", pk)


def take(pk: int, by: str, note: str) -> bool | None:
    """Write it and its audit entry, in the caller's transaction; False when the episode is over, None when there is none."""
    fingerprint = Alert.objects.filter(pk=pk).values_list("identity", flat=True).first()
    if fingerprint is None:
        return None
    # the lock of all that concerns the alert: a webhook that is applied just now sees it, or came before it
    AlertIdentity.objects.select_for_update().get(pk=fingerprint)
    alert = Alert.objects.get(pk=pk)
    if alert.state != Alert.State.FIRING:
        return False
    Acknowledgement.objects.create(alert=alert, by=by, note=note)
    audit.record(by, "acknowledge", alert, new={"note": note})
    return True
