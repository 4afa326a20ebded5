"""Django's backend for MySQL and MariaDB, with fewer round trips: the bridge's ENGINE (settings.py)."""
