"""The pages of the admin service: what `queries/` found, in words. Registered by `alert_bridge/admin.py`."""
