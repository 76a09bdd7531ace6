"""Who enrols over EST, for what, and how often: secrets, certificates, both, races and retries."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID

from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.services.credentials import OPERATOR
from ca_server.services.est.secrets import revoke_enrolment_secret
from ca_server.services.replay import replay
from ca_server.services.revoke import revoke_certificate
from ca_server.store.engine import Database
from ca_server.store.requests import find_past_request
from tests import world
from tests.fixtures.enrolling import csr_for, refusal
from tests.integration.test_access import events
from tests.integration.test_acme_accounts import race


@pytest.fixture
def client(enrolling):
    """Whoever enrols."""
    return enrolling


# Secrets


def test_a_secret_gives_one_certificate_and_the_same_csr_the_same_one(client):
    secret, csr = client.secret(max_uses=1), csr_for("a.example.com")
    issued = client.enrol(csr, secret=secret)
    assert client.enrol(csr, secret=secret) == issued
    assert client.refused(csr_for("a.example.com"), secret=secret) == (
        Kind.UNAUTHENTICATED,
        ("EST-SECRET-SPENT",),
    )
    (intent,) = events(client.issuing, "issue.intent")
    assert intent["data"]["secret"] == secret[0]
    assert intent["actor"]["id"] == f"secret:{secret[0]}"
    world.check(client.issuing.context.database)


def test_of_a_hundred_who_race_with_a_one_time_secret_one_gets_a_certificate(client):
    secret = client.secret(max_uses=1)
    csrs = [csr_for(f"n{number}.example.com") for number in range(100)]
    found = race(100, lambda number: client.enrol(csrs[number], secret=secret))
    issued = [each for each in found if not isinstance(each, Exception)]
    assert len(issued) == 1
    for error in found:
        if isinstance(error, Exception):
            assert isinstance(error, CaError), error
            assert error.kind in {Kind.UNAUTHENTICATED, Kind.UNAVAILABLE}, error
            assert error.kind is Kind.UNAVAILABLE or error.rule_ids == ("EST-SECRET-SPENT",)
    assert world.check(client.issuing.context.database)["certificates"] == 1


def test_the_same_csr_from_many_at_once_is_one_certificate(client):
    secret, csr = client.secret(max_uses=1), csr_for("a.example.com")
    found = race(20, lambda _: client.enrol(csr, secret=secret))
    assert len({each.certificate_id for each in found if not isinstance(each, CaError)}) == 1
    assert {each.kind for each in found if isinstance(each, CaError)} <= {Kind.UNAVAILABLE}
    assert world.check(client.issuing.context.database)["certificates"] == 1


def test_what_is_refused_costs_nothing(client):
    secret = client.secret(max_uses=1, names=("dns:**.example.com",))
    assert client.refused(csr_for("*.example.com"), secret=secret)[1] == ("PROFILE-NAME-WILDCARD",)
    assert client.refused(csr_for("a.example.org"), secret=secret)[1] == ("ACCESS-NAME",)
    client.enrol(csr_for("a.example.com"), secret=secret)


@pytest.mark.parametrize("spoilt", ["user", "password", "swapped", "empty", "long", "not-ascii"])
def test_a_guessed_secret_is_refused_whatever_is_wrong_with_it(client, spoilt):
    user, password = client.secret()
    given = {
        "user": ("0" * 36, password),
        "password": (user, f"{password}x"),
        "swapped": (password, user),
        "empty": ("", ""),
        "long": ("u" * 10_000, "p" * 10_000),
        "not-ascii": ("ü", "\udcff"),
    }[spoilt]
    assert client.refused(csr_for("a.example.com"), secret=given) == (
        Kind.UNAUTHENTICATED,
        ("EST-SECRET",),
    )


def test_a_secret_ends_and_is_revoked(client):
    ended, revoked = client.secret(), client.secret()
    revoke_enrolment_secret(client.issuing.context, OPERATOR, revoked[0])
    assert client.refused(csr_for("a.example.com"), secret=revoked)[1] == ("EST-SECRET",)
    client.issuing.clock.advance(days=2)
    assert client.refused(csr_for("a.example.com"), secret=ended)[1] == ("EST-SECRET",)
    again = refusal(revoke_enrolment_secret, client.issuing.context, OPERATOR, revoked[0])
    assert (again.kind, again.rule_ids) == (Kind.NOT_FOUND, ("EST-SECRET-UNKNOWN",))


def test_a_secret_is_for_its_one_profile(client):
    secret = client.secret(profile="tls-peer")
    assert client.refused(csr_for("a.example.com"), secret=secret, profile="tls-client")[1] == (
        "ACCESS-PROFILE",
    )


def test_r17_a_common_name_alone_is_a_name_and_bounded_like_one(client):
    secret = client.secret(names=("dns:a.example.com",))
    issued = client.enrol(csr_for(common_name="a.example.com"), secret=secret)
    (san,) = (
        x509.load_der_x509_certificate(issued.der)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert san == x509.DNSName("a.example.com")
    assert client.refused(csr_for(common_name="b.example.com"), secret=secret)[1] == ("ACCESS-NAME",)
    other = csr_for("a.example.com", common_name="b.example.com")
    assert client.refused(other, secret=secret)[1] == ("PROFILE-SUBJECT-NAME",)


def test_r17_a_common_name_is_judged_again_as_it_was_at_the_door(client):
    csr = csr_for(common_name="a.example.com")
    issued = client.enrol(csr, secret=client.secret())
    issuing = client.issuing
    with issuing.context.database.read() as connection:
        past = find_past_request(connection, issued.request_id)
    facts = issuing.gate._facts(csr, issuing.clock.now(), compromised=False, waiting=None)
    fields = replay(parse_csr(past.csr_der), past, client.profile(), facts)
    assert [str(each) for each in fields.identifiers] == ["dns:a.example.com"]


def test_failures_are_limited_for_a_secret_and_for_an_address(client):
    client = client.with_settings(limits={"failures_per_address": "5/600s", "failures_per_secret": "2/600s"})
    secret = client.secret()
    wrong = (secret[0], "sk_wrong")
    kinds = [client.refused(csr_for("a.example.com"), secret=wrong)[1][0] for _ in range(3)]
    assert kinds == ["EST-SECRET", "EST-SECRET", "EST-LIMIT-FAILURES"]
    # From everywhere; the right password is good all the same, or guessing would keep its owner out.
    error = refusal(lambda: client.enrol(csr_for("a.example.com"), secret=wrong, address="198.51.100.1"))
    assert (error.kind, error.rule_ids) == (Kind.RATE_LIMITED, ("EST-LIMIT-FAILURES",))
    assert 0 < error.retry_after <= 300
    client.enrol(csr_for("b.example.com"), secret=secret, address="198.51.100.1")
    for number in range(4):
        rules = client.refused(csr_for("a.example.com"), secret=(f"guess-{number}", "x"))[1]
        assert rules == ("EST-SECRET" if number < 3 else "EST-LIMIT-FAILURES",)
    client.issuing.clock.advance(seconds=600)
    assert client.refused(csr_for("a.example.com"), secret=wrong)[1] == ("EST-SECRET",)


def test_who_fails_keeps_nobody_out_who_does_not(client, monkeypatch):
    """Many devices share an address; and once a bucket is full, guessing on costs no writing."""
    client = client.with_settings(limits={"failures_per_address": "2/600s"})
    rules = [client.refused(csr_for("a.example.com"), secret=(f"u{number}", "x"))[1] for number in range(4)]
    assert rules == [("EST-SECRET",)] * 2 + [("EST-LIMIT-FAILURES",)] * 2
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", None)
        assert client.refused(csr_for("a.example.com"), secret=("u", "x"))[1] == ("EST-LIMIT-FAILURES",)
    client.enrol(csr_for("a.example.com"), secret=client.secret())


def test_a_spent_secret_is_not_held_against_its_address(client):
    client = client.with_settings(limits={"failures_per_address": "2/600s"})
    secret = client.secret(max_uses=1)
    client.enrol(csr_for("a.example.com"), secret=secret)
    for _ in range(4):
        assert client.refused(csr_for("b.example.com"), secret=secret)[1] == ("EST-SECRET-SPENT",)
    assert client.refused(csr_for("b.example.com"), secret=("guess", "x"))[1] == ("EST-SECRET",)


def test_what_is_refused_is_kept_for_so_often_and_keeps_nothing_right_out(client):
    client = client.with_settings(limits={"refusals_per_identity": "2/600s"})
    secret = client.secret()
    rules = [client.refused(csr_for("*.example.com"), secret=secret)[1] for _ in range(4)]
    assert rules == [("PROFILE-NAME-WILDCARD",)] * 2 + [("EST-LIMIT-REFUSALS",)] * 2
    error = refusal(lambda: client.enrol(csr_for("*.example.com"), secret=secret))
    assert error.kind is Kind.RATE_LIMITED
    assert 0 < error.retry_after <= 300
    assert len(events(client.issuing, "issue.refused")) == 2
    assert client.refused(csr_for("*.example.com"), secret=client.secret())[1] == ("PROFILE-NAME-WILDCARD",)
    client.enrol(csr_for("a.example.com"), secret=secret)
    client.issuing.clock.advance(seconds=300)
    assert client.refused(csr_for("*.example.com"), secret=secret)[1] == ("PROFILE-NAME-WILDCARD",)
    world.check(client.issuing.context.database)


def test_a_spent_secret_counts_as_a_failure(client):
    client = client.with_settings(limits={"failures_per_secret": "2/600s"})
    secret = client.secret(max_uses=1)
    client.enrol(csr_for("a.example.com"), secret=secret)
    kinds = [client.refused(csr_for("b.example.com"), secret=secret)[1][0] for _ in range(3)]
    assert kinds == ["EST-SECRET-SPENT", "EST-SECRET-SPENT", "EST-LIMIT-FAILURES"]


# The same CSR once more


def test_a_csr_kept_for_years_is_a_new_request_once_its_certificate_has_ended(client):
    secret, csr = client.secret(), csr_for("a.example.com")
    first = client.enrol(csr, secret=secret)
    revoke_certificate(client.issuing.context, OPERATOR, first.certificate_id, "superseded")
    second = client.enrol(csr, secret=secret)
    assert second.certificate_id != first.certificate_id
    assert client.enrol(csr, secret=secret) == second
    client.issuing.clock.advance(days=31)
    identity = client.issuing.issue("a.example.com", profile="tls-peer")
    third = client.enrol(csr, der=identity.der)
    client.issuing.clock.advance(days=29)
    assert client.enrol(csr, der=identity.der) == third


# Certificates


def test_r17_a_certificate_of_ours_enrols_for_names_of_its_own(client):
    identity = client.issuing.issue("node.example.com", profile="tls-peer")
    issued = client.enrol(csr_for("node.example.com"), der=identity.der)
    (*_, intent) = events(client.issuing, "issue.intent")
    assert intent["actor"]["id"] == f"certificate:{identity.certificate_id}"
    assert issued.certificate_id != identity.certificate_id
    for names in (("other.example.com",), ("node.example.com", "other.example.com"), ("*.example.com",), ()):
        assert client.refused(csr_for(*names), der=identity.der) == (Kind.FORBIDDEN, ("ACCESS-NAME",))


def test_r17_a_wildcard_in_a_certificate_is_no_pattern(client):
    client.parts.policies._profiles["tls-peer"] = client.profile().model_copy(
        update={"names": client.profile().names.model_copy(update={"wildcard": True})}
    )
    identity = client.issuing.issue("*.example.com", profile="tls-peer")
    assert client.refused(csr_for("a.example.com"), der=identity.der)[1] == ("ACCESS-NAME",)
    client.enrol(csr_for("*.example.com"), der=identity.der)


def test_r16_enrolling_with_a_certificate_goes_on_with_its_chain(client):
    """Else simpleenroll would renew for ever what simplereenroll does not."""
    client.bend(identity_profiles=("tls-peer",), max_renewals=2, max_renewal_age="40d")
    last = client.enrol(csr_for("a.example.com"), secret=client.secret())
    last = client.enrol(csr_for("a.example.com"), der=last.der)
    last = client.reenrol(csr_for("a.example.com"), last.der)
    csr = csr_for("a.example.com")
    assert client.refused(csr, der=last.der) == (Kind.FORBIDDEN, ("EST-RENEWAL-COUNT",))
    assert client.renewal_refused(csr, last.der)[1] == ("EST-RENEWAL-COUNT",)
    world.check(client.issuing.context.database)
    client.bend(identity_profiles=("tls-peer",), max_renewal_age="40d")
    client.issuing.clock.advance(days=25)
    last = client.enrol(csr, der=last.der)
    client.issuing.clock.advance(days=16)
    assert client.refused(csr_for("a.example.com"), der=last.der)[1] == ("EST-RENEWAL-AGE",)
    # A secret is an officer's word to begin anew.
    client.bend(identity_profiles=("tls-peer",), max_renewal_age="40d", authentication="both")
    client.enrol(csr_for("a.example.com"), der=last.der, secret=client.secret())


def test_r16_enrolling_with_a_certificate_wants_a_new_key_where_renewal_does(client):
    client.bend(identity_profiles=("tls-peer",), new_key_on_renewal=True)
    key = ec.generate_private_key(ec.SECP256R1())
    first = client.enrol(csr_for("a.example.com", key=key), secret=client.secret())
    refused = client.refused(csr_for("a.example.com", key=key), der=first.der)
    assert refused == (Kind.FORBIDDEN, ("EST-RENEWAL-KEY",))
    client.enrol(csr_for("a.example.com"), der=first.der)


def test_a_certificate_that_came_over_acme_is_no_identity(client, ordering):
    """Its names were proven for that one certificate; whoever has lost them must not get another."""
    der = ordering.certificate("a.example.com", "tls-peer")
    refused = client.refused(csr_for("a.example.com"), der=der)
    assert refused == (Kind.FORBIDDEN, ("EST-RENEWAL-ACME",))


def test_a_certificate_of_another_profile_is_no_identity(client):
    other = client.issuing.issue("node.example.com", profile="tls-client")
    assert client.refused(csr_for("node.example.com"), der=other.der) == (
        Kind.UNAUTHENTICATED,
        ("ACCESS-IDENTITY",),
    )


def test_a_granted_key_enrols_for_others_within_its_patterns(client):
    issued, grant = client.granted()
    client.enrol(csr_for("anything.example.com"), der=issued.der)
    (*_, intent) = events(client.issuing, "issue.intent")
    assert intent["actor"]["id"] == f"key:{grant.id}"
    assert client.refused(csr_for("a.example.org"), der=issued.der)[1] == ("ACCESS-NAME",)
    narrow, _ = client.granted("ra2.example.com", profiles=("tls-client",))
    assert client.refused(csr_for("a.example.com"), der=narrow.der)[1] == ("ACCESS-PROFILE",)


# What a profile asks for


def credentials(client):
    secret, identity = client.secret(), client.issuing.issue("a.example.com", profile="tls-peer")
    return {
        "nothing": {},
        "secret": {"secret": secret},
        "certificate": {"der": identity.der},
        "both": {"secret": secret, "der": identity.der},
    }


@pytest.mark.parametrize(
    ("authentication", "enough"),
    [
        ("either", {"secret", "certificate", "both"}),
        ("secret", {"secret", "both"}),
        ("certificate", {"certificate", "both"}),
        ("both", {"both"}),
    ],
)
def test_a_profile_says_what_proof_is_enough(client, authentication, enough):
    given = credentials(client)
    client.bend(authentication=authentication, identity_profiles=("tls-peer",))
    for name, each in given.items():
        if name in enough:
            client.enrol(csr_for("a.example.com"), **each)
        else:
            assert client.refused(csr_for("a.example.com"), **each) == (
                Kind.UNAUTHENTICATED,
                ("ACCESS-CREDENTIALS",),
            ), name


def test_where_both_are_asked_for_each_has_to_allow_the_names(client):
    client.bend(authentication="both", identity_profiles=("tls-peer",))
    wide, narrow = client.secret(), client.secret(names=("dns:b.example.com",))
    identity = client.issuing.issue("a.example.com", profile="tls-peer")
    issued = client.enrol(csr_for("a.example.com"), secret=wide, der=identity.der)
    (*_, intent) = events(client.issuing, "issue.intent")
    assert intent["actor"]["id"] == f"certificate:{identity.certificate_id}"
    assert intent["data"]["secret"] == wide[0]
    assert issued.der
    for name in ("a.example.com", "b.example.com"):
        assert client.refused(csr_for(name), secret=narrow, der=identity.der)[1] == ("ACCESS-NAME",)


def test_no_secret_makes_up_for_a_bad_certificate(client):
    given = {"secret": client.secret(), "der": client.issuing.issue("a.example.com", profile="tls-peer").der}
    client.issuing.clock.advance(hours=1)
    revoked = client.issuing.issue("b.example.com", profile="tls-peer")
    revoke_certificate(client.issuing.context, OPERATOR, revoked.certificate_id, "superseded")
    client.enrol(csr_for("a.example.com"), **given)
    given["der"] = revoked.der
    assert client.refused(csr_for("a.example.com"), **given)[1] == ("ACCESS-CERT-REVOKED",)


# The connection


def bound_csr(name, text):
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
    builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, text)
    return parse_csr(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


def test_a_profile_binds_a_csr_to_its_connection(client):
    client.bend(channel_binding=True)
    secret, binding = client.secret(), b"\x01" * 32
    bound = bound_csr("a.example.com", base64.b64encode(binding))
    for csr, known in (
        (csr_for("a.example.com"), binding),
        (bound_csr("a.example.com", base64.b64encode(b"\x02" * 32)), binding),
        (bound, None),
    ):
        assert client.refused(csr, secret=secret, binding=known) == (
            Kind.BAD_CSR,
            ("EST-CHANNEL-BINDING",),
        )
    issued = client.enrol(bound, secret=secret, binding=binding)
    # A retry comes over another connection; what was bound once stays bound.
    assert client.enrol(bound, secret=secret, binding=b"\x03" * 32) == issued


def test_where_no_binding_is_asked_for_a_challenge_password_is_nobodys_business(client):
    client.enrol(bound_csr("a.example.com", b"anything"), secret=client.secret())
