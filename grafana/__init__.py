"""Grafana's dashboards: plain data (`pages/`), the JSON that is made of it (`dashboards/`), and their provisioning."""
