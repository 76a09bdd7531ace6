"""R16: renewal is by the certificate that is renewed, under the policy of now, and goes on for so long."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import KeyType
from ca_server.services.credentials import OPERATOR
from ca_server.services.revoke import revoke_certificate
from tests import world
from tests.fixtures.enrolling import csr_for
from tests.integration.test_access import events

NAME = "node.example.com"


@pytest.fixture
def first(enrolling):
    """A certificate that a device enrolled for."""
    return enrolling.enrol(csr_for(NAME), secret=enrolling.secret())


def test_a_certificate_renews_itself_and_the_same_csr_gets_the_same_one(enrolling, first):
    csr = csr_for(NAME)
    second = enrolling.reenrol(csr, first.der)
    assert enrolling.reenrol(csr, first.der) == second
    third = enrolling.reenrol(csr_for(NAME), second.der, profile="tls-peer")
    assert len({first.certificate_id, second.certificate_id, third.certificate_id}) == 3
    renewed = [leaf["data"].get("renews") for leaf in events(enrolling.issuing, "issue.intent")]
    assert renewed == [None, first.certificate_id, second.certificate_id]
    world.check(enrolling.issuing.context.database)


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"common_name": NAME}, "EST-RENEWAL-SUBJECT"),
        ({"names": ("other.example.com",)}, "EST-RENEWAL-NAMES"),
        ({"names": (NAME, "other.example.com")}, "EST-RENEWAL-NAMES"),
        ({"names": ()}, "EST-RENEWAL-NAMES"),
    ],
)
def test_another_subject_or_name_is_no_renewal(enrolling, first, asked, rule):
    csr = csr_for(*asked.get("names", (NAME,)), common_name=asked.get("common_name"))
    assert enrolling.renewal_refused(csr, first.der) == (Kind.BAD_CSR, (rule,))
    assert world.check(enrolling.issuing.context.database)["certificates"] == 1


def test_a_subject_of_nothing_is_called_empty(enrolling, first):
    with pytest.raises(CaError, match="certificate to be renewed: empty"):
        enrolling.reenrol(csr_for(NAME, common_name=NAME), first.der)


def test_a_common_name_that_the_certificate_has_is_the_same_subject(enrolling):
    first = enrolling.enrol(csr_for(NAME, common_name=NAME), secret=enrolling.secret())
    enrolling.reenrol(csr_for(NAME, common_name=NAME), first.der)
    assert enrolling.renewal_refused(csr_for(NAME), first.der)[1] == ("EST-RENEWAL-SUBJECT",)


def test_a_changed_name_in_an_attribute_is_refused(enrolling, first):
    key = ec.generate_private_key(ec.SECP256R1())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=True)
        .add_attribute(x509.ObjectIdentifier("1.3.6.1.5.5.7.7.36"), b"another")
        .sign(key, hashes.SHA256())
    )
    given = parse_csr(csr.public_bytes(Encoding.DER))
    assert enrolling.renewal_refused(given, first.der) == (Kind.BAD_CSR, ("EST-RENEWAL-CHANGE",))


def test_a_label_of_another_profile_is_refused(enrolling, first):
    assert enrolling.renewal_refused(csr_for(NAME), first.der, profile="tls-client") == (
        Kind.FORBIDDEN,
        ("EST-RENEWAL-PROFILE",),
    )


def test_nobody_renews_without_the_certificate(enrolling):
    assert enrolling.renewal_refused(csr_for(NAME), None) == (
        Kind.UNAUTHENTICATED,
        ("ACCESS-CREDENTIALS",),
    )


def test_r16_renewal_is_judged_by_the_policy_of_now(enrolling, first):
    now = enrolling.profile()
    keys = now.keys.model_copy(update={"allowed": (KeyType.EC_P384,)})
    enrolling.put(now.model_copy(update={"keys": keys}))
    assert enrolling.renewal_refused(csr_for(NAME), first.der)[1] == ("KEY-PROFILE",)
    enrolling.put(
        now.model_copy(update={"requesters": now.requesters.model_copy(update={"protocols": ("rest",)})})
    )
    assert enrolling.renewal_refused(csr_for(NAME), first.der)[1] == ("EST-RENEWAL-PROFILE",)
    del enrolling.parts.policies._profiles["tls-peer"]
    assert enrolling.renewal_refused(csr_for(NAME), first.der)[1] == ("EST-RENEWAL-PROFILE",)


def test_r16_a_key_on_the_compromise_list_renews_nothing(enrolling, first):
    """Neither what has it, nor into it; and a second certificate of that key is no way round."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = enrolling.secret()
    one, other = (enrolling.enrol(csr_for(name, key=key), secret=secret) for name in (NAME, "b.example.com"))
    revoke_certificate(enrolling.issuing.context, OPERATOR, one.certificate_id, "keyCompromise")
    assert enrolling.renewal_refused(csr_for(NAME), one.der)[1] == ("ACCESS-CERT-REVOKED",)
    rules = enrolling.renewal_refused(csr_for("b.example.com"), other.der)[1]
    assert rules in {("ACCESS-CERT-COMPROMISED",), ("ACCESS-CERT-REVOKED",)}
    assert enrolling.renewal_refused(csr_for(NAME, key=key), first.der)[1] == ("KEY-COMPROMISED",)


