"""R13, R20, R32: a client certificate over a real TLS connection logs in, and nothing that looks like one."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_server.core.authorization import Role
from ca_server.core.signatures import spki_sha256
from ca_server.peer import with_peers
from ca_server.services.credentials import OPERATOR, Grant, create_grant
from ca_server.services.revoke import revoke_certificate

PATH = "/api/v1/certificates"
# The header of RFC 9440 has a meaning, so it is refused; what nobody here reads is no credential.
HEADERS = {
    "Client-Cert": "ACCESS-PROXY-HEADER",
    "Client-Cert-Chain": "ACCESS-PROXY-HEADER",
    "X-Client-Cert": "ACCESS-CREDENTIALS",
    "X-SSL-Client-Cert": "ACCESS-CREDENTIALS",
}


@pytest.fixture
def client(issuing):
    """A client certificate from the gate whose key may read certificates."""
    issued = issuing.issue("client.example.com", profile="tls-client")
    grant = Grant("a machine", Role.AUDITOR, (), (), timedelta(days=30))
    key = issuing.keys[issued.certificate_id]
    create_grant(issuing.context, OPERATOR, grant, spki_sha256(key.public_key()))
    return issued


def write_pair(folder, issuing, issued):
    """The files of a certificate with its chain, and of its key, as ssl wants them."""
    chain = folder / f"{issued.certificate_id}.pem"
    chain.write_text(issuing.rest().chains.pem(issued.der, issued.authority_id))
    key = folder / f"{issued.certificate_id}.key"
    key.write_bytes(
        issuing.keys[issued.certificate_id].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return chain, key


@pytest.fixture
def connect(issuing, tmp_path):
    """Shakes hands over a socket pair as gunicorn would, and gives the server's end."""
    server = issuing.issue("server.example.com")
    roots = tmp_path / "roots.pem"
    roots.write_bytes(issuing.root.public_bytes(Encoding.PEM))
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(*write_pair(tmp_path, issuing, server))
    inside.load_verify_locations(roots)
    inside.verify_mode = ssl.CERT_OPTIONAL
    # The test's clock is ahead of the machine's, on which OpenSSL judges.
    inside.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME
    outside = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outside.check_hostname = False
    outside.verify_mode = ssl.CERT_NONE
    opened = []

    def shake_hands(issued=None):
        if issued is not None:
            outside.load_cert_chain(*write_pair(tmp_path, issuing, issued))
        near, far = socket.socketpair()

        def dial():
            opened.append(outside.wrap_socket(far))

        dialling = threading.Thread(target=dial)
        dialling.start()
        opened.append(inside.wrap_socket(near, server_side=True))
        dialling.join()
        return opened[-1] if opened[-1].server_side else opened[-2]

    yield shake_hands
    for each in opened:
        each.close()


def get(issuing, connection, **headers):
    app = issuing.api()
    app.wsgi_app = with_peers(app.wsgi_app)
    http = app.test_client()
    return http.get(PATH, headers=headers, environ_overrides={"gunicorn.socket": connection})


def test_a_client_certificate_logs_in(issuing, client, connect):
    assert get(issuing, connect(client)).status_code == 200


def test_without_a_certificate_nobody_is_there(issuing, connect):
    response = get(issuing, connect())
    assert (response.status_code, response.get_json()["rule_ids"]) == (401, ["ACCESS-CREDENTIALS"])


def test_r13_a_revoked_certificate_does_not_log_in(issuing, client, connect):
    connection = connect(client)
    revoke_certificate(issuing.context, OPERATOR, client.certificate_id, "superseded")
    response = get(issuing, connection)
    assert (response.status_code, response.get_json()["rule_ids"]) == (401, ["ACCESS-CERT-REVOKED"])


def test_a_bad_token_is_not_made_good_by_a_certificate(issuing, client, connect):
    response = get(issuing, connect(client), Authorization="Bearer sk_wrong")
    assert (response.status_code, response.get_json()["rule_ids"]) == (401, ["ACCESS-TOKEN"])


def header_of(der):
    return f":{base64.b64encode(der).decode()}:"


def test_r32_no_header_is_believed_over_whatever_connection(issuing, client, connect):
    """RFC 9440's header, and what proxies call it, over TLS, TCP and a unix socket."""
    unix = socket.socketpair(socket.AF_UNIX)
    listener = socket.create_server(("127.0.0.1", 0))
    tcp = socket.create_connection(listener.getsockname())
    try:
        for connection in (connect(), unix[0], tcp, None):
            for name, rule in HEADERS.items():
                response = get(issuing, connection, **{name: header_of(client.der)})
                assert (response.status_code, response.get_json()["rule_ids"]) == (401, [rule])
    finally:
        for each in (*unix, tcp, listener):
            each.close()
