"""CSRs as strongSwan writes them, through every door and everything that reads them again."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.approvals import Decision
from ca_server.core.authorization import Principal, Role
from ca_server.core.csr_encoding import to_pem
from ca_server.peer import Peer
from ca_server.services.approvals import decide_request
from tests import world
from tests.fakes.paper_authority import dns
from tests.fakes.unordered_requests import strongswan_csr
from tests.fixtures.est_door import certificates_in
from tests.integration.test_rest_requests import URL, Caller

NAME = "gateway.example.com"
HABIT = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=True,
    **dict.fromkeys(
        ("data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        False,
    ),
)


@pytest.fixture
def key():
    return ec.generate_private_key(ec.SECP256R1())


def enrolled(door, csr, operation="simpleenroll", **more):
    answer = door.enrol(csr, operation, **more)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer


def test_est_enrols_renews_and_makes_keys(est_door, key):
    csr, secret = strongswan_csr(dns(NAME), key=key), est_door.secret()
    first = enrolled(est_door, csr, secret=secret)
    assert enrolled(est_door, csr, secret=secret).data == first.data
    [certificate] = certificates_in(first)
    assert certificate.public_key() == key.public_key()
    peer = Peer(certificate.public_bytes(Encoding.DER))
    renewed = enrolled(est_door, csr, "simplereenroll", peer=peer)
    assert certificates_in(renewed) != [certificate]
    assert b"application/pkcs8" in enrolled(est_door, csr, "serverkeygen", secret=secret).data
    world.check(est_door.issuing.context.database)


def test_est_waits_for_officers(est_door, key):
    csr, secret = strongswan_csr(dns(NAME), key=key), est_door.secret(profile="tls-peer-approved")
    path = "tls-peer-approved/simpleenroll"
    assert est_door.enrol(csr, path, secret=secret).status_code == 202
    caller = Caller(est_door.issuing, Role.OFFICER, names=("*",))
    [waiting] = caller.get(f"{URL}?status=pending").get_json()["items"]
    alice = Principal("token:alice", Role.OFFICER, "token", ("*",), ("*",))
    rules = est_door.issuing.policies.approvals
    decide_request(est_door.issuing.context, alice, rules, waiting["id"], Decision.APPROVED, "")
    [certificate] = certificates_in(enrolled(est_door, csr, path, secret=secret))
    assert certificate.public_key() == key.public_key()
    world.check(est_door.issuing.context.database)


def test_rest_shows_the_bytes_that_came(issuing, key):
    caller, der = Caller(issuing), strongswan_csr(dns(NAME), key=key)
    asked = {"profile": "tls-server", "csr": to_pem(der)}
    answer = caller.post(URL, asked, **{"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    shown = caller.get(f"{URL}/{answer.get_json()['id']}").get_json()
    _, *lines, _ = shown["csr"].splitlines()
    assert base64.b64decode("".join(lines)) == der


def test_r7_est_refuses_no_habit_and_grants_none(est_door, key):
    csr = strongswan_csr(dns(NAME), key=key, extensions=(HABIT,))
    [certificate] = certificates_in(enrolled(est_door, csr, secret=est_door.secret()))
    granted = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (granted.digital_signature, granted.content_commitment, granted.key_encipherment) == (
        True,
        False,
        False,
    )
