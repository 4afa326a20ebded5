#!/bin/sh
# Makes Grafana's user of userdb's server and lets it read the views of grants.sql, and nothing else. Run again it sets the
# password anew. Needs the views (`manage.py migrate`), a MySQL client, and:
#   MYSQL_HOST, MYSQL_PORT (3306), MYSQL_DATABASE (userdb)
#   SECRETS: the folder with mysql-root-password and grafana-userdb-password (/run/secrets)
set -eu
secrets=${SECRETS:-/run/secrets}
grants=$(dirname "$0")/grants.sql
MYSQL_PWD=$(cat "$secrets/mysql-root-password")
export MYSQL_PWD
password=$(cat "$secrets/grafana-userdb-password")
case $password in *[!0-9A-Za-z]*|'') echo "grafana-userdb-password: letters and digits alone" >&2; exit 1 ;; esac
ask() {
    mysql --host="$MYSQL_HOST" --port="${MYSQL_PORT:-3306}" --protocol=tcp --user=root --batch "$@"
}
# by standard input: a command's arguments are seen by others
ask <<SQL
CREATE USER IF NOT EXISTS 'grafana'@'%';
ALTER USER 'grafana'@'%' IDENTIFIED BY '$password';
SQL
ask "${MYSQL_DATABASE:-userdb}" <"$grants"
echo "grafana may read the views of ${MYSQL_DATABASE:-userdb}"
