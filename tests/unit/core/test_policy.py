"""The decision: what is granted, and each way in which it is refused, with all rules at once."""

from __future__ import annotations

import warnings
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca_server.core.authorization import Role
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import parse_identifier
from ca_server.core.policy import decide
from ca_server.core.signatures import KeyType
from ca_server.core.site import NameFloor, SiteRules
from ca_server.core.subject_rules import judge_subject
from tests.fakes.paper_authority import (
    NOW,
    authorize,
    dns,
    grant,
    ip,
    make_csr,
    make_facts,
    make_issuer,
    make_key,
    policies,
    subject,
)
from tests.fakes.paper_profiles import ACCEPTABLE, EMAIL, OTHER_NAME, URN, own_profile


def rules(profile, csr, **options):
    with pytest.raises(CaError) as caught:
        grant(profile, csr, **options)
    assert all(violation.detail for violation in caught.value.violations)
    return caught.value.kind, caught.value.rule_ids


@pytest.mark.parametrize(("name", "names", "asked"), ACCEPTABLE)
def test_each_profile_grants_what_it_is_for(name, names, asked):
    csr = make_csr(names, name=asked)
    fields = grant(name, csr, role=Role.OFFICER)
    assert set(fields.identifiers) == csr.identifiers
    assert fields.public_key == csr.public_key
    assert fields.not_before == NOW - policies().profile(name).validity.backdate
    assert fields.not_after == NOW + policies().profile(name).validity.default - timedelta(seconds=1)


def test_a_subordinate_authority_needs_approvals():
    csr = make_csr(name=subject(common_name="Department CA"))
    assert rules("subordinate-ca", csr, role=Role.OFFICER) == (Kind.POLICY_REFUSED, ("PROFILE-APPROVALS",))
    approved = make_facts(approvals=2)
    assert grant("subordinate-ca", csr, role=Role.OFFICER, facts=approved).profile.extensions.ca


@pytest.mark.parametrize(("path_length", "is_granted"), [(0, False), (1, True), (2, True), (None, True)])
def test_an_authority_that_may_have_none_below_it_makes_none(path_length, is_granted):
    csr = make_csr(name=subject(common_name="Department CA"))
    facts = make_facts(issuer=make_issuer(path_length=path_length), approvals=2)
    if is_granted:
        assert grant("subordinate-ca", csr, role=Role.OFFICER, facts=facts).profile.extensions.ca
    else:
        assert rules("subordinate-ca", csr, role=Role.OFFICER, facts=facts)[1] == ("PROFILE-PATH-LENGTH",)


@pytest.mark.parametrize("name", ["ocsp-signer", "subordinate-ca", "code-signing"])
def test_requesters_get_no_such_profile(name):
    kind, found = rules(name, make_csr(EMAIL))
    assert kind is Kind.FORBIDDEN
    assert "PROFILE-ROLE" in found


def test_an_auditor_gets_nothing():
    for name in policies().names:
        assert "PROFILE-ROLE" in rules(name, make_csr(dns("a.example.com")), role=Role.AUDITOR)[1]


def test_the_protocol_is_on_the_profiles_list():
    csr, profile = make_csr(dns("a.example.com")), policies().profile("code-signing")
    with pytest.raises(CaError) as caught:
        decide(csr, authorize(csr, profile.name, role=Role.OFFICER, protocol="acme"), profile, make_facts())
    assert caught.value.kind is Kind.FORBIDDEN
    assert caught.value.rule_ids == ("PROFILE-PROTOCOL",)


def test_an_authorization_for_another_profile_is_worth_nothing():
    csr = make_csr(dns("a.example.com"))
    with pytest.raises(CaError) as caught:
        decide(csr, authorize(csr, "tls-client"), policies().profile("tls-server"), make_facts())
    assert caught.value.rule_ids == ("PROFILE-AUTHORIZATION",)


