"""Certificates of the ACME door: fetched in every form, revoked three ways, renewed in time."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from ca_server.core.acme.certid import certid_of
from ca_server.services.chains import Chains
from ca_server.services.cross_certificates import read_cross_chains
from tests.fixtures.acme_client import csr_der, make_door
from tests.fixtures.acme_keys import AccountKey, b64, make_jws
from tests.fixtures.issuing import common_name, make_authority

RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def test_a_certificate_comes_with_its_chain_in_the_form_asked_for(acme_door):
    client = acme_door.registered()
    order = acme_door.issue(client, "a.example.com")
    url = order.json["certificate"]

    def fetch(accept: str):
        jws = make_jws(client.key, client.header(url), "")
        return client.post_raw(url, json.dumps(jws).encode(), Accept=accept)

    chain = client.read(url)
    assert chain.headers["Content-Type"] == "application/pem-certificate-chain"
    certificates = x509.load_pem_x509_certificates(chain.body)
    issuer = acme_door.ordering.issuing.issuer
    assert certificates[1:] == [issuer]
    certificates[0].verify_directly_issued_by(issuer)
    der = fetch("application/pkix-cert")
    assert der.headers["Content-Type"] == "application/pkix-cert"
    assert x509.load_der_x509_certificate(der.body) == certificates[0]
    assert der.links("up")[0].endswith("/aia/issuing-1.cer")
    bundle = fetch("application/pkcs7-mime")
    assert bundle.headers["Content-Type"].startswith("application/pkcs7-mime")
    assert certificates[0] in load_der_pkcs7_certificates(bundle.body)
    for accept in (
        "*/*",
        "application/json",
        "application/pkix-cert;q=0.5, application/pem-certificate-chain",
    ):
        assert fetch(accept).body == chain.body
    for number in ("0", "1", "99"):
        assert client.read(f"{url}/{number}").status == 404


def test_alternate_chains_are_linked_from_each_other(acme_door, tmp_path):
    """RFC 8555 §7.4.2, for those who trust another root."""
    issuing = acme_door.ordering.issuing
    crossed = make_authority(
        "Test Issuing",
        issuing.issuer.public_key(),
        (common_name("Their Root"), ec.generate_private_key(ec.SECP256R1())),
        issuing.clock.now(),
        path_length=0,
    )
    path = tmp_path / "cross.pem"
    path.write_bytes(crossed.public_bytes(Encoding.PEM))
    chains = Chains(issuing.context, read_cross_chains(issuing.context, [path]))
    door = make_door(acme_door.ordering, dataclasses.replace(acme_door.services, chains=chains))
    client = door.registered()
    url = door.issue(client, "a.example.com").json["certificate"]
    own, other = client.read(url), client.read(url + "/1")
    assert (own.links("alternate"), other.links("alternate")) == ([url + "/1"], [url])
    first, second = (x509.load_pem_x509_certificates(each.body) for each in (own, other))
    assert first[0] == second[0]
    assert (first[1:], second[1:]) == ([issuing.issuer], [crossed])
    assert client.read(url + "/2").status == 404


def revoke(client, certificate, **more):
    der = certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.DER)
    return client.post(client.url("revoke-cert"), {"certificate": b64(der), **more})


def test_a_certificate_is_revoked_by_its_account_and_once(acme_door):
    client = acme_door.registered()
    certificate = client.leaf(acme_door.issue(client, "a.example.com"))
    stranger = revoke(acme_door.registered(), certificate)
    assert (stranger.status, stranger.error) == (403, "unauthorized")
    for reason in (6, 7, 8, 2, 11, -1):
        answer = revoke(client, certificate, reason=reason)
        assert (answer.status, answer.error) == (400, "badRevocationReason"), reason
    for reason in ("1", True, 1.5, [1]):
        assert revoke(client, certificate, reason=reason).error == "malformed", reason
    answer = revoke(client, certificate, reason=4)
    assert (answer.status, answer.body) == (200, b"")
    assert "Content-Type" not in answer.headers
    again = revoke(client, certificate, reason=4)
    assert (again.status, again.error) == (400, "alreadyRevoked")
    issuer = acme_door.ordering.issuing.issuer
    for other in (issuer, b"rubbish", b"0"):
        assert revoke(client, other).status in {400, 404}


@pytest.mark.parametrize(
    "make", [lambda: ec.generate_private_key(ec.SECP384R1()), lambda: rsa.generate_private_key(65537, 3072)]
)
def test_a_certificate_is_revoked_by_its_own_key(acme_door, make):
    client = acme_door.registered()
    order = acme_door.prove(client, client.order("a.example.com"))
    key = make()
    done = client.finalize(order, csr=csr_der("a.example.com", key=key))
    certificate = client.leaf(done)
    holder = acme_door.client(key=AccountKey("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES384", key))
    assert revoke(acme_door.client(), certificate).error == "unauthorized"
    assert revoke(holder, certificate, reason=1).status == 200
    assert revoke(client, certificate).error == "alreadyRevoked"


def test_who_holds_all_names_now_revokes_too(acme_door):
    first, second = acme_door.registered(), acme_door.registered()
    certificate = first.leaf(acme_door.issue(first, "a.example.com", "b.example.com"))
    acme_door.prove(second, second.order("a.example.com"))
    assert revoke(second, certificate).error == "unauthorized"
    acme_door.prove(second, second.order("b.example.com"))
    assert revoke(second, certificate).status == 200


# Renewal information


def test_renewal_information_is_read_without_a_signature(acme_door):
    client = acme_door.registered()
    certificate = client.leaf(acme_door.issue(client, "a.example.com"))
    certid = str(certid_of(certificate))
    answer = client.send("GET", client.url("renewal-info", certid), b"", {})
    assert answer.status == 200
    window = answer.json["suggestedWindow"]
    assert RFC3339.fullmatch(window["start"])
    assert window["start"] < window["end"]
    assert int(answer.headers["Retry-After"]) > 0
    for wrong, status in (("AAAA", 400), ("AAAA.AAAA=", 400), ("AAAA.AQ", 404), ("AAAA.AAAAA", 400)):
        found = client.send("GET", client.url("renewal-info", wrong), b"", {})
        assert (found.status, found.error) == (status, "malformed"), wrong


def test_an_order_says_what_it_replaces(acme_door):
    client = acme_door.registered()
    certid = str(certid_of(client.leaf(acme_door.issue(client, "a.example.com"))))
    order = client.order("a.example.com", replaces=certid)
    assert (order.status, order.json["replaces"]) == (201, certid)
    assert client.read(order.headers["Location"]).json["replaces"] == certid
    again = client.order("a.example.com", replaces=certid)
    assert (again.status, again.error) == (409, "alreadyReplaced")
    for wrong in ("x", "AAAA.AQ", ""):
        assert client.order("a.example.com", replaces=wrong).error == "malformed", wrong
    assert acme_door.registered().order("a.example.com", replaces=certid).error in {
        "malformed",
        "alreadyReplaced",
    }
