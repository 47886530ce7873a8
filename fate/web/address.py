"""Where the game listens, and who may come in."""

from __future__ import annotations

import os
import re
import secrets
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from fate.core.errors import FateError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}")


def listen(host: str, port: int, *, public: bool) -> socket.socket:
    """A socket that listens on an address of this machine; port 0 takes any free one.

    Raises FateError if there is no such address, if it is taken, or if others can reach it and ``public`` is False.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise FateError(f"There is no address {host!r}; leave --host out to listen on this machine alone.") from error
    if not (public or is_loopback(str(address[0]))):
        raise FateError(
            f"Others could reach the game at {host}; say --public if that is meant (they will need the token), "
            "or leave --host out."
        )
    try:
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise FateError(
            f"{host} port {port} cannot be used: {os.strerror(error.errno or 0)}; try another --port."
        ) from error


def token_for(given: str | None, *, public: bool) -> str | None:
    """The token that every request must carry: the one given, a new one where others come in, or None.

    Raises FateError for one that can be guessed or cannot stand in an address.
    """
    if given is None:
        return secrets.token_urlsafe(32) if public else None
    if not _TOKEN.fullmatch(given):
        raise FateError("A token is 16 or more letters, digits, - and _; without --token a public game makes its own.")
    return given


def is_loopback(host: str) -> bool:
    """Whether a name or an IP address can only mean this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(netloc: str) -> str:
    """The host of ``host:port``, lower case and without the brackets of IPv6; empty if it is none."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""
