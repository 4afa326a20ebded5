-- What Grafana's database user may read: the views alone, no table. Run by the server's administrator in userdb's database
-- after `manage.py migrate` (the views have to be there), for a user that is there already:
--
--   CREATE USER 'grafana'@'%' IDENTIFIED BY '...';
--   mysql userdb < grafana/grants.sql
GRANT SELECT ON grafana_acknowledgements TO 'grafana'@'%';
GRANT SELECT ON grafana_alertmanagers TO 'grafana'@'%';
GRANT SELECT ON grafana_alerts TO 'grafana'@'%';
GRANT SELECT ON grafana_attempts TO 'grafana'@'%';
GRANT SELECT ON grafana_changes TO 'grafana'@'%';
GRANT SELECT ON grafana_channels TO 'grafana'@'%';
GRANT SELECT ON grafana_container_usage TO 'grafana'@'%';
GRANT SELECT ON grafana_events TO 'grafana'@'%';
GRANT SELECT ON grafana_identities TO 'grafana'@'%';
GRANT SELECT ON grafana_maintenance TO 'grafana'@'%';
GRANT SELECT ON grafana_notifications TO 'grafana'@'%';
GRANT SELECT ON grafana_policies TO 'grafana'@'%';
GRANT SELECT ON grafana_requests TO 'grafana'@'%';
GRANT SELECT ON grafana_tenants TO 'grafana'@'%';
GRANT SELECT ON grafana_transitions TO 'grafana'@'%';
GRANT SELECT ON grafana_webhooks TO 'grafana'@'%';
