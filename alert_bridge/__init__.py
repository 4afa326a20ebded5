"""The admin side: Alertmanager's webhooks in, alerts kept in userdb, the right people told, once."""
