"""What /csrattrs says, read by the ASN.1 modules of RFC 7030 and RFC 9908, and followed to a certificate."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5280, rfc7030, rfc8017, rfc9908

from ca_server.core.csr import parse_csr
from ca_server.core.est.csr_attributes import csr_attributes
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import dns, grant, make_key, policies
from tests.fakes.paper_profiles import own_profile

EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"
TEMPLATE = str(rfc9908.id_aa_certificationRequestInfoTemplate)
EXTENSION_TEMPLATE = str(rfc9908.id_aa_extensionReqTemplate)
SAN, KEY_USAGE, PURPOSES = "2.5.29.17", "2.5.29.15", "2.5.29.37"


def profile_of(*keys, subject="", **replace):
    if keys:
        replace["keys"] = ('"ec-p256", "rsa-2048"', ", ".join(f'"{each}"' for each in keys))
    return own_profile(subject, **replace)


def read(profile):
    """The OIDs of the list, and its attributes by type with their one value."""
    found, rest = decode(csr_attributes(profile), asn1Spec=rfc7030.CsrAttrs())
    assert not rest
    oids = [str(each["oid"]) for each in found if each.getName() == "oid"]
    attributes = [each["attribute"] for each in found if each.getName() == "attribute"]
    assert all(len(each["attrValues"]) == 1 for each in attributes)
    types = [str(each["attrType"]) for each in attributes]
    assert len(types) == len(set(types))
    return oids, {kind: bytes(each["attrValues"][0]) for kind, each in zip(types, attributes, strict=True)}


def template_of(profile):
    value = read(profile)[1][TEMPLATE]
    template, rest = decode(value, asn1Spec=rfc9908.CertificationRequestInfoTemplate())
    assert not rest
    assert int(template["version"]) == 0
    # DER: what was read is written as it was.
    assert encode(template) == value
    return template


def wanted(template):
    """The type of the template's one attribute, and its extensions as (OID, critical, value)."""
    (attribute,) = template["attributes"]
    (value,) = attribute["values"]
    is_full = str(attribute["type"]) == EXTENSION_REQUEST
    spec = rfc5280.Extensions() if is_full else rfc9908.ExtensionReqTemplate()
    found, rest = decode(bytes(value), asn1Spec=spec)
    assert not rest
    return str(attribute["type"]), [
        (
            str(each["extnID"]),
            bool(each["critical"]),
            bytes(each["extnValue"]) if each["extnValue"].isValue else None,
        )
        for each in found
    ]


USAGES = [
    (KEY_USAGE, True, bytes.fromhex("03020780")),
    (PURPOSES, False, bytes.fromhex("300a06082b06010505070301")),
]


def test_an_old_client_is_told_the_usages_in_full():
    """RFC 9908 §3.2: one extension request of one Extensions, each with its value."""
    _, attributes = read(profile_of())
    extensions, rest = decode(attributes[EXTENSION_REQUEST], asn1Spec=rfc5280.Extensions())
    assert not rest
    found = [(str(each["extnID"]), bool(each["critical"]), bytes(each["extnValue"])) for each in extensions]
    assert found == USAGES


def test_a_new_client_fills_in_its_names():
    kind, extensions = wanted(template_of(profile_of()))
    assert kind == EXTENSION_TEMPLATE
    assert extensions == [(SAN, False, None), *USAGES]


def test_where_names_may_be_missing_all_is_given_in_full():
    """RFC 9908 §3.4: extensionReqTemplate is for partial extensions alone."""
    kind, extensions = wanted(template_of(profile_of(names=("[names]\n", "[names]\nmin = 0\n"))))
    assert (kind, extensions) == (EXTENSION_REQUEST, USAGES)


def test_a_type_of_name_that_must_be_there_needs_names_too():
    bent = profile_of(names=("[names]\n", "[names]\nmin = 0\n"), dns=("max = 3", "min = 1"))
    assert wanted(template_of(bent))[0] == EXTENSION_TEMPLATE


def test_a_choice_of_keys_is_no_requirement():
    oids, attributes = read(profile_of("ec-p256", "rsa-2048"))
    assert (oids, set(attributes)) == ([], {EXTENSION_REQUEST, TEMPLATE})
    assert not template_of(profile_of())["subjectPKInfo"].isValue


