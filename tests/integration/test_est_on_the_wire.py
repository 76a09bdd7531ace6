"""EST over real TLS in either set-up: bad certificates (R13), forged headers (R32), channel binding."""

from __future__ import annotations

import base64
import contextlib
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID

from ca_server.tls_native import channel_binding
from tests.fixtures.est_door import csr_of
from tests.integration.test_rest_client_certificate import BAD, FORGED, header_of, refusals, without_a_grant

ROOT = "/.well-known/est"
OPERATIONS = {
    "cacerts": "GET",
    "csrattrs": "GET",
    "simpleenroll": "POST",
    "simplereenroll": "POST",
    "serverkeygen": "POST",
}
# A certificate that renews itself needs no grant.
BAD_FOR_EST = {make: rule for make, rule in BAD.items() if make is not without_a_grant}


def ask(connection, operation, csr=None, **headers):
    """Status and text of an answer."""
    method = OPERATIONS[operation]
    body = base64.b64encode(csr or csr_of("client.example.com")) if method == "POST" else None
    if body is not None:
        headers["Content-Type"] = "application/pkcs10"
    connection.request(method, f"{ROOT}/{operation}", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize("bad", BAD_FOR_EST, ids=lambda make: make.__name__)
def test_r13_a_bad_certificate_is_refused_by_every_operation(est_door, on_the_wire, tmp_path, bad):
    rule = BAD_FOR_EST[bad]
    pair = bad(est_door.issuing, tmp_path)
    wire = on_the_wire(est_door.app)
    for operation in OPERATIONS:
        with contextlib.closing(wire.connect(pair)) as connection:
            status, text = ask(connection, operation)
        assert (status, f"[{rule}]" in text) == (401, True), (operation, text)
    assert refusals(est_door.issuing) == [([rule], "127.0.0.1")], "further ones within a minute are counted"


def test_without_a_certificate_everybody_is_told_of_the_authorities(est_door, on_the_wire):
    wire = on_the_wire(est_door.app)
    with contextlib.closing(wire.connect()) as connection:
        assert ask(connection, "cacerts")[0] == 200
        assert ask(connection, "csrattrs")[0] == 200
        assert ask(connection, "simpleenroll")[0] == 401


def test_r32_a_forged_certificate_is_refused_by_every_operation(est_door, on_the_wire, tmp_path):
    """nginx puts its own word in place of the header: who reads what everybody may is not refused there."""
    pair = without_a_grant(est_door.issuing, tmp_path)
    wire = on_the_wire(est_door.app)
    for operation in OPERATIONS:
        with contextlib.closing(wire.connect()) as connection:
            status, text = ask(connection, operation, **{"Client-Cert": header_of(pair)})
        if wire.set_up == "nginx" and operation in {"cacerts", "csrattrs"}:
            assert status == 200
        else:
            assert (status, f"[{FORGED[wire.set_up]}]" in text) == (401, True), (operation, text)


def bound_to(connection):
    """A CSR for this connection and no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    binding = base64.b64encode(channel_binding(connection.sock))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    san = x509.SubjectAlternativeName([x509.DNSName("client.example.com")])
    builder = builder.add_extension(san, critical=True)
    builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, binding)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_csr_is_good_for_the_connection_that_it_is_bound_to(est_door, on_the_wire, version):
    """And for none behind nginx, where nobody knows what the client and nginx have in common."""
    policies = est_door.issuing.policies
    profile = policies.profile("tls-peer")
    rules = profile.est.model_copy(update={"channel_binding": True})
    policies._profiles[profile.name] = profile.model_copy(update={"est": rules})
    name, password = est_door.secret()
    basic = {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
    wire = on_the_wire(est_door.with_settings().app)
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(contextlib.closing(wire.connect())) for _ in range(2))
        for connection in (first, second):
            connection._context.maximum_version = version
            connection.connect()
        csr = bound_to(first)
        status, text = ask(second, "simpleenroll", csr, **basic)
        assert (status, "[EST-CHANNEL-BINDING]" in text) == (400, True), text
        status, text = ask(first, "simpleenroll", csr, **basic)
        assert status == {"direct": 200, "nginx": 400}[wire.set_up], text


@pytest.mark.parametrize("on_the_wire", ["nginx"], indirect=True)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["plain", "chunked"])
@pytest.mark.parametrize(
    ("path", "media_type", "said"),
    [
        (f"{ROOT}/simpleenroll", "text/plain; charset=utf-8", "at most. [EST-SIZE]\n"),
        ("/acme/tls-server/new-order", "application/problem+json", "urn:ietf:params:acme:error:malformed"),
        ("/api/v1/certificate-requests", "application/problem+json", '"rule_ids":["REST-SIZE"]'),
    ],
)
def test_r32_nginx_refuses_what_is_far_too_large_in_the_words_of_each_protocol(
    est_door, on_the_wire, path, media_type, said, is_chunked
):
    """More than it takes itself never reaches the server."""
    piece = b"A" * 64 * 1024
    with contextlib.closing(on_the_wire(est_door.app).connect()) as connection:
        connection.request("POST", path, iter([piece] * 48) if is_chunked else piece * 48)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (413, media_type)
        assert said in answer.read().decode()