def test_r5_the_names_are_exactly_those_authorized():
    csr, profile = make_csr(dns("a.example.com", "b.example.com")), policies().profile("tls-server")
    for authorized, rule_ids in [
        (["dns:a.example.com"], ("NAME-UNAUTHORIZED",)),
        (["dns:a.example.com", "dns:b.example.com", "dns:c.example.com"], ("NAME-MISSING",)),
        (["dns:a.example.com", "ip:10.0.0.1"], ("NAME-UNAUTHORIZED", "NAME-MISSING")),
        ([], ("NAME-UNAUTHORIZED", "NAME-UNAUTHORIZED")),
    ]:
        names = frozenset(parse_identifier(text) for text in authorized)
        with pytest.raises(CaError) as caught:
            decide(csr, authorize(csr, profile.name, identifiers=names), profile, make_facts())
        assert caught.value.kind is Kind.REJECTED_IDENTIFIER
        assert caught.value.rule_ids == rule_ids


@pytest.mark.parametrize(
    "extra",
    [
        x509.RFC822Name("root@example.com"),
        OTHER_NAME,
        x509.UniformResourceIdentifier("https://example.com/"),
        x509.DirectoryName(subject(common_name="admin")),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    ],
    ids=lambda name: type(name).__name__,
)
def test_r6_no_name_of_another_type_rides_along(extra):
    """Though it were authorized: the profile has no rules for its type."""
    kind, found = rules("tls-server", make_csr([*dns("a.example.com"), extra]))
    assert kind is Kind.REJECTED_IDENTIFIER
    assert found == ("PROFILE-NAME-TYPE",)


EVERY_ATTRIBUTE = sorted(
    (value for name, value in vars(NameOID).items() if not name.startswith("_")),
    key=lambda oid: oid.dotted_string,
)


@pytest.mark.parametrize("oid", EVERY_ATTRIBUTE, ids=lambda oid: oid.dotted_string)
def test_r6_no_subject_attribute_rides_along(oid):
    value = "DE" if oid in (NameOID.COUNTRY_NAME, NameOID.JURISDICTION_COUNTRY_NAME) else "admin"
    name = x509.Name([x509.NameAttribute(oid, value)] if oid != NameOID.X500_UNIQUE_IDENTIFIER else [])
    if not name.rdns:
        name = x509.Name([x509.NameAttribute(oid, b"\x01", x509.name._ASN1Type.BitString)])
    kind, found = rules("tls-server", make_csr(dns("a.example.com"), name=name))
    expected = "PROFILE-SUBJECT-NAME" if oid == NameOID.COMMON_NAME else "PROFILE-SUBJECT-ATTRIBUTE"
    assert (kind, found) == (Kind.POLICY_REFUSED, (expected,))


def test_r6_a_second_common_name_is_refused():
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("a.example.com", "b.example.com")]
    )
    csr = make_csr(dns("a.example.com", "b.example.com"), name=name)
    assert rules("tls-server", csr) == (Kind.POLICY_REFUSED, ("PROFILE-SUBJECT-REPEATED",))


def test_r6_a_part_with_two_attributes_is_refused():
    both = [
        x509.NameAttribute(NameOID.COMMON_NAME, "a.example.com"),
        x509.NameAttribute(NameOID.SURNAME, "x"),
    ]
    csr = make_csr(dns("a.example.com"), name=x509.Name([x509.RelativeDistinguishedName(both)]))
    assert "PROFILE-SUBJECT-MULTIVALUED" in rules("tls-server", csr)[1]


@pytest.mark.parametrize("value", ["b.example.com", "10.0.0.1", "*.example.com", "a.example.com.", "a"])
def test_r17_a_common_name_says_nothing_that_was_not_authorized(value):
    csr = make_csr(dns("a.example.com") + ip("10.0.0.1"), name=subject(common_name=value))
    assert rules("tls-server", csr) == (Kind.POLICY_REFUSED, ("PROFILE-SUBJECT-NAME",))


