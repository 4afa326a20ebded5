"""An admin takes an episode on: who, when, why; no repeats from then on, until it is withdrawn, which is kept too.

Called by the alert's page, by POST.
"""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from userdb import audit, clock
from userdb.models import Acknowledgement, Alert, AlertIdentity
from userdb.transactions import in_transaction

NOTE = 1000


def view(page: Any, request: HttpRequest, pk: int, permission: str) -> HttpResponse:
    """Acknowledge the episode `pk` and return to its page; 403 without the permission, 404 without the episode."""
    by = _permitted(request, permission)
    note = request.POST.get("note", "").strip()[:NOTE].replace("\0", "")
    taken = in_transaction(lambda: take(pk, by, note))
    if taken is None:
        raise Http404
    if taken:
        page.message_user(
            request, "Acknowledged: it is not repeated any more while this episode lasts.", messages.SUCCESS
        )
    else:
        page.message_user(request, "This episode is over: there is nothing to acknowledge.", messages.WARNING)
    return redirect("admin:userdb_alert_change", pk)


def withdraw_view(page: Any, request: HttpRequest, pk: int, permission: str) -> HttpResponse:
    """Withdraw the acknowledgement that the form names, of the episode `pk`, and return to its page."""
    by = _permitted(request, permission)
    named = request.POST.get("acknowledgement", "")
    # 18 digits are less than any database's largest number
    number = int(named) if named.isascii() and named.isdigit() and len(named) <= 18 else 0
    withdrawn = in_transaction(lambda: withdraw(pk, number, by))
    if withdrawn is None:
        raise Http404
    if not withdrawn:
        words = "Nothing was withdrawn: the episode is over, or the acknowledgement was withdrawn before."
        page.message_user(request, words, messages.WARNING)
    elif stands(pk):
        page.message_user(request, "Withdrawn. Somebody else has taken it on: it is not repeated.", messages.SUCCESS)
    else:
        page.message_user(request, "Withdrawn: it is repeated again while it fires.", messages.SUCCESS)
    return redirect("admin:userdb_alert_change", pk)


def stands(pk: int) -> bool:
    """Return whether somebody has the episode taken on now."""
    return Acknowledgement.objects.filter(alert=pk, withdrawn_at=None).exists()


def take(pk: int, by: str, note: str) -> bool | None:
    """Write it and its audit entry, in the caller's transaction; False when the episode is over, None when there is none."""
    alert = _locked(pk)
    if alert is None:
        return None
    if alert.state != Alert.State.FIRING:
        return False
    Acknowledgement.objects.create(alert=alert, by=by, note=note)
    audit.record(by, "acknowledge", alert, new={"note": note})
    return True


def withdraw(pk: int, number: int, by: str) -> bool | None:
    """Mark it and write the audit entry, in the caller's transaction.

    False when the episode is over or somebody was faster, None when the episode has no such acknowledgement.
    """
    alert = _locked(pk)
    entry = Acknowledgement.objects.filter(pk=number, alert=pk).first()
    if alert is None or entry is None:
        return None
    if alert.state != Alert.State.FIRING or entry.withdrawn_at is not None:
        return False
    entry.withdrawn_at, entry.withdrawn_by = clock.now(), by
    entry.save(update_fields=["withdrawn_at", "withdrawn_by"])
    audit.record(by, "withdraw_acknowledgement", alert, new={"acknowledged by": entry.by, "note": entry.note})
    return True


def _permitted(request: HttpRequest, permission: str) -> str:
    """Return the user's name; 403 without the permission."""
    user: Any = request.user
    if not user.has_perm(permission):
        raise PermissionDenied
    return str(user.get_username())


def _locked(pk: int) -> Alert | None:
    """Return the episode under the lock of all that concerns its alert.

    A webhook that is applied just now sees what is written under it, or came before it.
    """
    fingerprint = Alert.objects.filter(pk=pk).values_list("identity", flat=True).first()
    if fingerprint is None:
        return None
    AlertIdentity.objects.select_for_update().get(pk=fingerprint)
    return Alert.objects.get(pk=pk)
