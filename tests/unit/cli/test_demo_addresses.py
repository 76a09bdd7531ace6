"""Where the demo's ACME server asks and looks, from what stands on its command line."""

from __future__ import annotations

import socket

import click
import pytest
from click.testing import CliRunner

from ca_server.cli.demo import addresses
from ca_server.cli.demo.addresses import challenge_port, dns_server


@click.command()
@click.option("--dns-server", callback=dns_server)
@click.option("--http01-port", type=int, default=80, callback=challenge_port)
def asked(dns_server: str | None, http01_port: int) -> None:
    click.echo(f"{dns_server} {http01_port}")


def show(http01_port: int) -> None:
    click.echo(http01_port)


def say(*arguments: str) -> str:
    result = CliRunner().invoke(asked, arguments)
    return result.stdout.strip() or result.stderr


@pytest.fixture
def unprivileged(monkeypatch):
    """As for somebody who may not listen below 1024, whoever runs this test."""
    real = socket.socket.bind

    def bind(self, address):
        if 0 < address[1] < 1024:
            raise PermissionError(13, "Permission denied")
        real(self, address)

    class Socket(socket.socket):
        pass

    Socket.bind = bind
    monkeypatch.setattr(addresses.socket, "socket", Socket)


@pytest.fixture
def privileged(monkeypatch):
    """As for root."""

    class Socket(socket.socket):
        def bind(self, _address):
            """Nothing refuses it."""

    monkeypatch.setattr(addresses.socket, "socket", Socket)


@pytest.mark.usefixtures("privileged")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:8053", "127.0.0.1:8053"),
        ("[::1]:53", "[::1]:53"),
    ],
)
def test_a_dns_server_is_an_address_and_a_port(given, expected):
    assert say("--dns-server", given) == f"{expected} 80"


@pytest.mark.usefixtures("privileged")
def test_a_name_in_its_place_is_looked_up():
    assert say("--dns-server", "localhost:8053") in {"127.0.0.1:8053 80", "[::1]:8053 80"}


@pytest.mark.parametrize("given", ["127.0.0.1", "127.0.0.1:dns", "127.0.0.1:", ":"])
def test_anything_else_is_refused(given):
    assert "is not HOST:PORT of a DNS server" in say("--dns-server", given)


@pytest.mark.usefixtures("privileged")
def test_port_80_is_used_by_who_may_listen_there():
    assert say() == "None 80"


@pytest.mark.usefixtures("unprivileged")
def test_another_port_stands_in_for_80_where_nobody_could_answer():
    assert say() == "None 5002"


@pytest.mark.usefixtures("unprivileged")
def test_a_port_that_is_asked_for_is_used_whatever_the_user_may():
    assert say("--http01-port", "80") == "None 80"


def test_a_port_that_somebody_has_is_still_the_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = click.Command(
            "asked",
            params=[click.Option(["--http01-port"], type=int, default=port, callback=challenge_port)],
            callback=show,
        )
        assert CliRunner().invoke(command, []).stdout.strip() == str(port)
