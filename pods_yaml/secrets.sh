#!/bin/sh
# Writes the Secrets that pods_yaml/ mounts to standard output, made of the files that `make env` puts into secrets/:
#   make env && pods_yaml/secrets.sh | kubectl apply --filename -
# The token of a tenant is a Secret of its own: pods_yaml/tenants/demo/kustomization.yaml.
set -eu
folder=${1:-secrets}
secret() {
    name=$1
    shift
    files=''
    for key in "$@"; do files="$files --from-file=$folder/$key"; done
    # each word of $files is an argument of its own
    # shellcheck disable=SC2086
    kubectl create secret generic "$name" --namespace=mission-monitor --dry-run=client --output=yaml $files
    echo ---
}
secret mysql mysql-password mysql-root-password
secret alert-bridge userdb-url django-secret-key userdb-secret-keys webhook-token
secret user-gateway userdb-url
secret alertmanager webhook-token
secret grafana grafana-admin-password grafana-userdb-password
