"""Which addresses a channel may connect to: public ones, and those of CHANNEL_ALLOWED_NETWORKS. Used by all but e-mail.

Who may edit a channel could else make the bridge talk to what only the bridge can reach: userdb, a cloud's metadata, a
neighbour's admin port (server-side request forgery). Names are looked up here and the checked address is connected to, so
that a name which changes between check and connection changes nothing.
"""

import ipaddress
import socket

from alert_bridge.channels.base import PermanentError, TemporaryError
from runtime.settings import SettingsError, env_list

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_SPECIAL = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "::/96")]
"""What `ipaddress` takes for public, or does in some releases: a cloud's metadata (192.0.0.192), IPv4-compatible addresses."""


def allowed_networks() -> list[Network]:
    """Return CHANNEL_ALLOWED_NETWORKS; raise SettingsError that names the part which is no network."""
    found: list[Network] = []
    for part in env_list("CHANNEL_ALLOWED_NETWORKS"):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise SettingsError(f"CHANNEL_ALLOWED_NETWORKS: {error}; write networks such as 10.1.0.0/16") from error
    return found


def _inside(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one leads to (NAT64, 6to4), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address


def _is_public(address: Address) -> bool:
    """Not unspecified, loopback, private, link-local (a cloud's metadata), carrier-grade NAT, reserved, nor a group's."""
    if address.is_multicast or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local):
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


def is_allowed(text: str, networks: list[Network]) -> bool:
    """Return whether an address, as text, may be connected to: it is public, or in one of the networks."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    return _is_public(address) and _is_public(_inside(address))


def checked(host: str, port: int) -> list[str]:
    """Return the host's addresses, all of them allowed; raise DeliveryError when one is not, or the name is not known.

    The name is not repeated in the error: it is part of a URL that is secret.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except UnicodeError:  # IDNA can't write it
        raise PermanentError("misconfigured", "the URL's host is no name") from None
    except OSError as error:
        raise TemporaryError("connection", f"no connection: the host's name is not known: {error.strerror}") from None
    networks = allowed_networks()
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    refused = [address for address in addresses if not is_allowed(address, networks)]
    if refused:
        raise PermanentError(
            "private_address", f"{refused[0]} is no public address, and CHANNEL_ALLOWED_NETWORKS does not name it"
        )
    return addresses