def test_r17_a_devices_serial_number_is_the_end_of_its_urn():
    csr = make_csr(URN, name=subject(serial_number="32473-gateway-0043"))
    assert rules("device-identity", csr)[1] == ("PROFILE-SUBJECT-NAME",)


@pytest.mark.parametrize("sign", [*'*+,/;=<>"\\#', "\x00", "\n", "\x7f"])
def test_r9_a_free_text_attribute_has_no_sign_that_others_read_as_structure(sign):
    csr = make_csr(EMAIL, name=subject(organization_name=f"Example{sign}admin"))
    assert "PROFILE-SUBJECT-CHARACTERS" in rules("code-signing", csr, role=Role.OFFICER)[1]


def test_a_subject_is_built_anew_in_the_profiles_order():
    profile = own_profile(
        '[subject.organization]\nsource = "fixed"\nvalues = ["Example"]\n'
        '[subject.common_name]\nsource = "csr"'
    )
    csr = make_csr(dns("a.example.com"), name=subject(common_name="a.example.com"))
    assert grant(profile, csr).subject.rfc4514_string() == "CN=a.example.com,O=Example"
    csr = make_csr(dns("a.example.com"), name=subject(organization_name="Example", common_name="x"))
    assert grant(profile, csr).subject.rfc4514_string() == "CN=x,O=Example"
    csr = make_csr(dns("a.example.com"), name=subject(organization_name="Other"))
    assert rules(profile, csr)[1] == ("PROFILE-SUBJECT-FIXED",)


def test_values_of_the_subject_are_bounded():
    profile = own_profile(
        '[subject.common_name]\nsource = "csr"\nrequired = true\nmax_length = 8\nallow = ["web-*", "db"]\n'
        '[subject.country]\nsource = "csr"'
    )

    def refused(**name):
        return rules(profile, make_csr(dns("a.example.com"), name=subject(**name)))[1]

    assert grant(profile, make_csr(dns("a.example.com"), name=subject(common_name="web-1"))).subject
    assert refused() == ("PROFILE-SUBJECT-REQUIRED",)
    assert refused(common_name="web-12345") == ("PROFILE-SUBJECT-LENGTH",)
    assert refused(common_name="app-1") == ("PROFILE-SUBJECT-VALUE",)
    assert refused(common_name="a-web-1") == ("PROFILE-SUBJECT-VALUE",)
    assert refused(common_name="dbx") == ("PROFILE-SUBJECT-VALUE",)


def test_what_x520_bounds_is_refused_and_not_raised():
    profile = own_profile('[subject.common_name]\nsource = "csr"\nmax_length = 128')
    with warnings.catch_warnings(action="ignore"):
        # A CSR can say so; the library only warns when it reads one.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 65, _validate=False)])
    _, violations = judge_subject(name, frozenset(), profile)
    assert [violation.rule_id for violation in violations] == ["PROFILE-SUBJECT-LENGTH"]


def test_a_certificate_without_any_name_is_refused():
    csr = make_csr()
    profile = own_profile("", least=("wildcard = true", "min = 0"))
    assert rules(profile, csr)[1] == ("PROFILE-SUBJECT-EMPTY",)


@pytest.mark.parametrize(
    ("names", "rule_id"),
    [
        (dns("a.example.org"), "PROFILE-NAME-ALLOW"),
        (dns("example.com"), "PROFILE-NAME-ALLOW"),
        (dns("secret.example.com"), "PROFILE-NAME-DENY"),
        (dns("*.example.com"), "PROFILE-NAME-DENY"),
        (dns("a_b.example.com"), "PROFILE-NAME-UNDERSCORE"),
        (dns("a.example.com", "b.example.com", "c.example.com", "d.example.com"), "PROFILE-NAME-COUNT"),
        ((), "PROFILE-NAME-COUNT"),
        (ip("192.0.2.1"), "PROFILE-NAME-ALLOW"),
        (EMAIL, "PROFILE-NAME-TYPE"),
    ],
)
def test_names_keep_to_the_profile(names, rule_id):
    assert rule_id in rules(own_profile(""), make_csr(names, name=None))[1]


