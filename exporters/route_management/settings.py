"""Django settings of the gateway's reports API: userdb alone. No login, no session, no template, hence no secret key."""

from userdb.site import *  # noqa: F403
from userdb.site import database

DATABASES = {"default": database()}
INSTALLED_APPS = ["userdb.apps.UserdbConfig", "exporters.route_management.apps.RouteManagementConfig"]
MIDDLEWARE = ["exporters.route_management.middleware.RequestMetrics"]
ROOT_URLCONF = "exporters.route_management.urls"
