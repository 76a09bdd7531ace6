"""Where the demo's ACME server asks for names and looks for challenges, as told or as this machine allows."""

from __future__ import annotations

import socket

import click
from click.core import ParameterSource

# What somebody who is not root may listen on; Pebble's clients know them.
UNPRIVILEGED = {"http01_port": 5002, "tls_alpn01_port": 5001}


def dns_server(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """HOST:PORT as the configuration has it, with the address in place of a name."""
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    try:
        number = int(port)
        found = socket.getaddrinfo(host.strip("[]"), number, type=socket.SOCK_DGRAM)
    except (OSError, ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value} is not HOST:PORT of a DNS server: {error}") from error
    family, address = found[0][0], str(found[0][4][0])
    return f"[{address}]:{number}" if family is socket.AF_INET6 else f"{address}:{number}"


def challenge_port(context: click.Context, parameter: click.Parameter, value: int) -> int:
    """The port that challenges are looked for on.

    Without root nobody here could answer on ports 80 and 443, so that a newcomer's first try would fail:
    another port stands in for one that was not asked for.
    """
    asked_for = context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
    return value if asked_for or _may_listen(value) else UNPRIVILEGED[parameter.name or ""]


def _may_listen(port: int) -> bool:
    """Whether this user may; somebody else who listens already changes nothing about that."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return False
        except OSError:
            return True
    return True