def test_r8_an_address_is_judged_where_the_certificate_would_carry_it():
    """The CSR's own names are judged, whatever a request form says beside them."""
    profile = own_profile("")
    assert grant(profile, make_csr(ip("10.0.0.1")))
    assert rules(profile, make_csr(dns("a.example.com") + ip("192.0.2.1")))[1] == ("PROFILE-NAME-ALLOW",)


def test_wildcards_are_off_unless_a_profile_has_them():
    assert rules("tls-peer", make_csr(dns("*.example.com")))[1] == ("PROFILE-NAME-WILDCARD",)
    assert grant(own_profile(""), make_csr(dns("*.a.example.com")))
    assert grant("tls-server", make_csr(dns("*.example.com", "example.com")))


def test_the_site_denies_names_to_every_profile():
    site = SiteRules(policies().site.keys, NameFloor(deny=("dns:ca.example.com",), max_count=2))
    facts = make_facts(site=site)
    assert rules("tls-server", make_csr(dns("ca.example.com")), facts=facts)[1] == ("SITE-NAME-DENIED",)
    wildcard = rules(
        own_profile("", deny=('["secret.example.com"]', "[]")), make_csr(dns("*.example.com")), facts=facts
    )
    assert wildcard[1] == ("SITE-NAME-DENIED",)
    three = make_csr(dns("a.example.com", "b.example.com", "c.example.com"))
    assert rules("tls-server", three, facts=facts)[1] == ("PROFILE-NAME-COUNT",)


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"])
def test_addresses_that_are_no_hosts_are_denied(address):
    assert rules("tls-server", make_csr(ip(address)))[1] == ("SITE-NAME-DENIED",)


USAGE = dict.fromkeys(
    (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@pytest.mark.parametrize(
    ("extension", "rule_id"),
    [
        (x509.BasicConstraints(True, None), "PROFILE-EXTENSION-CA"),
        (x509.BasicConstraints(True, 0), "PROFILE-EXTENSION-CA"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), "PROFILE-EXTENSION-EKU"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), "PROFILE-EXTENSION-EKU"),
        (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            "PROFILE-EXTENSION-EKU",
        ),
        (x509.KeyUsage(True, **(USAGE | {"key_cert_sign": True})), "PROFILE-EXTENSION-USAGE"),
        (x509.KeyUsage(True, **(USAGE | {"key_encipherment": True})), "PROFILE-EXTENSION-USAGE"),
        (
            x509.KeyUsage(True, **(USAGE | {"key_agreement": True, "encipher_only": True})),
            "PROFILE-EXTENSION-USAGE",
        ),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), "PROFILE-EXTENSION"),
        (x509.SubjectKeyIdentifier(b"x" * 20), "PROFILE-EXTENSION"),
        (x509.OCSPNoCheck(), "PROFILE-EXTENSION"),
        (x509.NameConstraints([x509.DNSName("example.com")], None), "PROFILE-EXTENSION"),
        (x509.IssuerAlternativeName(dns("ca.example.com")), "PROFILE-EXTENSION"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), "PROFILE-EXTENSION"),
    ],
)
def test_r7_an_extension_that_the_profile_does_not_give_is_refused(extension, rule_id):
    csr = make_csr(dns("a.example.com"), extensions=(extension,))
    assert rules("tls-server", csr) == (Kind.POLICY_REFUSED, (rule_id,))


def test_r7_asking_for_what_is_given_anyway_does_no_harm():
    key = make_key(KeyType.EC_P256)
    asked = (
        x509.BasicConstraints(False, None),
        x509.KeyUsage(True, **USAGE),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
    )
    assert grant("tls-server", make_csr(dns("a.example.com"), extensions=asked))


HABITS = (
    x509.KeyUsage(True, **(USAGE | {"key_encipherment": True})),
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
)


