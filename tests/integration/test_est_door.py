"""EST as a client meets it: labels, methods, bodies, answers, and refusals in words (RFC 7030, RFC 8951)."""

from __future__ import annotations

import base64
import email
import json
import re
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from sqlalchemy import func, select

from ca_server.core.approvals import Decision
from ca_server.core.authorization import Principal, Role
from ca_server.core.est.settings import OPERATIONS
from ca_server.core.profile import parse_profile
from ca_server.est.bodies import MAX_BODY_BYTES
from ca_server.est.routes import ROUTES
from ca_server.peer import Peer
from ca_server.policy_store import default_directory
from ca_server.services import metrics
from ca_server.services.approvals import decide_request
from ca_server.services.credentials import OPERATOR
from ca_server.services.revoke import revoke_certificate
from ca_server.store import tables
from tests.fixtures.est_door import certificates_in, csr_of

CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
RULES = re.compile(r"\[([A-Z0-9-]+(?:, [A-Z0-9-]+)*)\]\n\Z")


def rules_of(response) -> list[str]:
    """The rules that a refusal ends with, once it is proven to be text."""
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert not response.text[0].islower()
    found = RULES.search(response.text)
    assert found, response.text
    return found[1].split(", ")


def count(door, table) -> int:
    with door.issuing.context.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def refusals(door) -> list[dict]:
    """The events of requests that were turned away at the door, oldest first."""
    event = tables.audit_event
    with door.issuing.context.database.read() as connection:
        rows = connection.execute(
            select(event.c.body).where(event.c.kind == "access.refused").order_by(event.c.number)
        )
        return [json.loads(row[0]) for row in rows]


def rules_written(door) -> list[str]:
    return [rule for event in refusals(door) for rule in event["data"]["rule_ids"]]


# The way in


def test_every_operation_that_may_not_be_a_label_has_a_route():
    assert {name.rpartition(".")[2] for name in ROUTES} == set(OPERATIONS)


@pytest.mark.parametrize("path", ["cacerts", "tls-peer/cacerts", "printers/cacerts", "tls-client/cacerts"])
def test_the_authorities_are_told_to_everybody(est_door, path):
    response = est_door.get(path)
    assert response.status_code == 200
    assert set(certificates_in(response)) == {est_door.issuing.root, est_door.issuing.issuer}


def test_a_profile_that_allows_est_is_a_label_and_no_other_is(est_door):
    assert est_door.get("tls-client/csrattrs").status_code == 200
    for name in ("ocsp-signer", "nothing", "TLS-PEER", "%00"):
        response = est_door.get(f"{name}/cacerts")
        assert (response.status_code, rules_of(response)) == (404, ["EST-LABEL"]), name
        assert "tls-peer" in response.text
    assert set(rules_written(est_door)) == {"EST-LABEL"}


@pytest.mark.parametrize("path", ["", "fullcmc", "cacerts/", "a/b/cacerts", "tls-peer/fullcmc", "tls-peer/"])
def test_what_is_no_operation_is_said_to_be_none(est_door, path):
    response = est_door.get(path)
    assert (response.status_code, rules_of(response)) == (404, ["EST-OPERATION"])
    assert "simplereenroll" in response.text
    assert rules_written(est_door) == ["EST-OPERATION"]


def test_each_operation_has_its_method(est_door):
    for method, path, allowed in (
        ("POST", "cacerts", "GET, HEAD"),
        ("PUT", "csrattrs", "GET, HEAD"),
        ("GET", "simpleenroll", "POST"),
        ("OPTIONS", "tls-peer/simplereenroll", "POST"),
    ):
        response = est_door.ask(method, path)
        assert (response.status_code, response.headers["Allow"]) == (405, allowed)
        assert rules_of(response) == ["EST-METHOD"]


def test_head_tells_what_get_would(est_door):
    got, headed = est_door.get("cacerts"), est_door.ask("HEAD", "cacerts")
    assert headed.data == b""
    assert headed.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.data))


def test_without_a_default_profile_a_label_is_asked_for(est_door):
    door = est_door.with_settings(default_profile=None)
    assert door.get("cacerts").status_code == 200
    for response in (door.get("csrattrs"), door.enrol(csr_of("a.example.com"), secret=door.secret())):
        assert (response.status_code, rules_of(response)) == (404, ["EST-LABEL"])
    assert (
        door.enrol(csr_of("a.example.com"), "tls-peer/simpleenroll", secret=door.secret()).status_code == 200
    )


def test_there_is_no_est_without_its_section(issuing):
    response = issuing.api().test_client().get("/.well-known/est/cacerts")
    assert (response.status_code, response.content_type) == (404, "application/problem+json")


# Answers


