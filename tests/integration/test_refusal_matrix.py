"""R14: one gate under all protocols, so that each refuses by the same rules: REST, ACME and EST."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from ca_server.core.authorization import Principal, Role
from ca_server.core.csr import parse_csr
from ca_server.core.errors import Kind
from ca_server.core.signatures import KeyType
from ca_server.peer import Peer
from ca_server.services.access import authenticate_client_certificate, authorize_request
from ca_server.services.certificate_request import CertificateRequest
from ca_server.services.credentials import OPERATOR
from ca_server.services.est.applicants import check_presented
from ca_server.services.revoke import revoke_certificate
from tests.fixtures.enrolling import csr_for, refusal
from tests.integration.test_access import events, forged

NAME = "www.example.com"
PROFILE = "tls-peer"
REQUESTER = Principal("token:1", Role.REQUESTER, "token", ("*",), ("dns:**.example.com",))
PROTOCOLS = ("rest", "acme", "est secret", "est certificate")


def make_csr(key, subject=(), extension=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    )
    san = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    builder = builder.add_extension(san, critical=False)
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def officers_alone(profile):
    return {"requesters": profile.requesters.model_copy(update={"roles": (Role.OFFICER,)})}


def one_key_type(profile):
    return {"keys": profile.keys.model_copy(update={"allowed": (KeyType.EC_P384,)})}


def other_names(profile):
    dns = profile.names.dns.model_copy(update={"allow": ("**.example.org",)})
    return {"names": profile.names.model_copy(update={"dns": dns})}


def denied(profile):
    dns = profile.names.dns.model_copy(update={"deny": (NAME,)})
    return {"names": profile.names.model_copy(update={"dns": dns})}


def more_names(profile):
    return {"names": profile.names.model_copy(update={"min": 2})}


def required(profile):
    rule = profile.subject["common_name"].model_copy(update={"required": True})
    return {"subject": {"common_name": rule}}


# What is asked for, how the policy has changed since the credentials were given, and the rules broken.
CASES = {
    "another common name": (
        {"subject": [(NameOID.COMMON_NAME, "other.example.com")]},
        None,
        "PROFILE-SUBJECT-NAME",
    ),
    "an attribute": (
        {"subject": [(NameOID.COMMON_NAME, NAME), (NameOID.ORGANIZATION_NAME, "Evil")]},
        None,
        "PROFILE-SUBJECT-ATTRIBUTE",
    ),
    "to be an authority": (
        {"extension": x509.BasicConstraints(ca=True, path_length=None)},
        None,
        "PROFILE-EXTENSION-CA",
    ),
    "a role": ({}, officers_alone, "PROFILE-ROLE"),
    "a key type": ({}, one_key_type, "KEY-PROFILE"),
    "a name": ({}, other_names, "PROFILE-NAME-ALLOW"),
    "a denied name": ({}, denied, "PROFILE-NAME-DENY"),
    "few names": ({}, more_names, "PROFILE-NAME-COUNT"),
    "a missing attribute": ({}, required, "PROFILE-SUBJECT-REQUIRED"),
    "a compromised key": ("compromised", None, "KEY-COMPROMISED"),
    "an authority's key": ("authority", None, "KEY-OWN"),
}


class Clients:
    """One of each protocol, all with credentials that are good for the name."""

    def __init__(self, ordering, enrolling):
        self.ordering, self.enrolling, self.issuing = ordering, enrolling, ordering.issuing
        self.account = ordering.account()
        self.order = ordering.prove(self.account, ordering.order(self.account, NAME, profile=PROFILE))
        self.secret = enrolling.secret()
        self.identity = self.issuing.issue(NAME, profile=PROFILE).der

    def ask(self, protocol, csr):
        ways = {
            "rest": self._rest,
            "acme": lambda given: self.ordering.finalize(self.account, self.order, given),
            "est secret": lambda given: self.enrolling.enrol(given, secret=self.secret),
            "est certificate": lambda given: self.enrolling.enrol(given, der=self.identity),
        }
        return ways[protocol](parse_csr(csr))

    def _rest(self, csr):
        mint = self.issuing.mints["rest"]
        authorization = authorize_request(mint, REQUESTER, PROFILE, csr)
        return self.issuing.gate.issue(CertificateRequest(csr, authorization))

    def key(self, word):
        if word == "authority":
            return self.issuing.root_key
        issued = self.issuing.issue("leaked.example.com", profile="tls-client")
        revoke_certificate(self.issuing.context, OPERATOR, issued.certificate_id, "keyCompromise")
        return self.issuing.keys[issued.certificate_id]


@pytest.mark.parametrize("case", CASES)
def test_r14_every_protocol_refuses_by_the_same_rules(ordering, enrolling, case):
    asked, change, rule = CASES[case]
    clients = Clients(ordering, enrolling)
    key = clients.key(asked) if isinstance(asked, str) else ec.generate_private_key(ec.SECP256R1())
    if change is not None:
        profile = enrolling.profile(PROFILE)
        enrolling.put(profile.model_copy(update=change(profile)))
    before = issued_count(clients.issuing)
    more = {} if isinstance(asked, str) else asked
    for protocol in PROTOCOLS:
        error = refusal(clients.ask, protocol, make_csr(key, **more))
        assert error.rule_ids == (rule,), protocol
    refused = events(clients.issuing, "issue.refused")
    assert [leaf["data"]["rule_ids"] for leaf in refused] == [[rule]] * len(PROTOCOLS)
    assert issued_count(clients.issuing) == before


def test_r14_what_no_rule_refuses_is_granted_over_every_protocol(ordering, enrolling):
    clients = Clients(ordering, enrolling)
    before = issued_count(clients.issuing)
    for protocol in PROTOCOLS:
        csr = make_csr(ec.generate_private_key(ec.SECP256R1()), [(NameOID.COMMON_NAME, NAME)])
        clients.ask(protocol, csr)
    assert issued_count(clients.issuing) == before + len(PROTOCOLS)


@pytest.mark.parametrize(
    ("name", "profile", "rule"),
    [
        ("www.example.org", PROFILE, "ACCESS-NAME"),
        (NAME, "tls-client", "ACCESS-PROFILE"),
    ],
)
def test_r14_a_credential_bounds_its_holder_alike_over_rest_and_est(enrolling, name, profile, rule):
    bounds = {"profiles": (PROFILE,), "names": ("dns:**.example.com",)}
    granted, _ = enrolling.granted(**bounds)
    mint, context = enrolling.issuing.mints["rest"], enrolling.issuing.context
    principal = authenticate_client_certificate(context, granted.der)
    secret = enrolling.secret(profile=PROFILE, names=bounds["names"])
    found = [
        refusal(authorize_request, mint, principal, profile, csr_for(name)).rule_ids,
        enrolling.refused(csr_for(name), der=granted.der, profile=profile)[1],
        enrolling.refused(csr_for(name), secret=secret, profile=profile)[1],
    ]
    assert found == [(rule,)] * 3


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        ("expired", "ACCESS-CERT-TIME"),
        ("revoked", "ACCESS-CERT-REVOKED"),
        ("held", "ACCESS-CERT-REVOKED"),
        ("purpose", "ACCESS-CERT-USE"),
        ("foreign", "ACCESS-CERT-UNKNOWN"),
        ("self-signed", "ACCESS-CERT-UNKNOWN"),
        ("compromised", "ACCESS-CERT-COMPROMISED"),
        ("garbage", "ACCESS-CERT-FORMAT"),
    ],
)
def test_r13_a_bad_client_certificate_is_refused_alike_everywhere(enrolling, spoil, rule):
    der = spoilt(enrolling.issuing, spoil)
    parts, peer, csr = enrolling.parts, Peer(der), csr_for(NAME)
    found = [
        refusal(authenticate_client_certificate, parts.context, der),
        refusal(check_presented, parts, peer),
        refusal(lambda: enrolling.enrol(csr, der=der)),
        refusal(lambda: enrolling.enrol(csr, der=der, secret=enrolling.secret())),
        refusal(lambda: enrolling.reenrol(csr, der)),
    ]
    assert [(each.kind, each.rule_ids) for each in found] == [(Kind.UNAUTHENTICATED, (rule,))] * 5


def spoilt(issuing, word):
    """A client certificate that is not good, in DER."""
    if word == "garbage":
        return b"\x30\x03\x02\x01\x01"
    key = ec.generate_private_key(ec.SECP256R1())
    if word == "foreign":
        return forged(issuing, key, issuing.issuer.subject, ec.generate_private_key(ec.SECP256R1()))
    if word == "self-signed":
        return forged(issuing, key, x509.Name([]), key)
    issued = issuing.issue(NAME, profile="tls-server" if word == "purpose" else PROFILE)
    if word == "expired":
        issuing.clock.advance(days=31)
    if word in {"revoked", "held"}:
        reason = {"revoked": "superseded", "held": "certificateHold"}[word]
        revoke_certificate(issuing.context, OPERATOR, issued.certificate_id, reason)
    if word == "compromised":
        other = issuing.gate.issue(_same_key(issuing, issued))
        revoke_certificate(issuing.context, OPERATOR, other.certificate_id, "keyCompromise")
    return issued.der


def _same_key(issuing, issued):
    csr = parse_csr(make_csr(issuing.keys[issued.certificate_id]))
    return CertificateRequest(csr, authorize_request(issuing.mints["rest"], OPERATOR, "tls-server", csr))


def issued_count(issuing):
    with issuing.context.database.read() as connection:
        return connection.execute(text("SELECT count(*) FROM certificate")).scalar_one()
