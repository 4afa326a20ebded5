"""Settings of the host project: a site of its own with its own database, and at the end what the chain adds."""

import json
import os
from pathlib import Path

from userdb.site import database

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ["PORTAL_SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
LANGUAGE_CODE, TIME_ZONE = "zh-hans", "Asia/Shanghai"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "route_management",
    "monitoring",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "portal.middleware.TenantOfPath",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "portal.sqlite3"}}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
PODS = json.loads(os.environ.get("PODS", "{}"))  # the address of each tenant's pod
LOGGING = {
    "version": 1,
    "disable_existing_loggers": True,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

# the monitoring chain
INSTALLED_APPS += ["userdb.apps.UserdbConfig"]
DATABASES["userdb"] = database()  # what USERDB_URL says
DATABASE_ROUTERS = ["userdb.router.UserdbRouter"]
USERDB_ALIAS = "userdb"
USE_TZ = True
MIDDLEWARE = ["exporters.route_management.middleware.RequestMetrics", *MIDDLEWARE]
MISSION_TENANT_HOOK = "portal.middleware.tenant_of"
