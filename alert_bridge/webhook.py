"""HTTP in: `POST /webhooks/alertmanager`, with and without a slash at its end. Parses, calls `intake.take`, maps its result.

It stands before all other middleware: no redirect, login, session or host check may come between (Alertmanager follows
301/302 with a GET and takes its 200 for a delivery: measured). 200 once committed, 400 only for what is no JSON object,
503 when userdb is out of reach; the answer to anything odd inside a body is 200, with the odd entries named.
"""

import hmac
import logging
from collections.abc import Callable
from functools import cache

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import Counter

from alert_bridge import admission, intake, payload
from alert_bridge.refusals import REFUSED
from runtime.bodies import BodyTooLarge, BodyUnreadable, read_body
from runtime.settings import Secret, SettingsError
from userdb.checks import PACKET_NEEDED, packet_limit
from userdb.transactions import UserdbAway

log = logging.getLogger(__name__)

PATH = "/webhooks/"
TOKEN = Secret("WEBHOOK_TOKEN")
RESULTS = (
    "applied", "unchanged", "unreadable", "not_json", "unauthorized", "wrong_method", "unknown_path", "too_large",
    "unavailable", "storm",
)  # fmt: skip
WEBHOOKS = Counter("mission_webhooks_total", "Webhooks received, by what became of them.", ["result"])
for _result in RESULTS:
    WEBHOOKS.labels(_result)


def _is_of_another_page(record: logging.LogRecord) -> bool:
    """Django says each answer of 4xx and 5xx once more: in a storm that is a line for each refused webhook."""
    request = getattr(record, "request", None)
    return not getattr(request, "path_info", "").startswith(PATH)


logging.getLogger("django.request").addFilter(_is_of_another_page)


@cache
def body_limit() -> int:
    """Return the largest body in bytes: 32 MB, or half of max_allowed_packet where that is less."""
    return min(PACKET_NEEDED, packet_limit() or PACKET_NEEDED) // 2


def _tokens() -> tuple[tuple[str, ...], str | None]:
    """Return the tokens in force, and what is wrong when there are none."""
    try:
        tokens = TOKEN.values()
    except SettingsError as error:
        return (), str(error)
    return tokens, None if tokens else "WEBHOOK_TOKEN (or WEBHOOK_TOKEN_FILE) is not set: webhooks are refused"


def token_trouble() -> str | None:
    """Readiness: None, or what is missing."""
    return _tokens()[1]


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer everything below /webhooks/ here; pass all else on."""

    def answer(request: HttpRequest) -> HttpResponse:
        if not f"{request.path_info}/".startswith(PATH):
            return get_response(request)
        response = _answer(request)
        # the middleware that would say so stands below; without it the server answers in chunks, in two writes
        response["Content-Length"] = str(len(response.content))
        return response

    return answer


def _error(status: int, result: str, text: str, **headers: str) -> HttpResponse:
    WEBHOOKS.labels(result).inc()
    REFUSED.note(result)
    if result != "storm" or admission.is_to_be_said():
        log.warning("webhook refused", extra={"status": status, "reason": text})
    return JsonResponse({"error": text}, status=status, headers=headers)


def _authorised(request: HttpRequest, tokens: tuple[str, ...]) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # each one is compared, in constant time
    fits = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(fits)


def _answer(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _error(405, "wrong_method", "use POST", Allow="POST")
    if request.path_info.rstrip("/") != "/webhooks/alertmanager":
        return _error(404, "unknown_path", "not found: webhooks go to /webhooks/alertmanager")
    refusal = admission.refusal(request.META)
    if refusal is not None:
        return _error(503, "storm", refusal, **{"Retry-After": "1"})
    tokens, trouble = _tokens()
    if trouble is not None:
        return _error(503, "unavailable", trouble)
    if not _authorised(request, tokens):
        return _error(401, "unauthorized", "Authorization: Bearer <webhook token> is missing or wrong", **_CHALLENGE)
    try:
        body = read_body(request, request.headers.get("Content-Encoding", ""), body_limit())
        webhook = payload.parse(body)
        left = admission.time_left(request.META, intake.DEADLINE)
        taken = intake.take(webhook, body, request.META.get("REMOTE_ADDR", ""), left)
    except BodyTooLarge as error:
        return _error(413, "too_large", str(error))
    except (BodyUnreadable, payload.UnreadableBody) as error:
        return _error(400, "not_json", str(error))
    except UserdbAway as error:
        return _error(503, "unavailable", str(error), **{"Retry-After": "5"})
    except (DatabaseError, InterfaceError):
        log.exception("webhook not stored")
        return _error(503, "unavailable", "userdb refused the webhook's rows: see the log", **{"Retry-After": "5"})
    except Exception:
        # a defect of ours: Alertmanager comes again, and its own metrics say so too
        log.exception("webhook not applied")
        return _error(500, "unavailable", "the webhook could not be applied: see the log")
    WEBHOOKS.labels(taken.result).inc()
    fields = {"id": taken.id, "alerts": webhook.entries, "changes": taken.changes, "notifications": taken.notifications}
    log.info("webhook received", extra={**fields, "odd": len(webhook.odd), "result": taken.result})
    return JsonResponse({**fields, "odd": [odd.reason for odd in webhook.odd], "error": webhook.error})


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="webhooks"'}
