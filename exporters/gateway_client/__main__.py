"""`python -m exporters.gateway_client` is the command `gateway-client`."""

from exporters.gateway_client.cli import main

main()