def test_r16_a_chain_of_renewals_has_an_end(enrolling):
    enrolling.bend(max_renewals=2)
    last = enrolling.enrol(csr_for(NAME), secret=enrolling.secret())
    for _ in range(2):
        last = enrolling.reenrol(csr_for(NAME), last.der)
    assert enrolling.renewal_refused(csr_for(NAME), last.der) == (Kind.FORBIDDEN, ("EST-RENEWAL-COUNT",))
    enrolling.bend()
    enrolling.reenrol(csr_for(NAME), last.der)
    world.check(enrolling.issuing.context.database)


def test_r16_a_chain_of_renewals_grows_old(enrolling):
    enrolling.bend(max_renewal_age="40d")
    last = enrolling.enrol(csr_for(NAME), secret=enrolling.secret())
    enrolling.issuing.clock.advance(days=25)
    last = enrolling.reenrol(csr_for(NAME), last.der)
    enrolling.issuing.clock.advance(days=14)
    last = enrolling.reenrol(csr_for(NAME), last.der)
    enrolling.issuing.clock.advance(days=2)
    assert enrolling.renewal_refused(csr_for(NAME), last.der) == (Kind.FORBIDDEN, ("EST-RENEWAL-AGE",))


def test_r16_what_came_another_way_begins_a_chain(enrolling):
    enrolling.bend(max_renewals=1)
    other = enrolling.issuing.issue(NAME, profile="tls-peer")
    renewed = enrolling.reenrol(csr_for(NAME), other.der)
    assert enrolling.renewal_refused(csr_for(NAME), renewed.der)[1] == ("EST-RENEWAL-COUNT",)


def test_what_came_over_acme_is_renewed_there(enrolling, ordering):
    """Over EST nobody would ask who controls the names now."""
    old = ordering.certificate(NAME, "tls-peer")
    assert enrolling.renewal_refused(csr_for(NAME), old) == (Kind.FORBIDDEN, ("EST-RENEWAL-ACME",))


def test_refused_renewals_are_kept_for_so_often(enrolling, first):
    enrolling = enrolling.with_settings(limits={"refusals_per_identity": "1/600s"})
    now = enrolling.profile()
    keys = now.keys.model_copy(update={"allowed": (KeyType.EC_P384,)})
    enrolling.put(now.model_copy(update={"keys": keys}))
    rules = [enrolling.renewal_refused(csr_for(NAME), first.der)[1] for _ in range(2)]
    assert rules == [("KEY-PROFILE",), ("EST-LIMIT-REFUSALS",)]


def test_a_profile_wants_a_new_key(enrolling):
    enrolling.bend(new_key_on_renewal=True)
    key = ec.generate_private_key(ec.SECP256R1())
    first = enrolling.enrol(csr_for(NAME, key=key), secret=enrolling.secret())
    assert enrolling.renewal_refused(csr_for(NAME, key=key), first.der) == (
        Kind.BAD_CSR,
        ("EST-RENEWAL-KEY",),
    )
    enrolling.reenrol(csr_for(NAME), first.der)


def test_r13_what_has_ended_or_was_revoked_is_not_renewed(enrolling, first):
    revoked = enrolling.enrol(csr_for("b.example.com"), secret=enrolling.secret())
    revoke_certificate(enrolling.issuing.context, OPERATOR, revoked.certificate_id, "superseded")
    assert enrolling.renewal_refused(csr_for("b.example.com"), revoked.der)[1] == ("ACCESS-CERT-REVOKED",)
    enrolling.issuing.clock.advance(days=31)
    assert enrolling.renewal_refused(csr_for(NAME), first.der)[1] == ("ACCESS-CERT-TIME",)
