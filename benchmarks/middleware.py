"""What the request middleware adds to a request, side by side with django-prometheus's two.

    pip install django-prometheus && python benchmarks/middleware.py [--rounds 30] [--requests 2000]

Goal: at most half of django-prometheus's. The same view behind Django's own handler, with no middleware, with ours, and with
theirs, in turns; what is added is the difference of the medians. Userdb is an SQLite file that holds the tenant.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from django.urls import path

ROOT = Path(__file__).parents[1]
OURS = ["exporters.route_management.middleware.RequestMetrics"]
THEIRS = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]


def prepare(folder: Path) -> None:
    from cryptography.fernet import Fernet

    os.environ.update(
        USERDB_URL=f"sqlite:///{folder / 'userdb.sqlite3'}",
        DJANGO_SECRET_KEY="x" * 60,
        USERDB_SECRET_KEYS=Fernet.generate_key().decode(),
        DJANGO_SETTINGS_MODULE="exporters.route_management.settings",
    )
    subprocess.run([sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"], check=True, cwd=ROOT)
    import django
    from django.conf import settings

    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.LOGGING_CONFIG = None
    django.setup()
    from userdb.models import Tenant

    Tenant.objects.create(name="alpha")


def answer(request: Any) -> Any:
    from django.http import HttpResponse

    request.mission_tenant = "alpha"
    return HttpResponse(b"ok", status=502 if "fail" in request.path else 200)


def handler(middleware: list[str]) -> Any:
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    settings.MIDDLEWARE = middleware
    return WSGIHandler()


def environ(at: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET", "PATH_INFO": at, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "REMOTE_ADDR": "10.0.0.1", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http", "HTTP_HOST": "localhost",
    }  # fmt: skip


def microseconds(application: Any, at: str, count: int) -> float:
    """Return the mean of `count` requests."""
    began = time.perf_counter()
    for _ in range(count):
        application(environ(at), lambda *_: None).close()
    return (time.perf_counter() - began) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        measure(arguments.rounds, arguments.requests)
        from exporters.route_management import request_history

        request_history.of_process().close()


def measure(rounds: int, count: int) -> None:
    logging.disable(logging.CRITICAL)  # django.request's line for each 502
    from django.core import signals
    from django.db import close_old_connections, reset_queries

    # Django's own work at a request's begin and end is no middleware's
    signals.request_started.disconnect(reset_queries)
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    handlers = {"none": handler([]), "ours": handler(OURS)}
    try:
        handlers["theirs"] = handler(THEIRS)
    except ImportError:
        raise SystemExit("django-prometheus is not there: pip install django-prometheus") from None
    for at in ("/ok", "/fail"):
        took: dict[str, list[float]] = {name: [] for name in handlers}
        for _ in range(rounds):
            for name, application in handlers.items():
                took[name].append(microseconds(application, at, count))
        bare, ours, theirs = (statistics.median(took[name]) for name in ("none", "ours", "theirs"))
        print(
            f"{at}: bare {bare:.1f} us; ours adds {ours - bare:.1f} us, django-prometheus {theirs - bare:.1f} us: "
            f"ratio {(ours - bare) / (theirs - bare):.2f} (goal: 0.50)"
        )
    print(f"conditions: {rounds} rounds of {count} requests, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


urlpatterns = [path("ok", answer), path("fail", answer)]

if __name__ == "__main__":
    main()
