"""Addresses of servers and databases: whether they can be reached, and how messages show them."""

import socket
from urllib.parse import urlsplit

from harness.util.errors import HarnessError

TIMEOUT_SECONDS = 5
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Default port of each scheme that names a host."""


def check_reachable(uri: str, key: str) -> None:
    """Connect once to the host of ``uri``; return at once if it names none.

    Clients of servers and databases retry for minutes before they fail.

    Raises:
        HarnessError: no connection within seconds; ``key`` names the setting that has the address.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if parts.hostname is None or scheme not in PORTS:
        return
    host, port = parts.hostname, parts.port or PORTS[scheme]
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or error
        raise HarnessError(f"{key} {display_uri(uri)}: nothing answers at {host}:{port} ({reason})") from None


def display_uri(uri: str) -> str:
    """Return ``uri`` without its password."""
    password = urlsplit(uri).password
    return uri if password is None else uri.replace(f":{password}@", ":***@")
