"""Who sent a request: what a proxy says counts from its own user, and what it garbles is no certificate."""

from __future__ import annotations

import base64
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.errors import CaError, Kind
from ca_server.peer import ENVIRON, Peer, peer_of, with_peers

DER = b"a certificate, as far as this layer knows"
VALUE = f":{base64.b64encode(DER).decode()}:"


def seen(proxy_uid=None, connection=None, **headers):
    """The environ that reaches the application."""
    found = []

    def application(environ, start_response):
        found.append(environ)
        return []

    environ = {"wsgi.url_scheme": "http", "REMOTE_ADDR": "", "gunicorn.socket": connection, **headers}
    with_peers(application, proxy_uid)(environ, lambda *_: None)
    return found[0]


@pytest.fixture
def ours():
    """A unix socket whose other end is of our own user."""
    pair = socket.socketpair(socket.AF_UNIX)
    yield pair[0]
    for each in pair:
        each.close()


@pytest.fixture
def tcp():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
    ):
        yield connection


def test_the_proxy_speaks_for_its_client(ours):
    environ = seen(
        os.getuid(), ours, HTTP_CLIENT_CERT=VALUE, HTTP_CLIENT_CERT_CHAIN=VALUE, HTTP_X_REAL_IP="2001:db8::1"
    )
    assert peer_of(environ) == Peer(DER)
    assert (environ["wsgi.url_scheme"], environ["REMOTE_ADDR"]) == ("https", "2001:db8::1")
    assert {name for name in environ if "CLIENT_CERT" in name} == set()


def test_a_client_of_the_proxy_may_have_no_certificate(ours):
    assert peer_of(seen(os.getuid(), ours, HTTP_X_REAL_IP="10.0.0.1")).certificate is None


def test_what_is_between_a_client_and_its_proxy_is_not_known(ours):
    assert peer_of(seen(os.getuid(), ours, HTTP_CLIENT_CERT=VALUE)).channel_binding() is None


@pytest.mark.parametrize("text", ["", "10.0.0.1, 10.0.0.2", "unix:", "localhost", "10.0.0.1:80", "1" * 5000])
def test_an_address_that_is_none_is_nobody_s(ours, text):
    assert seen(os.getuid(), ours, HTTP_X_REAL_IP=text)["REMOTE_ADDR"] == ""


@pytest.mark.parametrize(
    "value",
    ["", ":", "::", ":=:", VALUE[1:], VALUE[:-1], f"{VALUE},{VALUE}", f"{VALUE};a=1", ":ä:", ": :", ":AA_-:"],
)
def test_a_garbled_certificate_is_not_taken_for_none(ours, value):
    found = peer_of(seen(os.getuid(), ours, HTTP_CLIENT_CERT=value)).certificate
    assert found
    assert found[0] != 0x30, "which DER of a certificate begins with"


@given(st.text(max_size=50))
def test_r32_no_value_of_the_header_is_taken_for_no_certificate(value):
    near, far = socket.socketpair(socket.AF_UNIX)
    with near, far:
        assert peer_of(seen(os.getuid(), near, HTTP_CLIENT_CERT=value)).certificate is not None


@pytest.mark.parametrize("name", ["HTTP_CLIENT_CERT", "HTTP_CLIENT_CERT_CHAIN"])
def test_r32_whoever_is_not_the_proxy_forges(ours, tcp, name):
    """Over TCP with a proxy configured, and over a unix socket without one, or without any socket."""
    for proxy_uid, connection in ((os.getuid(), tcp), (None, ours), (None, tcp), (os.getuid(), None)):
        environ = seen(proxy_uid, connection, **{name: VALUE, "HTTP_X_REAL_IP": "10.0.0.1"})
        assert name not in environ
        assert environ["REMOTE_ADDR"] == ""
        assert environ["wsgi.url_scheme"] == "http"
        assert environ[ENVIRON].certificate is None
        with pytest.raises(CaError) as caught:
            peer_of(environ)
        assert (caught.value.kind, caught.value.rule_ids) == (Kind.UNAUTHENTICATED, ("ACCESS-PROXY-HEADER",))


def test_an_empty_header_of_a_client_is_forged_as_well(tcp):
    assert seen(None, tcp, HTTP_CLIENT_CERT="")[ENVIRON].is_forged


def test_nobody_special_is_at_the_other_end_of_plain_tcp(tcp):
    assert peer_of(seen(None, tcp)) == Peer()


def test_a_request_that_no_server_looked_at_has_no_peer():
    assert peer_of({}) == Peer()
