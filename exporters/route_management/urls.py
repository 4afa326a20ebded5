"""URLs of the reports API, each with and without a slash at its end: a redirect would turn a POST into a GET."""

from django.urls import URLPattern, path

from exporters.route_management import reports

urlpatterns: list[URLPattern] = [
    path(f"api/{name}{slash}", view)
    for name, view in (("v1/events", reports.events), ("exceptions/report", reports.exceptions))
    for slash in ("", "/")
]