@pytest.mark.parametrize("asked", HABITS, ids=["cert-manager", "acme.sh"])
def test_r7_what_acme_clients_ask_for_by_habit_is_not_granted_and_does_no_harm(asked):
    csr = make_csr(dns("a.example.com"), extensions=(asked,))
    assert grant("tls-server", csr, protocol="acme").profile.extensions.extended_key_usage == ("server_auth",)
    assert rules("tls-server", csr)[0] is Kind.POLICY_REFUSED
    assert (
        rules("tls-client", make_csr(EMAIL, extensions=(asked,)), protocol="acme")[0] is Kind.POLICY_REFUSED
    )


@pytest.mark.parametrize(
    ("asked", "rule_id"),
    [
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), "PROFILE-EXTENSION-EKU"),
        (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
            "PROFILE-EXTENSION-EKU",
        ),
        (x509.KeyUsage(True, **(USAGE | {"key_agreement": True})), "PROFILE-EXTENSION-USAGE"),
        (x509.BasicConstraints(True, None), "PROFILE-EXTENSION-CA"),
    ],
)
def test_r7_habits_open_no_other_door(asked, rule_id):
    csr = make_csr(dns("a.example.com"), extensions=(asked,))
    assert rules("tls-server", csr, protocol="acme") == (Kind.POLICY_REFUSED, (rule_id,))


DEVICE_HABIT = x509.KeyUsage(True, **(USAGE | {"key_encipherment": True, "content_commitment": True}))


@pytest.mark.parametrize(
    "name", ["tls-peer", "tls-client", "tls-server", "tls-server-short", "device-identity"]
)
def test_r7_what_devices_ask_for_by_habit_is_not_granted_over_est_and_does_no_harm(name):
    csr = make_csr(dns("a.example.com"), extensions=(DEVICE_HABIT,))
    assert grant(name, csr, protocol="est").profile.extensions.key_usage == ("digital_signature",)
    assert rules(name, csr) == (Kind.POLICY_REFUSED, ("PROFILE-EXTENSION-USAGE",))


def test_r7_a_habit_is_one_protocols_alone():
    """What is ignored over ACME is not over EST, and the other way round."""
    purposes = make_csr(dns("a.example.com"), extensions=(HABITS[1],))
    assert grant("tls-server", purposes, protocol="acme")
    assert rules("tls-server", purposes, protocol="est")[1] == ("PROFILE-EXTENSION-EKU",)
    usages = make_csr(dns("a.example.com"), extensions=(DEVICE_HABIT,))
    assert rules("tls-server", usages, protocol="acme")[1] == ("PROFILE-EXTENSION-USAGE",)
    assert rules("tls-client", usages, protocol="acme")[1] == ("PROFILE-EXTENSION-USAGE",)


def test_r7_purposes_are_ignored_where_a_profile_says_so():
    profile = own_profile(
        protocol=('["rest"]', '["est"]'),
        habits=("[names]\n", '[est]\nignored_extended_key_usage = ["client_auth"]\n[names]\n'),
    )
    csr = make_csr(dns("a.example.com"), extensions=(HABITS[1],))
    assert grant(profile, csr, protocol="est")


def test_r7_the_key_floor_holds_under_every_profile():
    key = make_key(KeyType.EC_P521)
    for name in policies().names:
        found = rules(name, make_csr(dns("a.example.com"), key=key), role=Role.OFFICER)[1]
        assert "KEY-PROFILE" in found


def test_a_key_alone_is_a_bad_public_key():
    csr = make_csr(dns("a.example.com"), key=make_key(KeyType.RSA_4096))
    assert rules(own_profile(""), csr) == (Kind.BAD_PUBLIC_KEY, ("KEY-PROFILE",))


def test_r16_a_compromised_key_gets_nothing_again():
    csr = make_csr(dns("a.example.com"))
    assert rules("tls-server", csr, facts=make_facts(compromised=True)) == (
        Kind.BAD_PUBLIC_KEY,
        ("KEY-COMPROMISED",),
    )


