"""Django settings of the gateway's reports API: userdb alone. No login, no session, no template, hence no secret key."""

from importlib.util import find_spec

from userdb.site import *  # noqa: F403
from userdb.site import database

DATABASES = {"default": database()}
if find_spec("django_prometheus") is not None:
    # its backends are Django's own, which also count statements, errors and new connections, and time them
    engine = DATABASES["default"]["ENGINE"]
    DATABASES["default"]["ENGINE"] = engine.replace("django.db.backends.", "django_prometheus.db.backends.")
INSTALLED_APPS = ["userdb.apps.UserdbConfig", "exporters.route_management.apps.RouteManagementConfig"]
MIDDLEWARE = ["exporters.route_management.middleware.RequestMetrics"]
ROOT_URLCONF = "exporters.route_management.urls"