def test_an_answer_is_one_line_with_a_length_and_few_headers(est_door):
    response = est_door.get("cacerts")
    assert response.headers["Content-Type"] == CERTS_ONLY
    assert response.headers["Content-Transfer-Encoding"] == "base64"
    assert response.headers["Content-Length"] == str(len(response.data))
    assert re.fullmatch(rb"[A-Za-z0-9+/]+={0,2}\n", response.data)
    assert "Transfer-Encoding" not in response.headers
    # With a request id as long as it may be; what gunicorn adds is less than the rest of the 1,024 bytes.
    response = est_door.get("cacerts", headers={"X-Request-Id": "r" * 64})
    assert len(str(response.headers)) < 700


def longest(response) -> int:
    return max(map(len, response.data.split(b"\n")))


@pytest.mark.parametrize(
    ("agent", "length"),
    [
        ("libest 3.2.0", 76),
        ("Cisco EST client 1.0", 76),
        ("curl/7.88.1", 0),
        ("not libest", 0),
        ("", 0),
    ],
)
def test_lines_are_broken_for_clients_that_need_it(est_door, agent, length):
    response = est_door.get("cacerts", headers={"User-Agent": agent})
    assert longest(response) == (length or len(response.data) - 1)
    assert response.data.endswith(b"\n")
    assert set(certificates_in(response)) == {est_door.issuing.root, est_door.issuing.issuer}


def test_a_label_and_the_configuration_say_how_long_lines_are(est_door):
    assert longest(est_door.get("printers/cacerts")) == 64
    # The label was made for its devices, so it knows better than what they call themselves.
    assert longest(est_door.get("printers/cacerts", headers={"User-Agent": "libest 3.2.0"})) == 64
    door = est_door.with_settings(line_length=76)
    assert longest(door.get("cacerts")) == 76
    assert longest(door.get("tls-client/cacerts")) == 76


def test_the_attributes_of_a_csr_are_the_profiles(est_door):
    response = est_door.get("csrattrs")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/csrattrs"
    assert base64.b64decode(response.data)[:1] == b"\x30"
    assert est_door.get("tls-peer/csrattrs").data == response.data
    assert est_door.get("device-identity/csrattrs").data != response.data


# Enrolment


def test_an_enrolment_secret_gets_a_certificate_and_nothing_beside_it(est_door):
    key = ec.generate_private_key(ec.SECP256R1())
    before = issued_count("success")
    response = est_door.enrol(csr_of("a.example.com", key=key), secret=est_door.secret())
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == CERTS_ONLY
    (certificate,) = certificates_in(response)
    assert spki(certificate.public_key()) == spki(key.public_key())
    certificate.verify_directly_issued_by(est_door.issuing.issuer)
    assert issued_count("success") == before + 1


def spki(key) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def issued_count(result: str, authority: str = "issuing-1", profile: str = "tls-peer") -> float:
    return metrics.ISSUED.labels(authority, profile, "est", result)._value.get()


def test_line_breaks_in_a_request_are_no_matter(est_door):
    csr, secret = csr_of("a.example.com"), est_door.secret()
    text = base64.encodebytes(csr)
    answers = {
        est_door.post("simpleenroll", body, secret=secret).data
        for body in (text, text.replace(b"\n", b"\r\n"), text.replace(b"\n", b""), b" \t" + text)
    }
    # The same CSR each time, and so the same certificate.
    assert len(answers) == 1
    assert count(est_door, tables.certificate) == 1


def test_a_certificate_is_renewed_by_itself(est_door):
    door, name = est_door, "a.example.com"
    old = door.issuing.issue(name, profile="tls-peer")
    for path in ("simplereenroll", "tls-peer/simplereenroll", "printers/simplereenroll"):
        response = door.enrol(csr_of(name), path, peer=Peer(old.der))
        assert response.status_code == 200, response.text
        (new,) = certificates_in(response)
        assert new.subject == x509.load_der_x509_certificate(old.der).subject
    response = door.with_settings(default_profile="tls-client").enrol(
        csr_of(name), "simplereenroll", peer=Peer(old.der)
    )
    assert response.status_code == 200, response.text
    response = door.enrol(csr_of(name), "tls-client/simplereenroll", peer=Peer(old.der))
    assert (response.status_code, rules_of(response)) == (403, ["EST-RENEWAL-PROFILE"])
    response = door.enrol(csr_of("b.example.com"), "simplereenroll", peer=Peer(old.der))
    assert (response.status_code, rules_of(response)) == (400, ["EST-RENEWAL-NAMES"])
    assert rules_written(door) == ["EST-RENEWAL-PROFILE", "EST-RENEWAL-NAMES"]
    assert {each["actor"]["id"] for each in refusals(door)} == {f"certificate:{old.certificate_id}"}


