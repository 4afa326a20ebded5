"""The Django application `userdb`. Importing it registers the system checks."""

from django.apps import AppConfig


class UserdbConfig(AppConfig):
    name = "userdb"
    verbose_name = "Monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from userdb import checks  # noqa: F401  (registers itself)
