"""API tokens and client grants over REST: made, listed in pages, ended, and never wider than their maker."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.authorization import Role
from ca_server.core.signatures import spki_sha256
from tests.fixtures.issuing import make_authority

TOKENS, GRANTS = "/api/v1/api-tokens", "/api/v1/client-grants"


@pytest.fixture
def http(issuing):
    client = issuing.api().test_client()
    headers = {"Authorization": f"Bearer {issuing.token(Role.ADMINISTRATOR)}"}

    def send(method, path, body=None, headers=headers):
        return client.open(path, method=method, json=body, headers=headers)

    return send


def test_a_token_made_over_rest_works_until_it_is_ended(http):
    body = {"name": "ci", "role": "requester", "profiles": ["tls-*"], "names": ["dns:*.example.com"]}
    made = http("POST", TOKENS, {**body, "valid_days": 7})
    assert made.status_code == 201
    token = made.get_json()
    assert made.headers["Location"] == f"{TOKENS}/{token['id']}"
    assert token["not_after"] == "2027-03-08T12:00:00Z"
    assert token["profiles"] == ["tls-*"]
    own = {"Authorization": f"Bearer {token['secret']}"}
    assert http("GET", "/api/v1/profiles", headers=own).status_code == 200
    assert http("DELETE", made.headers["Location"]).status_code == 204
    assert http("GET", "/api/v1/profiles", headers=own).status_code == 401
    assert http("DELETE", f"{TOKENS}/{token['id']}").status_code == 404
    listed = {each["id"]: each for each in http("GET", TOKENS).get_json()["items"]}
    assert listed[token["id"]]["revoked_at"] == "2027-03-01T12:00:00Z"
    assert "secret" not in listed[token["id"]]


@pytest.mark.parametrize("path", [TOKENS, GRANTS])
def test_pages_lead_through_all_credentials(http, path):
    made = set()
    for number in range(5):
        body = {"name": f"n{number}", "role": "auditor"}
        if path == GRANTS:
            body["spki_sha256"] = f"{number:064x}"
        made.add(http("POST", path, body).get_json()["id"])
    seen, cursor = [], ""
    while cursor is not None:
        page = http("GET", f"{path}?limit=2" + (f"&cursor={cursor}" if cursor else "")).get_json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen))
    assert made <= set(seen)


def test_r29_a_narrow_administrator_makes_no_wide_token(issuing, http):
    narrow = issuing.token(Role.ADMINISTRATOR, profiles=("tls-server",), names=("dns:*.example.com",))
    headers = {"Authorization": f"Bearer {narrow}"}
    body = {"name": "x", "role": "requester", "profiles": ["*"], "names": ["dns:*.example.com"]}
    response = http("POST", TOKENS, body, headers)
    assert response.status_code == 403
    assert response.get_json()["errors"][0]["pointer"] == "/profiles/0"
    assert response.get_json()["rule_ids"] == ["ACCESS-GRANTOR"]


def test_a_parameter_given_twice_is_refused(http):
    response = http("GET", f"{TOKENS}?limit=1&limit=2")
    assert (response.status_code, response.get_json()["rule_ids"]) == (400, ["REST-QUERY"])


def certificate_of(issuing, key):
    name = x509.Name([])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(issuing.clock.now())
        .not_valid_after(issuing.clock.now())
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


def test_a_grant_by_certificate_is_a_grant_to_its_key(issuing, http):
    key = ec.generate_private_key(ec.SECP256R1())
    above = (issuing.root.subject, issuing.root_key)
    certificate = make_authority("x", key.public_key(), above, issuing.clock.now(), path_length=None)
    pem = certificate.public_bytes(Encoding.PEM).decode()
    made = http("POST", GRANTS, {"name": "x", "role": "officer", "certificate": pem})
    assert made.status_code == 201
    assert made.get_json()["spki_sha256"] == spki_sha256(key.public_key())
    same_key = {"spki_sha256": spki_sha256(key.public_key())}
    again = http("POST", GRANTS, {"name": "y", "role": "auditor", **same_key})
    assert (again.status_code, again.get_json()["rule_ids"]) == (409, ["ACCESS-TAKEN"])
    assert made.headers["Location"] == f"{GRANTS}/{made.get_json()['id']}"
    assert http("DELETE", made.headers["Location"]).status_code == 204


def test_a_grant_needs_one_key_that_is_certified_here(issuing, http):
    other = certificate_of(issuing, dsa.generate_private_key(2048))
    good = certificate_of(issuing, ec.generate_private_key(ec.SECP256R1()))
    for given in (
        {},
        {"spki_sha256": "0" * 64, "certificate": good},
        {"certificate": "junk"},
        {"certificate": good.replace("CERTIFICATE-----\n", "CERTIFICATE-----\nAAAA", 1)},
        {"certificate": other},
    ):
        response = http("POST", GRANTS, {"name": "x", "role": "auditor", **given})
        assert (response.status_code, response.get_json()["rule_ids"]) == (400, ["ACCESS-NEW-KEY"]), given
