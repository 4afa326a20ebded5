"""The admin pages of every table."""
