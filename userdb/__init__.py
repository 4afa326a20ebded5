"""Every monitoring table of the platform in one database, their migrations, their admin pages and the shared settings."""
