"""When the server's own certificate is due."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ca_server.services.own_certificate import is_due

KEY = ec.generate_private_key(ec.SECP256R1())
NAMES = ("ca.example.com", "2001:db8::1")
BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
LIFE = timedelta(days=90)


@pytest.fixture(scope="module")
def certificate():
    names = [x509.DNSName(NAMES[0]), x509.IPAddress(ipaddress.ip_address(NAMES[1]))]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an issuer")]))
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(KEY, hashes.SHA256())
    )


def test_not_in_the_first_two_thirds_of_its_life_and_then_always(certificate):
    key = KEY.public_key()
    assert not is_due(certificate, key, NAMES, BEGIN + LIFE * 0.66)
    assert is_due(certificate, key, NAMES, BEGIN + LIFE * 0.67)


def test_the_order_of_the_names_does_not_matter(certificate):
    assert not is_due(certificate, KEY.public_key(), NAMES[::-1], BEGIN)


def test_due_when_there_is_none():
    assert is_due(None, KEY.public_key(), NAMES, BEGIN)


@pytest.mark.parametrize("names", [NAMES[:1], (*NAMES, "other.example.com")])
def test_due_for_other_names(certificate, names):
    assert is_due(certificate, KEY.public_key(), names, BEGIN)


def test_due_for_another_key(certificate):
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert is_due(certificate, other, NAMES, BEGIN)
