"""Device identities of manufacturers (IEEE 802.1AR): who vouches for them, and what they may have."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import text

from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import spki_sha256
from ca_server.services.access import authenticate_client_certificate
from ca_server.services.est.manufacturers import Manufacturers
from ca_server.services.refusals import ANONYMOUS
from tests import world
from tests.fixtures.enrolling import csr_for, refusal
from tests.fixtures.issuing import common_name
from tests.integration.test_access import events

NAME = "sn-1.devices.example.com"


def der(certificate):
    return certificate.public_bytes(Encoding.DER)


@pytest.fixture
def trusting(enrolling, maker):
    """EST that trusts the manufacturer, without any list of what it revoked."""
    return enrolling.with_settings(manufacturer=[maker.settings()])


def with_list(enrolling, maker):
    return enrolling.with_settings(manufacturer=[maker.settings(revocation_lists=[str(maker.crl)])])


def test_r17_a_device_enrols_for_names_made_of_its_own_serial_number(trusting, maker):
    device = maker.device("sn-1")
    issued = trusting.enrol(csr_for(NAME), der=der(device))
    (intent,) = events(trusting.issuing, "issue.intent")
    key = spki_sha256(device.public_key())
    assert intent["actor"]["id"] == f"manufacturer:maker:{key}"
    assert len(intent["actor"]["id"]) <= 128
    for name in ("sn-2.devices.example.com", "devices.example.com", "*.devices.example.com"):
        assert trusting.refused(csr_for(name), der=der(device)) == (Kind.FORBIDDEN, ("ACCESS-NAME",))
    # From then on it lives by the certificate of ours.
    trusting.reenrol(csr_for(NAME), issued.der)
    world.check(trusting.issuing.context.database)


def test_r17_a_star_in_a_device_is_no_pattern(enrolling, maker):
    trusting = enrolling.with_settings(
        manufacturer=[maker.settings(names=["dns:{common_name}.devices.example.com"])]
    )
    trusting.enrol(csr_for(NAME), der=der(maker.device(subject=common_name("sn-1"))))
    for value in ("*", "**", "a.b/c"):
        device = maker.device(subject=common_name(value))
        assert trusting.refused(csr_for(NAME), der=der(device)) == (
            Kind.UNAUTHENTICATED,
            ("ACCESS-DEVICE-NAME",),
        )


def test_r17_a_device_without_the_word_has_no_name(trusting, maker):
    device = maker.device(subject=common_name("sn-1"))
    assert trusting.refused(csr_for(NAME), der=der(device))[1] == ("ACCESS-NAME",)


def test_r17_a_device_whose_subject_makes_no_name_enrols_by_its_certificate_and_a_secret(trusting, maker):
    device = der(maker.device("PID:C9300 SN:FOC2345"))
    assert trusting.refused(csr_for(NAME), der=device)[1] == ("ACCESS-DEVICE-NAME",)
    bounded_by_secrets = trusting.with_settings(
        manufacturer=[maker.settings(names=["dns:*.devices.example.com"])]
    )
    bounded_by_secrets.bend(authentication="both")
    given = {"secret": bounded_by_secrets.secret(names=(f"dns:{NAME}",)), "der": device}
    another = csr_for("sn-2.devices.example.com")
    assert bounded_by_secrets.refused(another, **given) == (Kind.FORBIDDEN, ("ACCESS-NAME",))
    assert bounded_by_secrets.enrol(csr_for(NAME), **given).der


def test_r17_what_the_names_do_not_bound_is_the_devices_own(trusting, maker):
    profile = trusting.profile()
    rule = profile.subject["common_name"].model_copy(update={"names": ()})
    trusting.put(profile.model_copy(update={"subject": {"common_name": rule}}))
    device = maker.device(
        subject=x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "gateway 1"),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, "sn-1"),
            ]
        )
    )
    trusting.enrol(csr_for(NAME, common_name="gateway 1"), der=der(device))
    assert trusting.refused(csr_for(NAME, common_name="gateway 2"), der=der(device)) == (
        Kind.FORBIDDEN,
        ("ACCESS-SUBJECT",),
    )


def test_a_device_gets_the_profiles_of_its_manufacturer_alone(enrolling, maker):
    trusting = enrolling.with_settings(manufacturer=[maker.settings(profiles=["device-identity"])])
    assert trusting.refused(csr_for(NAME), der=der(maker.device()))[1] == ("ACCESS-PROFILE",)


def test_a_device_does_not_renew_what_its_manufacturer_made(trusting, maker):
    assert trusting.renewal_refused(csr_for(NAME), der(maker.device())) == (
        Kind.FORBIDDEN,
        ("EST-RENEWAL-FOREIGN",),
    )


def test_a_device_is_nobody_to_rest(trusting, maker):
    error = refusal(authenticate_client_certificate, trusting.issuing.context, der(maker.device()))
    assert error.rule_ids == ("ACCESS-CERT-UNKNOWN",)


def test_r13_a_device_is_judged_as_every_client_is(trusting, maker):
    stranger = replace(maker, key=ec.generate_private_key(ec.SECP256R1()))
    server = maker.device(purposes=[ExtendedKeyUsageOID.SERVER_AUTH])
    for certificate, rule in (
        (stranger.device(), "ACCESS-CERT-UNKNOWN"),
        (maker.device(days=-1), "ACCESS-CERT-TIME"),
        (server, "ACCESS-CERT-USE"),
        (maker.authority, "ACCESS-CERT-USE"),
        (maker.root, "ACCESS-CERT-UNKNOWN"),
    ):
        assert trusting.refused(csr_for(NAME), der=der(certificate)) == (Kind.UNAUTHENTICATED, (rule,))
    trusting.enrol(csr_for(NAME), der=der(maker.device(purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])))


def test_a_manufacturer_may_have_to_say_what_its_devices_are_for(enrolling, maker):
    trusting = enrolling.with_settings(manufacturer=[maker.settings(extended_key_usage=["code_signing"])])
    assert trusting.refused(csr_for(NAME), der=der(maker.device()))[1] == ("ACCESS-CERT-USE",)
    trusting.enrol(csr_for(NAME), der=der(maker.device(purposes=[ExtendedKeyUsageOID.CODE_SIGNING])))


def test_r16_a_device_whose_key_is_on_the_compromise_list_is_refused(trusting, maker):
    device = maker.device()
    issuing = trusting.issuing
    event = issuing.context.event(
        "key.compromised", ANONYMOUS, {"spki_sha256": spki_sha256(device.public_key())}
    )
    with issuing.context.database.write() as unit:
        unit.connection.execute(
            text(
                "INSERT INTO compromised_key (spki_sha256, created_at, reason, event_id)"
                " VALUES (:key, 1, 'keyCompromise', :event)"
            ),
            {"key": spki_sha256(device.public_key()), "event": event.event_id},
        )
        unit.commit(event)
    assert trusting.refused(csr_for(NAME), der=der(device))[1] == ("ACCESS-CERT-COMPROMISED",)


# Revocation


def test_r13_a_device_that_its_manufacturer_revoked_is_refused_from_the_next_list_on(enrolling, maker):
    device, other = maker.device("sn-1"), maker.device("sn-2")
    maker.write_crl(other)
    trusting = with_list(enrolling, maker)
    trusting.enrol(csr_for(NAME), der=der(device))
    assert trusting.refused(csr_for(NAME), der=der(other))[1] == ("ACCESS-CERT-REVOKED",)
    maker.write_crl(other, device)
    assert trusting.refused(csr_for(NAME), der=der(device)) == (
        Kind.UNAUTHENTICATED,
        ("ACCESS-CERT-REVOKED",),
    )


def spoil_old(maker):
    maker.write_crl(age=timedelta(days=8))


def spoil_future(maker):
    maker.write_crl(age=-timedelta(days=1))


def spoil_delta(maker):
    maker.write_crl(delta=True)


def spoil_garbage(maker):
    maker.crl.write_bytes(b"-----BEGIN X509 CRL-----\nnothing\n")


def spoil_away(maker):
    maker.crl.unlink()


def spoil_huge(maker):
    maker.crl.write_bytes(b"")
    os.truncate(maker.crl, 33 * 1024 * 1024)


@pytest.mark.parametrize(
    "spoil", [spoil_old, spoil_future, spoil_delta, spoil_garbage, spoil_away, spoil_huge]
)
def test_r15_where_revocation_cannot_be_known_the_device_is_refused(enrolling, maker, spoil):
    maker.write_crl()
    trusting = with_list(enrolling, maker)
    trusting.enrol(csr_for(NAME), der=der(maker.device()))
    spoil(maker)
    assert trusting.refused(csr_for(NAME), der=der(maker.device())) == (
        Kind.UNAUTHENTICATED,
        ("ACCESS-CERT-STATUS",),
    )


def test_r15_a_device_that_says_where_to_ask_needs_a_list_of_its_issuer(enrolling, maker):
    trusting = enrolling.with_settings(manufacturer=[maker.settings()])
    device = maker.device(names_crl=True)
    assert trusting.refused(csr_for(NAME), der=der(device))[1] == ("ACCESS-CERT-STATUS",)
    maker.write_crl(key=ec.generate_private_key(ec.SECP256R1()))
    assert with_list(enrolling, maker).refused(csr_for(NAME), der=der(device))[1] == ("ACCESS-CERT-STATUS",)
    maker.write_crl()
    with_list(enrolling, maker).enrol(csr_for(NAME), der=der(device))


def test_a_list_in_pem_is_read_too(enrolling, maker):
    device = maker.device()
    maker.write_crl(device)
    maker.crl.write_bytes(x509.load_der_x509_crl(maker.crl.read_bytes()).public_bytes(Encoding.PEM))
    trusting = with_list(enrolling, maker)
    assert trusting.refused(csr_for(NAME), der=der(device))[1] == ("ACCESS-CERT-REVOKED",)


@pytest.mark.parametrize("content", [None, b"", b"nothing"])
def test_a_file_without_anchors_stops_the_start(maker, content):
    if content is None:
        maker.anchors.unlink()
    else:
        maker.anchors.write_bytes(content)
    with pytest.raises(CaError) as caught:
        Manufacturers([maker.settings()])
    assert caught.value.rule_ids == ("EST-TRUST-ANCHORS",)
