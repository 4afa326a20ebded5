"""The pod exporter: kube-state-metrics' pod families with the tenant on each series, usage, and the history of containers.

`watch.py` (what the API server said) -> `intake.py` -> `render.py` (one pod to bytes) -> `store.py` (bytes of all pods) ->
`exposition.py` (one scrape); and `intake.py` -> `transitions.py` -> `tracker.py` -> `history.py` (userdb).
"""
