"""The Django application `alert_bridge`. Importing it registers its system checks."""

from django.apps import AppConfig


class AlertBridgeConfig(AppConfig):
    name = "alert_bridge"
    verbose_name = "Alert bridge"

    def ready(self) -> None:
        from alert_bridge import checks  # noqa: F401  (registers itself)
