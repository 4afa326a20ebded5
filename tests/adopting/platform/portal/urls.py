"""URLs of the host project; the reports of tenants at their paths of old."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from portal import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("pods/<str:tenant>/<path:path>", views.forward),
    path("", include("exporters.route_management.urls")),
]
