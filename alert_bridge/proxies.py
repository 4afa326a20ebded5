"""Whose request it is behind a proxy: X-Forwarded-For and X-Forwarded-Proto count only when a trusted proxy sent them.

DJANGO_TRUSTED_PROXIES names the proxies' addresses or networks; by default there are none, and the headers are ignored
whoever sends them. The first middleware: what it writes, the webhook's `sender`, the login's throttle and Django believe.
"""

from collections.abc import Callable
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.http import HttpRequest, HttpResponse

from runtime.settings import SettingsError, env_list

_FOR, _PROTO = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"


@cache
def trusted() -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of DJANGO_TRUSTED_PROXIES; SettingsError names what is none."""
    found = []
    for text in env_list("DJANGO_TRUSTED_PROXIES", ","):
        try:
            found.append(ip_network(text))
        except ValueError as error:
            raise SettingsError(f"DJANGO_TRUSTED_PROXIES: {text!r} is no address and no network: {error}") from error
    return tuple(found)


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Replace the proxy's address and scheme by those that it names."""
    networks = trusted()

    def answer(request: HttpRequest) -> HttpResponse:
        forwarded, proto = request.META.pop(_FOR, ""), request.META.pop(_PROTO, "")
        if networks and _is_trusted(request.META.get("REMOTE_ADDR", ""), networks):
            request.META["REMOTE_ADDR"] = _client(forwarded, request.META["REMOTE_ADDR"], networks)
            if proto.split(",")[-1].strip().lower() in ("http", "https"):
                request.META["wsgi.url_scheme"] = proto.split(",")[-1].strip().lower()
        return get_response(request)

    return answer


def _client(forwarded: str, proxy: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> str:
    """Return the last address of the chain that is no trusted proxy's: what stands before it may be made up."""
    client = proxy
    for text in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        try:
            client = str(ip_address(text))
        except ValueError:
            return client
        if not _is_trusted(client, networks):
            return client
    return client


def _is_trusted(text: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)
