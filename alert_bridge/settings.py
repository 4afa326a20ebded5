"""Django settings of the admin service: admin, login and userdb. `manage.py` runs on these and is the only migrator."""

from alert_bridge import lockout, proxies
from runtime.settings import env_bool, env_list, env_number
from userdb.site import *  # noqa: F403
from userdb.site import database, secret_key

SECRET_KEY = secret_key()
DATABASES = {"default": database()}
if DATABASES["default"]["ENGINE"] == "django.db.backends.mysql":
    DATABASES["default"]["ENGINE"] = "alert_bridge.mysql"
INSTALLED_APPS = [
    "userdb.apps.UserdbConfig",  # before Django's own: its `migrate` is ours
    "alert_bridge.apps.AlertBridgeConfig",
    "alert_bridge.apps.MonitorAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "alert_bridge.apps.LoginProtectionConfig",  # django-axes
]
MIDDLEWARE = [
    "alert_bridge.proxies.middleware",
    "alert_bridge.webhook.middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "alert_bridge.headers.middleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
ROOT_URLCONF = "alert_bridge.urls"
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
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # the admin's own files, from the installed package: no collectstatic step
LOGIN_URL = "admin:login"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600  # a working day; an admin's session is worth more than a reader's patience

# HTTPS, which a proxy in front speaks. Off: the local run and a cluster's inside speak plain HTTP
HTTPS = env_bool("DJANGO_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
# Alertmanager follows a redirect with a GET and loses the alert. The webhook's middleware stands before the one that
# redirects; this says it once more
SECURE_REDIRECT_EXEMPT = [r"^webhooks/"]
SECURE_HSTS_SECONDS = int(env_number("DJANGO_HSTS_SECONDS", 3600, 0, 63072000)) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # preloading is for a whole domain, which is not ours to decide about
CSRF_TRUSTED_ORIGINS = env_list("DJANGO_CSRF_TRUSTED_ORIGINS", ",")
proxies.trusted()  # a wrong DJANGO_TRUSTED_PROXIES stops the process at its start

AXES_FAILURE_LIMIT = lockout.failures()
AXES_COOLOFF_TIME = lockout.length()
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "alert_bridge.lockout.refuse"
AXES_CLIENT_IP_CALLABLE = "alert_bridge.lockout.address"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the time that a refused one is told is the time it takes
AXES_DISABLE_ACCESS_LOG = True  # it would grow for ever; Django keeps each user's last login
AXES_VERBOSE = False
