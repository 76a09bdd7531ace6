"""R13, R20, R32: over real TLS, in either set-up, a good client certificate logs in and nothing else does.

Every certificate passes TLS whose key the client holds; whoever is refused hears why, and it is written down.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import subprocess
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import text

from ca_server.core.authorization import Role
from ca_server.core.signatures import spki_sha256
from ca_server.services.credentials import OPERATOR, Grant, create_grant
from ca_server.services.revoke import revoke_certificate
from tests.fixtures.commands import tool
from tests.fixtures.issuing import common_name
from tests.fixtures.nginx import open_folder
from tests.fixtures.on_the_wire import ask, serve_unix

PATH = "/api/v1/certificates"
# Seen from the client: nginx puts its own word in place of RFC 9440's headers.
FORGED = {"direct": "ACCESS-PROXY-HEADER", "nginx": "ACCESS-CREDENTIALS"}


def write_pair(folder, certificate, key):
    """The files of a certificate and its key, as ssl wants them."""
    paths = (folder / "client.pem", folder / "client.key")
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def granted(issuing, folder, profile="tls-client"):
    """A certificate from the gate whose key may read certificates, as files."""
    issued = issuing.issue("client.example.com", profile=profile)
    key = issuing.keys[issued.certificate_id]
    grant = Grant("a machine", Role.AUDITOR, (), (), timedelta(days=30))
    create_grant(issuing.context, OPERATOR, grant, spki_sha256(key.public_key()))
    return issued, write_pair(folder, x509.load_der_x509_certificate(issued.der), key)


def certificate_of(issuing, issuer, issuer_key, key):
    """A certificate for TLS clients that our clock finds good and our gate has never seen."""
    now = issuing.clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(common_name("client.example.com"))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def revoked(issuing, folder):
    issued, pair = granted(issuing, folder)
    revoke_certificate(issuing.context, OPERATOR, issued.certificate_id, "superseded")
    return pair


def expired(issuing, folder):
    _, pair = granted(issuing, folder)
    issuing.clock.advance(days=400)
    return pair


def of_a_foreign_authority(issuing, folder):
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    return write_pair(folder, certificate_of(issuing, common_name("Another"), authority, key), key)


def of_an_authority_with_our_name(issuing, folder):
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    return write_pair(folder, certificate_of(issuing, issuing.issuer.subject, authority, key), key)


def self_signed(issuing, folder):
    key = ec.generate_private_key(ec.SECP256R1())
    return write_pair(folder, certificate_of(issuing, common_name("client.example.com"), key, key), key)


def for_servers(issuing, folder):
    return granted(issuing, folder, profile="tls-server")[1]


def without_a_grant(issuing, folder):
    issued = issuing.issue("client.example.com", profile="tls-client")
    certificate = x509.load_der_x509_certificate(issued.der)
    return write_pair(folder, certificate, issuing.keys[issued.certificate_id])


BAD = {
    revoked: "ACCESS-CERT-REVOKED",
    expired: "ACCESS-CERT-TIME",
    of_a_foreign_authority: "ACCESS-CERT-UNKNOWN",
    of_an_authority_with_our_name: "ACCESS-CERT-UNKNOWN",
    self_signed: "ACCESS-CERT-UNKNOWN",
    for_servers: "ACCESS-CERT-USE",
    without_a_grant: "ACCESS-GRANT",
}


def refusals(issuing):
    """Rules and source of each refusal that was written down."""
    with issuing.context.database.read() as connection:
        query = text("SELECT body FROM audit_event WHERE kind = 'access.refused' ORDER BY number")
        data = [json.loads(bytes(body))["data"] for body in connection.execute(query).scalars()]
    return [(each["rule_ids"], each["source"]) for each in data]


def refused(issuing, rule, answer):
    """Told to the client, and written down with the address it came from, in either set-up."""
    status, body = answer
    assert (status, body["rule_ids"]) == (401, [rule])
    assert refusals(issuing)[-1] == ([rule], "127.0.0.1")


def test_a_client_certificate_logs_in(issuing, on_the_wire, tmp_path):
    _, pair = granted(issuing, tmp_path)
    assert on_the_wire(issuing.api()).ask("GET", PATH, pair)[0] == 200
    assert refusals(issuing) == []


def test_without_a_certificate_nobody_is_there(issuing, on_the_wire):
    refused(issuing, "ACCESS-CREDENTIALS", on_the_wire(issuing.api()).ask("GET", PATH))


@pytest.mark.parametrize("bad", BAD, ids=lambda make: make.__name__)
def test_r13_a_bad_certificate_is_told_why_it_does_not_log_in(issuing, on_the_wire, tmp_path, bad):
    pair = bad(issuing, tmp_path)
    refused(issuing, BAD[bad], on_the_wire(issuing.api()).ask("GET", PATH, pair))


def test_r13_revocation_ends_a_connection_that_is_open(issuing, on_the_wire, tmp_path):
    issued, pair = granted(issuing, tmp_path)
    with contextlib.closing(on_the_wire(issuing.api()).connect(pair)) as connection:
        assert ask(connection, "GET", PATH)[0] == 200
        socket = connection.sock
        revoke_certificate(issuing.context, OPERATOR, issued.certificate_id, "superseded")
        refused(issuing, "ACCESS-CERT-REVOKED", ask(connection, "GET", PATH))
        assert connection.sock is socket


def test_a_bad_token_is_not_made_good_by_a_certificate(issuing, on_the_wire, tmp_path):
    _, pair = granted(issuing, tmp_path)
    answer = on_the_wire(issuing.api()).ask("GET", PATH, pair, Authorization="Bearer sk_wrong")
    refused(issuing, "ACCESS-TOKEN", answer)


def header_of(pair):
    der = ssl.PEM_cert_to_DER_cert(pair[0].read_text())
    return f":{base64.b64encode(der).decode()}:"


@pytest.mark.parametrize("name", ["Client-Cert", "Client-Cert-Chain"])
def test_r32_a_header_of_the_proxy_is_refused_from_anybody_else(issuing, on_the_wire, tmp_path, name):
    """Whatever else the request proves: a good token, or a certificate of its own."""
    _, pair = granted(issuing, tmp_path)
    token = issuing.token(Role.AUDITOR)
    wire = on_the_wire(issuing.api())
    forged = {name: header_of(pair)}
    refused(issuing, FORGED[wire.set_up], wire.ask("GET", PATH, **forged))
    for proof in ({"Authorization": f"Bearer {token}"}, {"pair": pair}):
        status, _ = wire.ask("GET", PATH, **proof, **forged)
        assert status == {"direct": 401, "nginx": 200}[wire.set_up]


@pytest.mark.parametrize("name", ["X-Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Cert"])
def test_r32_no_other_header_carries_a_certificate(issuing, on_the_wire, tmp_path, name):
    _, pair = granted(issuing, tmp_path)
    answer = on_the_wire(issuing.api()).ask("GET", PATH, **{name: header_of(pair)})
    refused(issuing, "ACCESS-CREDENTIALS", answer)


@pytest.mark.parametrize("address", ["10.1.2.3", "nonsense", "10.1.2.3, 10.4.5.6"])
def test_r32_a_client_does_not_choose_its_address(issuing, on_the_wire, address):
    answer = on_the_wire(issuing.api()).ask("GET", PATH, **{"X-Real-IP": address, "X-Forwarded-For": address})
    refused(issuing, "ACCESS-CREDENTIALS", answer)


def test_r32_a_header_from_a_wrong_user_is_forged(issuing, tmp_path):
    """Somebody on this machine who reaches the proxy's socket and is not the proxy."""
    _, pair = granted(issuing, tmp_path)
    with open_folder() as folder, serve_unix(issuing.api(), folder / "https.sock", os.getuid() + 1):
        url = ("--unix-socket", str(folder / "https.sock"), f"http://localhost{PATH}")
        done = as_stranger(
            "curl", "-s", "-H", f"Client-Cert: {header_of(pair)}", "-H", "X-Real-IP: 10.1.2.3", *url
        )
    assert json.loads(done)["rule_ids"] == ["ACCESS-PROXY-HEADER"]
    assert refusals(issuing) == [(["ACCESS-PROXY-HEADER"], "unknown")]


def test_r32_a_header_from_the_proxy_s_user_is_its_word(issuing, tmp_path):
    """The same request from the right one, so that the test above refuses the user and nothing else."""
    _, pair = granted(issuing, tmp_path)
    with open_folder() as folder, serve_unix(issuing.api(), folder / "https.sock", os.getuid()):
        url = ("--unix-socket", str(folder / "https.sock"), f"http://localhost{PATH}")
        done = tool("curl", "-s", "-H", f"Client-Cert: {header_of(pair)}", *url)
    assert "items" in json.loads(done.stdout)


def as_stranger(*command):
    """Run as nobody where this is root, whom the server believes; as ourselves otherwise."""
    user = "nobody" if os.geteuid() == 0 else None
    return subprocess.run(command, capture_output=True, check=True, timeout=30, user=user).stdout