def test_who_waits_for_approval_is_told_to_come_back_and_then_gets_the_certificate(est_door):
    door = with_approvals(est_door)
    csr, secret = csr_of("a.example.com"), door.secret(profile="approved", max_uses=1)
    before = issued_count("pending", "none", "approved")
    for _ in range(2):
        response = door.enrol(csr, "approved/simpleenroll", secret=secret)
        assert response.status_code == 202
        assert response.headers["Retry-After"] == "7"
        assert rules_of(response) == ["APPROVAL-PENDING"]
    assert issued_count("pending", "none", "approved") == before + 2
    assert refusals(door) == []
    request_id = re.search(r"request ([0-9a-f-]{36})", response.text, re.IGNORECASE)[1]
    officer = Principal("token:officer", Role.OFFICER, "token")
    rules = door.issuing.policies.approvals
    decide_request(door.issuing.context, officer, rules, request_id, Decision.APPROVED, "")
    response = door.enrol(csr, "approved/simpleenroll", secret=secret)
    assert response.status_code == 200, response.text
    assert door.enrol(csr, "approved/simpleenroll", secret=secret).data == response.data


def with_approvals(door):
    """The door with a profile that officers approve."""
    document = (default_directory() / "profiles/tls-client.toml").read_text()
    document = document.replace('name = "tls-client"', 'name = "approved"')
    document = document.replace("[requesters]", "[requesters]\napprovals = 1")
    profile = parse_profile(document.encode(), source="approved.toml")
    door.issuing.policies._profiles[profile.name] = profile
    return door.with_settings(retry_after=timedelta(seconds=7))


def parts_of(response):
    """The parts of a multipart answer, as a mail program reads them."""
    head = f"Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode()
    whole = email.message_from_bytes(head + response.data)
    assert whole.is_multipart()
    return [(each["Content-Type"], each.get_payload(decode=True)) for each in whole.get_payload()]


@pytest.mark.parametrize("path", ["serverkeygen", "printers/serverkeygen"])
def test_who_cannot_make_a_key_is_given_one(est_door, path):
    response = est_door.enrol(csr_of("a.example.com"), path, secret=est_door.secret())
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].startswith("multipart/mixed; boundary=")
    assert response.headers["Cache-Control"] == "no-store"
    (key_type, key), (certificates_type, message) = parts_of(response)
    assert (key_type, certificates_type) == ("application/pkcs8", CERTS_ONLY)
    (certificate,) = pkcs7.load_der_pkcs7_certificates(message)
    made = serialization.load_der_private_key(key, password=None)
    assert spki(certificate.public_key()) == spki(made.public_key())


def test_the_next_one_gets_another_key(est_door):
    csr, secret = csr_of("a.example.com"), est_door.secret(max_uses=2)
    answers = [est_door.enrol(csr, "serverkeygen", secret=secret) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 401]
    assert rules_of(answers[2]) == ["EST-SECRET-SPENT"]
    assert parts_of(answers[0]) != parts_of(answers[1])


def test_where_the_profile_makes_no_keys_none_is_made(est_door):
    secret = est_door.secret(profile="tls-client")
    response = est_door.enrol(csr_of("a.example.com"), "tls-client/serverkeygen", secret=secret)
    assert (response.status_code, rules_of(response)) == (403, ["EST-SERVER-KEY"])
    assert rules_written(est_door) == ["EST-SERVER-KEY"]


# Refusals


def test_who_shows_nothing_is_asked_for_a_password_before_the_body_is_looked_at(est_door):
    for path in ("simpleenroll", "simplereenroll", "tls-client/simpleenroll"):
        response = est_door.post(path, b"x" * (MAX_BODY_BYTES + 1), content_type="text/plain")
        assert (response.status_code, rules_of(response)) == (401, ["ACCESS-CREDENTIALS"])
        assert response.headers["WWW-Authenticate"] == 'Basic realm="sealkeeper"'


@pytest.mark.parametrize(
    "header",
    [
        "Bearer sk_abc",
        "Basic",
        "Basic !",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"a:b\x00").decode(),
        "Basic " + base64.b64encode(b"\xff:b").decode(),
        "Basic " + base64.b64encode(b"a:" + b"b" * 2000).decode(),
        "Negotiate YII=",
    ],
)
def test_what_is_not_http_basic_is_no_credential(est_door, header):
    response = est_door.enrol(csr_of("a.example.com"), headers={"Authorization": header})
    assert (response.status_code, rules_of(response)) == (401, ["ACCESS-CREDENTIALS"])


