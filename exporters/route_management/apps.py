"""The Django application `route_management`."""

from django.apps import AppConfig


class RouteManagementConfig(AppConfig):
    name = "exporters.route_management"
    label = "route_management"
    verbose_name = "Route management"
