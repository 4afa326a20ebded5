"""The host project's WSGI application. One process with threads, so that its metrics tell one truth."""

import os

from django.core.wsgi import get_wsgi_application

from runtime.build import expose_build_info
from runtime.flags import address
from runtime.port import MetricsPort
from userdb import health

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
application = get_wsgi_application()

expose_build_info()
metrics_at = address(os.environ.get("METRICS_LISTEN_ADDRESS", ":8111"))
MetricsPort("gateway", metrics_at, {"userdb": health.trouble}).start()
