#!/bin/sh
# The sample tenant's day: a run that converges, three that do not, a minute of nothing, one that converges, a long rest.
# Knows nothing of the monitoring but the command that wraps each run.
here=$(dirname "$0")
solve() {
    gateway-client run --task opendss-feeder -- python "$here/feeder.py" --load-kw "$1"
}
while :; do
    solve 500
    solve 1000
    solve 1000
    solve 1000
    sleep 60
    solve 500
    sleep 900
done
