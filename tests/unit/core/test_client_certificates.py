"""R13, R20: a login chain that is foreign, nested, out of time or for something else is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca_server.core.client_certificates import (
    MAX_CERTIFICATE_BYTES,
    check_client_chain,
    parse_certificate,
)
from ca_server.core.errors import CaError, Kind

NOW = datetime(2027, 3, 1, tzinfo=UTC)
CLIENT_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def key_usage(*words):
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{word: word in words for word in every.split()})


def certificate(subject, key, issuer, issuer_key, *extensions, days=(-1, 1), critical=False):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


CA = (x509.BasicConstraints(ca=True, path_length=None), key_usage("key_cert_sign", "crl_sign"))
LAST_CA = (x509.BasicConstraints(ca=True, path_length=0), key_usage("key_cert_sign", "crl_sign"))
KEYS = {each: ec.generate_private_key(ec.SECP256R1()) for each in ("root", "issuing", "client", "other")}
ROOT = certificate("root", KEYS["root"], "root", KEYS["root"], *CA)
ISSUING = certificate("issuing", KEYS["issuing"], "root", KEYS["root"], *LAST_CA)
CLIENT = certificate(
    "client", KEYS["client"], "issuing", KEYS["issuing"], CLIENT_AUTH, key_usage("digital_signature")
)


def refused(chain, check_use=None):
    with pytest.raises(CaError) as caught:
        check_client_chain(chain, NOW, check_use=check_use)
    assert caught.value.kind is Kind.UNAUTHENTICATED
    return caught.value.rule_ids


def test_a_good_chain_passes():
    check_client_chain([CLIENT, ISSUING, ROOT], NOW)


def test_without_an_authority_there_is_no_chain():
    assert refused([CLIENT]) == ("ACCESS-CERT-CHAIN",)


def test_r20_a_foreign_authority_of_the_same_name_is_refused():
    foreign = certificate("client", KEYS["client"], "issuing", KEYS["other"], CLIENT_AUTH)
    assert refused([foreign, ISSUING, ROOT]) == ("ACCESS-CERT-CHAIN",)


def test_r20_a_certificate_nested_under_a_client_certificate_is_refused():
    nested = certificate("nested", KEYS["other"], "client", KEYS["client"], CLIENT_AUTH)
    assert refused([nested, CLIENT, ISSUING, ROOT]) == ("ACCESS-CERT-CHAIN",)


def test_a_chain_longer_than_the_path_length_is_refused():
    second = certificate("second", KEYS["other"], "issuing", KEYS["issuing"], *CA)
    leaf = certificate("leaf", KEYS["client"], "second", KEYS["other"], CLIENT_AUTH)
    assert refused([leaf, second, ISSUING, ROOT]) == ("ACCESS-CERT-CHAIN",)


@pytest.mark.parametrize("days", [(-3, -1), (1, 3)])
def test_out_of_time_is_refused(days):
    late = certificate("client", KEYS["client"], "issuing", KEYS["issuing"], CLIENT_AUTH, days=days)
    assert refused([late, ISSUING, ROOT]) == ("ACCESS-CERT-TIME",)


def test_an_authority_out_of_time_is_refused():
    old = certificate("issuing", KEYS["issuing"], "root", KEYS["root"], *LAST_CA, days=(-3, -1))
    assert refused([CLIENT, old, ROOT]) == ("ACCESS-CERT-TIME",)


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),),
        (CLIENT_AUTH, key_usage("key_agreement")),
        (CLIENT_AUTH, *CA),
    ],
)
def test_r20_a_certificate_for_something_else_is_refused(extensions):
    wrong = certificate("client", KEYS["client"], "issuing", KEYS["issuing"], *extensions)
    assert refused([wrong, ISSUING, ROOT]) == ("ACCESS-CERT-USE",)


def of_another_maker(_certificate):
    """A check of purposes, which others' certificates have: this one passes all."""


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
POLICIES = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
ONLY_MAKER = x509.NameConstraints([x509.DNSName("maker.test")], None)


