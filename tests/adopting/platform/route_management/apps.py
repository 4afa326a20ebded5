"""The host project's own application of this name: the chain's needs no entry in INSTALLED_APPS."""

from django.apps import AppConfig


class RouteManagementConfig(AppConfig):
    name = "route_management"
