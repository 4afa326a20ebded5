"""The Django application `alert_bridge`, and Django's admin on its site. Importing it registers checks and roles."""

from axes.apps import AppConfig as AxesConfig
from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class AlertBridgeConfig(AppConfig):
    name = "alert_bridge"
    verbose_name = "Alert bridge"

    def ready(self) -> None:
        from alert_bridge import checks, roles  # noqa: F401  (the checks register themselves)

        post_migrate.connect(roles.after_migrate, dispatch_uid="alert_bridge.roles")


class LoginProtectionConfig(AxesConfig):  # type: ignore[misc]  # django-axes has no types
    """django-axes under a name that says what it does."""

    verbose_name = "Login protection"


class MonitorAdminConfig(AdminConfig):
    default_site = "alert_bridge.site.MonitorSite"
