"""R23: a canary put in every place where a secret can stand is found in no log, event, answer or metric."""

from __future__ import annotations

import io
import logging
from datetime import timedelta

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID
from sqlalchemy import text

from ca_server.core.authorization import Role
from ca_server.logs import configure_logs
from ca_server.services.credentials import OPERATOR, Grant, create_token

CANARY = "canary4711"


@pytest.fixture
def stream(issuing):
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    target = io.StringIO()
    configure_logs(issuing.clock, target)
    yield target
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def requests_with(canary, secret):
    """Method, path, headers and body of requests that carry the canary."""
    token = {"Authorization": f"Bearer {secret}"}
    posted = {**token, "Content-Type": "application/json", "Idempotency-Key": f"k-{canary}"}
    api = "/api/v1"
    yield "GET", f"{api}/profiles", {"Authorization": f"Bearer sk_{canary}"}, b""
    yield "GET", f"{api}/profiles", {"Authorization": f"Basic {canary}"}, b""
    yield "GET", f"{api}/profiles", {**token, "Cookie": f"a={canary}", "X-API-Key": canary}, b""
    yield "GET", f"{api}/profiles", {**token, "X-Request-Id": f"{canary}!", "User-Agent": canary}, b""
    yield "GET", f"{api}/profiles", {"Client-Cert": f":{canary}:", "Referer": canary}, b""
    yield "GET", f"{api}/certificates?subject={canary}", token, b""
    yield "GET", f"{api}/certificates?cursor={canary}&token={canary}", token, b""
    yield "GET", f"{api}/certificates/{canary}", token, b""
    yield "GET", f"{api}/profiles/{canary}", token, b""
    yield "GET", f"/{canary}", token, b""
    yield canary.upper(), f"{api}/profiles", token, b""
    yield "POST", f"{api}/certificate-requests", posted, f'{{"profile": "{canary}"'.encode()
    yield "POST", f"{api}/certificate-requests", posted, f'{{"{canary}": "{canary}"}}'.encode()
    yield "POST", f"{api}/certificate-requests", posted, f'{{"profile": "{canary}!", "csr": 1}}'.encode()
    yield (
        "POST",
        f"{api}/certificate-requests",
        posted,
        f'{{"profile": "tls-server", "csr": "{canary}"}}'.encode(),
    )
    yield "POST", f"{api}/api-tokens", posted, f'{{"name": "x", "role": "{canary}"}}'.encode()
    yield (
        "POST",
        f"{api}/client-grants",
        posted,
        f'{{"name": "x", "role": "auditor", "certificate": "{canary}"}}'.encode(),
    )
    yield "POST", f"{api}/certificates/{'0' * 64}/revocation", posted, f'{{"reason": "{canary}"}}'.encode()


def everything_written(issuing, stream):
    with issuing.context.database.read() as connection:
        events = connection.execute(text("SELECT body FROM audit_event")).scalars().all()
    metrics = issuing.publication().test_client().get("/metrics").get_data(as_text=True)
    return {"log": stream.getvalue(), "events": str([bytes(each) for each in events]), "metrics": metrics}


def test_r23_no_canary_gets_out(issuing, stream):
    secret = issuing.token(Role.ADMINISTRATOR)
    http = issuing.api().test_client()
    answered = 0
    for method, path, headers, body in requests_with(CANARY, secret):
        response = http.open(path, method=method, headers=headers, data=body)
        assert CANARY not in response.get_data(as_text=True).lower(), (method, path)
        assert CANARY not in str(response.headers).lower(), (method, path)
        answered += 1
    written = everything_written(issuing, stream)
    assert len(stream.getvalue().splitlines()) == answered + 1
    for place, content in written.items():
        assert CANARY not in content.lower(), place
        assert secret not in content, place


def test_r23_a_new_tokens_secret_is_in_its_answer_alone(issuing, stream):
    http = issuing.api().test_client()
    headers = {"Authorization": f"Bearer {issuing.token(Role.ADMINISTRATOR)}"}
    response = http.post("/api/v1/api-tokens", json={"name": "x", "role": "auditor"}, headers=headers)
    secret = response.get_json()["secret"]
    assert response.headers["Cache-Control"] == "no-store"
    assert secret not in http.get("/api/v1/api-tokens", headers=headers).get_data(as_text=True)
    for place, content in everything_written(issuing, stream).items():
        assert secret not in content, place


def test_r23_a_challenge_password_in_a_csr_stays_in_the_csr(issuing, stream):
    """PKCS#9 challengePassword is a secret that some clients still send."""
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example.com")]), critical=True)
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, CANARY.encode())
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    grant = Grant("x", Role.REQUESTER, ("*",), ("*",), timedelta(days=1))
    headers = {"Authorization": f"Bearer {create_token(issuing.context, OPERATOR, grant)[1]}"}
    body = {"profile": "tls-server", "csr": csr}
    response = (
        issuing.api()
        .test_client()
        .post("/api/v1/certificate-requests", json=body, headers={**headers, "Idempotency-Key": "k"})
    )
    assert CANARY not in response.get_data(as_text=True)
    for place, content in everything_written(issuing, stream).items():
        assert CANARY not in content, place
