"""The gateway's view: passes a request on to the tenant's pod."""

import requests
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse


@login_not_required
def forward(request: HttpRequest, tenant: str, path: str) -> HttpResponse:
    try:
        answer = requests.get(f"{settings.PODS[tenant]}/{path}", timeout=5)
    except requests.Timeout:
        request.mission_failure = "timeout"  # type: ignore[attr-defined]
        return HttpResponse(status=504)
    except requests.ConnectionError:
        request.mission_failure = "refused"  # type: ignore[attr-defined]
        return HttpResponse(status=502)
    return HttpResponse(answer.content, status=answer.status_code)
