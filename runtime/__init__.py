"""What every process of the project shares: settings, secrets, logging, flags, the metrics-and-health port, build info."""