def test_our_own_keys_get_nothing():
    csr = make_csr(dns("a.example.com"))
    assert rules("tls-server", csr, facts=make_facts(own_key=True))[1] == ("KEY-OWN",)


def test_times_within_bounds_are_granted_as_asked():
    csr = make_csr(dns("a.example.com"))
    begin, end = NOW + timedelta(minutes=2), NOW + timedelta(days=7)
    fields = grant("tls-server", csr, not_before=begin, not_after=end)
    assert (fields.not_before, fields.not_after) == (begin, end)


def test_a_life_of_minutes_is_counted_from_now():
    fields = grant(own_profile(""), make_csr(dns("a.example.com")))
    assert fields.not_after == NOW + timedelta(minutes=10) - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("times", "rule_id"),
    [
        ({"not_after": NOW + timedelta(days=90)}, "PROFILE-VALIDITY-MAX"),
        ({"not_after": NOW}, "PROFILE-VALIDITY-PAST"),
        ({"not_after": NOW - timedelta(days=1)}, "PROFILE-VALIDITY-PAST"),
        ({"not_before": NOW - timedelta(minutes=6)}, "PROFILE-VALIDITY-BEGIN"),
        ({"not_before": NOW + timedelta(minutes=6)}, "PROFILE-VALIDITY-BEGIN"),
    ],
)
def test_times_out_of_bounds_are_refused(times, rule_id):
    assert rules(own_profile(""), make_csr(dns("a.example.com")), **times)[1] == (rule_id,)


def test_the_longest_life_is_granted_to_the_second():
    end = NOW + timedelta(days=90) - timedelta(seconds=1)
    assert grant(own_profile(""), make_csr(dns("a.example.com")), not_after=end).not_after == end


def test_no_certificate_outlives_its_issuer():
    csr, dying = make_csr(dns("a.example.com")), make_facts(issuer=make_issuer(days=10))
    end = dying.issuer.certificate.not_valid_after_utc
    assert grant("tls-server", csr, facts=dying).not_after == end
    asked = {"not_after": end + timedelta(seconds=1)}
    assert rules("tls-server", csr, facts=dying, **asked)[1] == ("PROFILE-VALIDITY-ISSUER",)
    dead = make_facts(issuer=make_issuer(days=-1))
    assert rules("tls-server", csr, facts=dead)[1] == ("PROFILE-VALIDITY-ISSUER",)


@pytest.mark.parametrize(
    ("oid", "shown"),
    [
        (NameOID.EMAIL_ADDRESS, "email_address"),
        (NameOID.LOCALITY_NAME, "locality"),
        (x509.ObjectIdentifier("1.2.3.4"), "1.2.3.4"),
    ],
)
def test_a_refused_subject_attribute_is_told_by_its_name(oid, shown):
    _, [found] = judge_subject(
        x509.Name([x509.NameAttribute(oid, "a@example.com")]), frozenset(), policies().profile("tls-server")
    )
    assert found.detail == f"subject attribute {shown} is not accepted; common_name is"


def test_all_broken_rules_are_told_at_once():
    csr = make_csr(
        [*EMAIL, *dns("a_b.example.com")],
        name=subject(organization_name="Evil", common_name="root"),
        key=make_key(KeyType.EC_P521),
        extensions=(x509.BasicConstraints(True, None),),
    )
    kind, found = rules("tls-server", csr, not_after=NOW - timedelta(days=1))
    assert kind is Kind.POLICY_REFUSED
    assert set(found) == {
        "KEY-PROFILE",
        "PROFILE-SUBJECT-ATTRIBUTE",
        "PROFILE-SUBJECT-NAME",
        "PROFILE-NAME-TYPE",
        "PROFILE-NAME-UNDERSCORE",
        "PROFILE-EXTENSION-CA",
        "PROFILE-VALIDITY-PAST",
    }


def test_a_refusal_says_what_would_be_accepted():
    with pytest.raises(CaError) as caught:
        grant("tls-server", make_csr(EMAIL))
    assert "dns, ip are accepted" in caught.value.detail
