"""Revocation by ACME, the three ways of RFC 8555 §7.6, each with everything that it refuses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select

from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import parse_identifier
from ca_server.core.jose import parse_jwk
from ca_server.core.signatures import spki_sha256
from ca_server.services.access import authorize_request
from ca_server.services.acme.authorizations import deactivate_authorization
from ca_server.services.acme.orders import pre_authorize
from ca_server.services.acme.revocation import revoke_by_account, revoke_by_key
from ca_server.services.certificate_request import CertificateRequest
from ca_server.services.credentials import OPERATOR
from ca_server.services.revoke import revoke_certificate
from ca_server.store import tables
from ca_server.store.acme_tables import acme_authorization
from ca_server.store.inventory import find_certificate
from ca_server.store.issuance import is_compromised
from tests import world
from tests.fixtures.acme_keys import AccountKey
from tests.fixtures.issuing import make_csr

OWN, KEY = "own account", "certificate key"
# What each way may say: numbers of RFC 5280 §5.3.1 and the words that are stored.
WORDS = {
    None: "unspecified",
    0: "unspecified",
    1: "keyCompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    9: "privilegeWithdrawn",
}


class Case:
    """One issued certificate, and everybody who might want it revoked."""

    def __init__(self, ordering, *names):
        self.ordering = ordering
        self.context = ordering.issuing.context
        self.names = names or ("a.example.com", "b.example.com")
        self.account = ordering.account()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.der, self.id = self.issue(self.account, self.key)

    def issue(self, account, key):
        order = self.ordering.prove(account, self.ordering.order(account, *self.names))
        csr = parse_csr(make_csr(key, *self.names).encode())
        done = self.ordering.finalize(account, order, csr)
        with self.context.database.read() as connection:
            return find_certificate(connection, done.certificate_id).der, done.certificate_id

    def holder_of(self, *names, subdomains=False):
        """Another account with valid authorizations for these names."""
        account = self.ordering.account()
        if subdomains:
            profile = self.ordering.rules.policies.profile("tls-server")
            for name in names:
                pending = pre_authorize(
                    self.context,
                    self.ordering.rules,
                    account,
                    profile,
                    parse_identifier(f"dns:{name}"),
                    subdomains=True,
                )
                self.ordering.settle(account, pending)
        else:
            self.ordering.prove(account, self.ordering.order(account, *names))
        return account

    def revoke(self, way, reason=None, der=None):
        if way == KEY:
            revoke_by_key(self.context, jwk_of(self.key), self.der if der is None else der, reason)
        else:
            revoke_by_account(
                self.context, self.account if way == OWN else way, self.der if der is None else der, reason
            )

    def refused(self, way, reason=None, der=None) -> CaError:
        with pytest.raises(CaError) as caught:
            self.revoke(way, reason, der)
        return caught.value

    @property
    def reason(self):
        """Why it is revoked, or None."""
        with self.context.database.read() as connection:
            return find_certificate(connection, self.id).revocation_reason

    def events(self, kind):
        with self.context.database.read() as connection:
            query = select(tables.audit_event.c.body).where(tables.audit_event.c.kind == kind)
            return [json.loads(row.body) for row in connection.execute(query)]

    def authorization_ids(self, account):
        with self.context.database.read() as connection:
            query = select(acme_authorization.c.id).where(acme_authorization.c.account_id == account.id)
            return list(connection.execute(query).scalars())

    def is_banned(self):
        with self.context.database.read() as connection:
            return is_compromised(connection, spki_sha256(self.key.public_key()))


def jwk_of(private):
    return parse_jwk(AccountKey("ES256", private).jwk)


@pytest.fixture
def case(ordering):
    return Case(ordering)


@pytest.mark.parametrize(("way", "reason"), [*((OWN, each) for each in WORDS), (KEY, None), (KEY, 1)])
def test_the_owner_and_the_key_revoke_for_each_of_their_reasons(case, way, reason):
    case.revoke(way, reason)
    assert case.reason == WORDS[reason]
    assert case.is_banned() is (reason == 1)
    [event] = case.events("revoke.done")
    who = f"account:{case.account.id}" if way == OWN else f"certificate-key:{jwk_of(case.key).spki_sha256}"
    assert event["actor"]["id"] == who
    world.check(case.context.database)


@pytest.mark.parametrize("way", [OWN, KEY])
def test_reasons_that_are_not_for_a_subscriber_are_refused(case, way):
    """2 and 10 say that an authority is lost, 6 and 8 are a hold and its end, 7 is nothing."""
    for reason in (-1, 2, 6, 7, 8, 10, 11, 2**31, 2**70):
        error = case.refused(way, reason)
        assert (error.kind, error.rule_ids) == (Kind.MALFORMED, ("ACME-REASON",))
        assert "4 superseded" in error.detail
    assert case.reason is None


def test_another_account_that_holds_all_names_revokes_but_bans_no_key(case):
    other = case.holder_of(*case.names)
    error = case.refused(other, 1)
    assert error.rule_ids == ("ACME-REASON",)
    assert "1 keyCompromise" not in error.detail
    assert not case.is_banned()
    case.revoke(other, 4)
    assert case.reason == "superseded"
    [event] = case.events("revoke.done")
    assert event["actor"]["id"] == f"account:{other.id}"


def test_r11_some_of_the_names_are_not_all(case):
    for held in (("a.example.com",), ("b.example.com", "c.example.com"), ("example.com",)):
        error = case.refused(case.holder_of(*held))
        assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("ACME-REVOKE-ACCOUNT",))
    assert case.reason is None


def test_authorizations_that_ended_count_for_nothing(case):
    gone, late = case.holder_of(*case.names), case.holder_of(*case.names)
    first = case.authorization_ids(gone)[0]
    deactivate_authorization(case.context, gone, first)
    assert case.refused(gone).rule_ids == ("ACME-REVOKE-ACCOUNT",)
    case.ordering.issuing.clock.advance(hours=9)
    assert case.refused(late).rule_ids == ("ACME-REVOKE-ACCOUNT",)
    case.revoke(OWN)


def test_pending_authorizations_count_for_nothing(case):
    other = case.ordering.account()
    case.ordering.order(other, *case.names)
    assert case.refused(other).rule_ids == ("ACME-REVOKE-ACCOUNT",)


def test_a_wildcard_needs_the_wildcard_and_a_name_the_name(ordering):
    wild = Case(ordering, "*.example.com")
    assert wild.refused(wild.holder_of("example.com")).rule_ids == ("ACME-REVOKE-ACCOUNT",)
    assert wild.refused(wild.holder_of("a.example.com")).rule_ids == ("ACME-REVOKE-ACCOUNT",)
    plain = Case(ordering, "example.com")
    assert plain.refused(plain.holder_of("*.example.com")).rule_ids == ("ACME-REVOKE-ACCOUNT",)
    wild.revoke(wild.holder_of("*.example.com"))
    assert wild.reason == "unspecified"


def test_an_authorization_for_subdomains_stands_for_all_below(ordering):
    """RFC 9444; and for nothing beside it."""
    case = Case(ordering, "a.b.example.com", "*.c.example.com")
    beside = case.holder_of("b.example.com", subdomains=True)
    assert case.refused(beside).rule_ids == ("ACME-REVOKE-ACCOUNT",)
    case.revoke(case.holder_of("example.com", subdomains=True))
    assert case.reason == "unspecified"


def test_what_was_issued_over_rest_is_revoked_by_who_proves_a_right_to_it(ordering):
    """By whoever holds its names now, and by its key; never by an account just because it is one."""
    case = Case(ordering)
    for way in ("holder", "key"):
        issued = ordering.issuing.issue("rest.example.com")
        assert case.refused(OWN, der=issued.der).rule_ids == ("ACME-REVOKE-ACCOUNT",)
        assert case.refused(KEY, der=issued.der).rule_ids == ("ACME-REVOKE-KEY",)
        case.id, case.key = issued.certificate_id, ordering.issuing.keys[issued.certificate_id]
        case.revoke(KEY if way == "key" else case.holder_of("rest.example.com"), der=issued.der)
        assert case.reason == "unspecified"


def test_a_certificate_without_names_is_held_by_nobody(ordering):
    """No names are no set of names that an account holds all of: only its key revokes it."""
    case = Case(ordering)
    case.key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "OCSP signer 1")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    csr = parse_csr(builder.sign(case.key, hashes.SHA256()).public_bytes(Encoding.DER))
    authorization = authorize_request(ordering.issuing.mints["rest"], OPERATOR, "ocsp-signer", csr)
    issued = ordering.issuing.gate.issue(CertificateRequest(csr, authorization))
    case.id, case.der = issued.certificate_id, issued.der
    for account in (case.account, ordering.account(), case.holder_of("a.example.com")):
        assert case.refused(account).rule_ids == ("ACME-REVOKE-ACCOUNT",)
    case.revoke(KEY)
    assert case.reason == "unspecified"


def test_another_key_revokes_nothing_not_even_the_accounts(case):
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    others = (
        AccountKey("ES256", ec.generate_private_key(ec.SECP256R1())),
        AccountKey("ES256", case.ordering.keys[case.account.id]),
        AccountKey("RS256", rsa_key),
    )
    for key in others:
        with pytest.raises(CaError) as caught:
            revoke_by_key(case.context, parse_jwk(key.jwk), case.der, None)
        assert (caught.value.kind, caught.value.rule_ids) == (Kind.FORBIDDEN, ("ACME-REVOKE-KEY",))
    assert case.reason is None


@pytest.mark.parametrize("way", [OWN, KEY])
def test_only_the_very_bytes_that_we_issued_are_revoked(case, way):
    certificate = x509.load_der_x509_certificate(case.der)
    for der in (
        b"",
        b"\x00",
        case.der + b"\x00",
        case.der[:-1],
        case.der[:-1] + bytes([case.der[-1] ^ 1]),
        certificate.public_bytes(Encoding.PEM),
        case.ordering.issuing.issuer.public_bytes(Encoding.DER),
        case.ordering.issuing.root.public_bytes(Encoding.DER),
        b"\x30\x84\x7f\xff\xff\xff" + b"\x00" * 60_000,
    ):
        error = case.refused(way, der=der)
        assert (error.kind, error.rule_ids) == (Kind.NOT_FOUND, ("ACME-CERTIFICATE",))
    assert case.reason is None


@pytest.mark.parametrize("way", [OWN, KEY])
def test_what_is_revoked_is_revoked_once(case, way):
    case.revoke(OWN, 4)
    error = case.refused(way, 1)
    assert (error.kind, error.rule_ids) == (Kind.ALREADY_REVOKED, ("REVOKE-ALREADY",))
    assert case.reason == "superseded"
    assert not case.is_banned()


def test_a_hold_of_an_officer_is_made_final(case):
    revoke_certificate(case.context, OPERATOR, case.id, "certificateHold")
    case.revoke(KEY, 1)
    assert case.reason == "keyCompromise"
    assert case.is_banned()


def test_r16_a_banned_key_gets_no_certificate_any_more(case):
    case.revoke(KEY, 1)
    with pytest.raises(CaError) as caught:
        case.issue(case.account, case.key)
    assert "KEY-COMPROMISED" in caught.value.rule_ids


def test_r36_of_fifty_who_revoke_at_once_by_three_ways_one_does(case):
    other = case.holder_of(*case.names)
    ways = [OWN, KEY, other] * 17

    def attempt(way):
        try:
            case.revoke(way, 4)
        except CaError as error:
            return error.rule_ids[0]
        return "done"

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(attempt, ways))
    assert sorted(outcomes) == ["REVOKE-ALREADY"] * 50 + ["done"]
    assert len(case.events("revoke.done")) == 1


def test_refusals_are_written_down_and_do_not_fill_the_log(case):
    """Anybody with any key may ask as often as they like: ten an hour are told for one certificate."""
    key = parse_jwk(AccountKey("ES256", ec.generate_private_key(ec.SECP256R1())).jwk)
    for _ in range(25):
        with pytest.raises(CaError):
            revoke_by_key(case.context, key, case.der, None)
    written = case.events("revoke.refused")
    assert len(written) == 10
    assert written[0]["actor"]["id"] == f"certificate-key:{key.spki_sha256}"
    assert written[0]["data"]["rule_ids"] == ["ACME-REVOKE-KEY"]
    case.ordering.issuing.clock.advance(minutes=6)
    with pytest.raises(CaError):
        revoke_by_key(case.context, key, case.der, None)
    assert len(case.events("revoke.refused")) == 11
