"""The gateway's side: reports of tenants in, requests counted, containers watched."""
