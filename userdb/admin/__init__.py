"""userdb's pages in the Django admin: configuration that people edit, and history that nobody does."""

from userdb.admin import alertmanagers, alerts, delivery, events, people, tenants

__all__ = ["alertmanagers", "alerts", "delivery", "events", "people", "tenants"]