@pytest.mark.parametrize("extension", [UNKNOWN, POLICIES, ONLY_MAKER])
@pytest.mark.parametrize("place", ["client", "issuing", "root"])
def test_r13_a_critical_extension_that_is_not_judged_is_refused(extension, place):
    def made(subject, key, issuer, issuer_key, *extensions):
        more = (extension,) if subject == place else ()
        return certificate(subject, key, issuer, issuer_key, *extensions, *more, critical=True)

    chain = [
        made("client", KEYS["client"], "issuing", KEYS["issuing"], CLIENT_AUTH),
        made("issuing", KEYS["issuing"], "root", KEYS["root"], *LAST_CA),
        made("root", KEYS["root"], "root", KEYS["root"], *CA),
    ]
    assert refused(chain, of_another_maker) == ("ACCESS-CERT-EXTENSION",)


def test_what_is_judged_may_be_critical_and_what_is_not_may_be_there():
    names = x509.SubjectAlternativeName([x509.DNSName("client.example.com")])
    policy = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.55555.2"), None)]
    )
    ours = ("client", KEYS["client"], "issuing", KEYS["issuing"], CLIENT_AUTH)
    check_client_chain([certificate(*ours, names, policy, critical=True), ISSUING, ROOT], NOW)
    check_client_chain([certificate(*ours, UNKNOWN), ISSUING, ROOT], NOW, check_use=of_another_maker)


def test_name_constraints_are_refused_but_in_authorities_of_ours():
    """RFC 5280 §4.2.1.10 has them critical; an authority that forgot it means them all the same."""
    limited = certificate("issuing", KEYS["issuing"], "root", KEYS["root"], *LAST_CA, ONLY_MAKER)
    assert refused([CLIENT, limited, ROOT], of_another_maker) == ("ACCESS-CERT-EXTENSION",)
    check_client_chain([CLIENT, limited, ROOT], NOW)


def test_others_authorities_may_say_nothing_of_their_key_and_ours_may_not():
    """RFC 5280 §6.1.4 (n): what OpenSSL makes by itself has no keyUsage."""
    silent = x509.BasicConstraints(ca=True, path_length=None)
    root = certificate("root", KEYS["root"], "root", KEYS["root"], silent)
    check_client_chain([CLIENT, ISSUING, root], NOW, check_use=of_another_maker)
    assert refused([CLIENT, ISSUING, root]) == ("ACCESS-CERT-CHAIN",)
    speaking = certificate("root", KEYS["root"], "root", KEYS["root"], silent, key_usage("crl_sign"))
    assert refused([CLIENT, ISSUING, speaking], of_another_maker) == ("ACCESS-CERT-CHAIN",)


@pytest.mark.parametrize("check_use", [None, of_another_maker])
def test_r13_a_weak_key_above_the_client_is_refused(check_use):
    weak = rsa.generate_private_key(65537, 1024)
    issuing = certificate("issuing", weak, "root", KEYS["root"], *LAST_CA)
    client = certificate("client", KEYS["client"], "issuing", weak, CLIENT_AUTH)
    assert refused([client, issuing, ROOT], check_use) == ("ACCESS-CERT-FORMAT",)


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30" * 100, CLIENT.public_bytes(Encoding.PEM)])
def test_what_is_no_certificate_is_refused(der):
    with pytest.raises(CaError) as caught:
        parse_certificate(der)
    assert caught.value.rule_ids == ("ACCESS-CERT-FORMAT",)


def test_r31_size_is_looked_at_before_anything_is_parsed():
    with pytest.raises(CaError) as caught:
        parse_certificate(CLIENT.public_bytes(Encoding.DER) + bytes(MAX_CERTIFICATE_BYTES))
    assert caught.value.rule_ids == ("ACCESS-CERT-FORMAT",)


def test_a_certificate_is_read():
    assert parse_certificate(CLIENT.public_bytes(Encoding.DER)) == CLIENT