@pytest.mark.parametrize(
    ("key_type", "curve"),
    [("ec-p256", "1.2.840.10045.3.1.7"), ("ec-p384", "1.3.132.0.34"), ("ec-p521", "1.3.132.0.35")],
)
def test_one_curve_is_asked_for(key_type, curve):
    profile = profile_of(key_type)
    _, attributes = read(profile)
    assert str(decode(attributes["1.2.840.10045.2.1"])[0]) == curve
    key = template_of(profile)["subjectPKInfo"]
    assert str(key["algorithm"]["algorithm"]) == "1.2.840.10045.2.1"
    assert str(decode(bytes(key["algorithm"]["parameters"]))[0]) == curve
    assert not key["subjectPublicKey"].isValue


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_one_length_of_modulus_is_asked_for(bits):
    """RFC 9908 §3.4: by a placeholder of that length, and in the list by the number."""
    profile = profile_of(f"rsa-{bits}")
    _, attributes = read(profile)
    assert int(decode(attributes["1.2.840.113549.1.1.1"])[0]) == bits
    key = template_of(profile)["subjectPKInfo"]
    assert bytes(key["algorithm"]["parameters"]) == b"\x05\x00"
    placeholder, rest = decode(key["subjectPublicKey"].asOctets(), asn1Spec=rfc8017.RSAPublicKey())
    assert not rest
    assert int(placeholder["modulus"]).bit_length() == bits


@pytest.mark.parametrize("key_type", ["ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_an_algorithm_without_parameters_is_named(key_type):
    profile = profile_of(key_type)
    (listed,) = read(profile)[0]
    key = template_of(profile)["subjectPKInfo"]
    assert str(key["algorithm"]["algorithm"]) == listed
    assert not key["algorithm"]["parameters"].isValue
    assert not key["subjectPublicKey"].isValue
    if key_type == "ed25519":
        assert listed == "1.3.101.112"


SUBJECT = """\
[subject.common_name]
source = "csr"
required = true
[subject.organizational_unit]
source = "fixed"
values = ["Devices", "Gateways"]
[subject.country]
source = "fixed"
values = ["CH"]
[subject.serial_number]
source = "csr"
"""


def test_the_subject_has_what_is_required_and_what_is_fixed():
    """RFC 9908 §3.4: a value is to be used, none to be filled in, and what is free is left out."""
    rdns = template_of(profile_of(subject=SUBJECT))["subject"]["rdnSequence"]
    found = []
    for rdn in rdns:
        (attribute,) = rdn
        value = bytes(attribute["value"]) if attribute["value"].isValue else None
        found.append((str(attribute["type"]), value))
    assert found == [
        ("2.5.4.3", None),
        ("2.5.4.11", b"\x0c\x07Devices"),
        ("2.5.4.11", b"\x0c\x08Gateways"),
        ("2.5.4.6", b"\x13\x02CH"),
    ]


def test_without_a_wish_there_is_no_subject():
    assert not template_of(profile_of())["subject"].isValue


def test_a_binding_is_asked_for_in_the_list_and_the_template_is_left_out():
    """Who follows a template follows it alone, and no attribute stands in one without a value."""
    oids, attributes = read(profile_of(est=("[names]\n", "[est]\nchannel_binding = true\n[names]\n")))
    assert oids == [CHALLENGE_PASSWORD]
    assert set(attributes) == {EXTENSION_REQUEST}


@pytest.mark.parametrize("key_type", ["ec-p384", "rsa-3072"])
def test_a_csr_that_follows_the_template_gets_its_certificate(key_type):
    profile = profile_of(
        key_type,
        subject='[subject.organization]\nsource = "fixed"\nvalues = ["Example"]\n',
    )
    template = template_of(profile)
    name = x509.Name(
        [
            x509.NameAttribute(
                x509.ObjectIdentifier(str(rdn[0]["type"])), str(decode(bytes(rdn[0]["value"]))[0])
            )
            for rdn in template["subject"]["rdnSequence"]
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for oid, critical, value in wanted(template)[1]:
        if oid == SAN:
            extension = x509.SubjectAlternativeName(dns("a.example.com"))
        else:
            extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(extension, critical)
    csr = builder.sign(make_key(KeyType(key_type)), hashes.SHA256())
    granted = grant(profile, parse_csr(csr.public_bytes(Encoding.DER)))
    assert granted.key_type == key_type


@pytest.mark.parametrize(
    "name",
    [name for name in sorted(policies().names) if "est" in policies().profile(name).requesters.protocols],
)
def test_openssl_reads_what_each_shipped_profile_says(name):
    der = csr_attributes(policies().profile(name))
    run = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER"], input=der, capture_output=True, check=True
    )
    assert b"1.2.840.113549.1.9.16.2.61" in run.stdout
    assert b"Extension Request" in run.stdout
