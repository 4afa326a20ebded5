"""The host project's own application of this name."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "monitoring"