def test_a_wrong_password_does_not_renew(est_door):
    old = est_door.issuing.issue("a.example.com", profile="tls-peer")
    response = est_door.enrol(csr_of("a.example.com"), "simplereenroll", secret=est_door.secret())
    assert (response.status_code, rules_of(response)) == (401, ["ACCESS-CREDENTIALS"])
    assert old


@pytest.mark.parametrize(
    ("body", "content_type", "status", "rule"),
    [
        (b"", "application/pkcs10", 400, "EST-BASE64"),
        (b"not base64!", "application/pkcs10", 400, "EST-BASE64"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n", "application/pkcs10", 400, "EST-BASE64"),
        (csr_of("a.example.com"), "application/pkcs10", 400, "EST-BASE64"),
        (b"MAMCAQA=", "application/pkcs10", 400, "CSR-ENCODING"),
        (base64.b64encode(csr_of("a.example.com")), "text/plain", 415, "EST-MEDIA-TYPE"),
        (base64.b64encode(csr_of("a.example.com")), "", 415, "EST-MEDIA-TYPE"),
        (b" " * (MAX_BODY_BYTES + 1), "application/pkcs10", 413, "EST-SIZE"),
    ],
)
def test_a_bad_body_is_refused_in_words_written_down_and_changes_nothing(
    est_door, body, content_type, status, rule
):
    secret = est_door.secret()
    response = est_door.post("simpleenroll", body, content_type=content_type, secret=secret)
    assert (response.status_code, rules_of(response)) == (status, [rule])
    (event,) = refusals(est_door)
    assert event["data"]["rule_ids"] == [rule]
    assert event["actor"]["id"] == f"secret:{secret[0]}"
    assert count(est_door, tables.certificate_request) == 0


def test_a_csr_without_proof_of_possession_is_refused(est_door):
    csr = csr_of("a.example.com")
    response = est_door.enrol(csr[:-1] + bytes([csr[-1] ^ 1]), secret=est_door.secret())
    assert response.status_code == 400
    assert rules_of(response) == ["CSR-SIGNATURE"]


def test_what_the_gate_refuses_is_told_by_its_rules_and_written_down_once(est_door):
    before = issued_count("refused", "none")
    names = [f"{number}.example.com" for number in range(21)]
    response = est_door.enrol(csr_of(*names), secret=est_door.secret())
    assert (response.status_code, rules_of(response)) == (400, ["PROFILE-NAME-COUNT"])
    assert refusals(est_door) == []
    assert count(est_door, tables.certificate_request) == 1
    assert issued_count("refused", "none") == before + 1


def test_what_the_credentials_do_not_allow_is_written_down_by_the_door(est_door):
    secret = est_door.secret(names=("dns:a.example.com",))
    response = est_door.enrol(csr_of("b.example.com"), secret=secret)
    assert (response.status_code, rules_of(response)) == (403, ["ACCESS-NAME"])
    assert rules_written(est_door) == ["ACCESS-NAME"]


def test_r13_a_revoked_certificate_is_refused_on_every_operation(est_door):
    old = est_door.issuing.issue("a.example.com", profile="tls-peer")
    peer = Peer(old.der)
    csr = csr_of("a.example.com")
    asks = [
        lambda: est_door.get("cacerts", peer=peer),
        lambda: est_door.get("csrattrs", peer=peer),
        lambda: est_door.enrol(csr, peer=peer),
        lambda: est_door.enrol(csr, secret=est_door.secret(), peer=peer),
        lambda: est_door.enrol(csr, "simplereenroll", peer=peer),
        lambda: est_door.enrol(csr, "serverkeygen", peer=peer),
    ]
    assert [ask().status_code for ask in asks[:2]] == [200, 200]
    revoke_certificate(est_door.issuing.context, OPERATOR, old.certificate_id, "superseded")
    for ask in asks:
        response = ask()
        assert (response.status_code, rules_of(response)) == (401, ["ACCESS-CERT-REVOKED"])
    assert count(est_door, tables.certificate) == 1


def test_r32_a_forged_proxy_header_is_refused_on_every_operation(est_door):
    for path in ("cacerts", "csrattrs"):
        response = est_door.get(path, peer=Peer(is_forged=True))
        assert (response.status_code, rules_of(response)) == (401, ["ACCESS-PROXY-HEADER"])
    for path in ("simpleenroll", "simplereenroll", "serverkeygen"):
        response = est_door.enrol(
            csr_of("a.example.com"), path, peer=Peer(is_forged=True), secret=est_door.secret()
        )
        assert (response.status_code, rules_of(response)) == (401, ["ACCESS-PROXY-HEADER"])
    assert set(rules_written(est_door)) == {"ACCESS-PROXY-HEADER"}
    assert count(est_door, tables.certificate) == 0
