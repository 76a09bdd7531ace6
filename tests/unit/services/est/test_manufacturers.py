"""The way from a device up to its manufacturer's anchors, and what its CRLs say of each step (R13, R15)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import crl as asn1_crl
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.errors import CaError, Kind
from ca_server.services.est.manufacturers import Manufacturers
from tests.fixtures.device_makers import make_maker
from tests.fixtures.issuing import common_name, make_authority

NOW = datetime(2027, 3, 1, tzinfo=UTC)
REVOKED = ("ACCESS-CERT-REVOKED",)
UNKNOWN = ("ACCESS-CERT-STATUS",)


@pytest.fixture
def maker(tmp_path):
    return make_maker(tmp_path, NOW)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def judge(maker, device, *lists, now=NOW):
    settings = maker.settings(revocation_lists=[str(each) for each in lists])
    return Manufacturers([settings]).judge(device, now)


def refused(maker, device, *lists):
    with pytest.raises(CaError) as caught:
        judge(maker, device, *lists)
    assert caught.value.kind is Kind.UNAUTHENTICATED
    return caught.value.rule_ids


def authority_of(maker, name, key, *, usage=None):
    """An authority under the maker's root, as the maker has others; `usage` for another keyUsage."""
    made = make_authority(name, key.public_key(), (maker.root.subject, maker.root_key), NOW, path_length=0)
    if usage is None:
        return made
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.subject)
        .issuer_name(made.issuer)
        .public_key(key.public_key())
        .serial_number(made.serial_number)
        .not_valid_before(made.not_valid_before_utc)
        .not_valid_after(made.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return builder.sign(maker.root_key, hashes.SHA256())


def list_of(maker, path, *revoked, **more):
    """A CRL of the maker's in a file of its own."""
    maker.write_crl(*revoked, **more)
    return maker.crl.rename(maker.folder / path)


# Lists


def test_r13_every_list_of_a_pem_file_is_read(maker):
    device = maker.device()
    crls = []
    for issuer, key, *revoked in ((maker.root, maker.root_key), (maker.authority, maker.key, device)):
        maker.write_crl(*revoked, issuer=issuer, key=key)
        crls.append(x509.load_der_x509_crl(maker.crl.read_bytes()).public_bytes(Encoding.PEM))
    maker.crl.write_bytes(b"two lists:\n" + b"\n".join(crls))
    assert refused(maker, device, maker.crl) == REVOKED
    assert judge(maker, maker.device("sn-2"), maker.crl).name == "maker"
    maker.crl.write_bytes(b"".join(crls)[:-20])
    assert refused(maker, maker.device("sn-2"), maker.crl) == UNKNOWN


def test_r15_a_pem_file_with_something_else_than_lists_is_not_read(maker):
    maker.write_crl()
    crl = x509.load_der_x509_crl(maker.crl.read_bytes()).public_bytes(Encoding.PEM)
    maker.crl.write_bytes(crl + maker.root.public_bytes(Encoding.PEM))
    assert refused(maker, maker.device(), maker.crl) == UNKNOWN


def test_r15_with_lists_there_is_one_of_the_devices_issuer(maker):
    root_list = list_of(maker, "root.crl", issuer=maker.root, key=maker.root_key)
    assert refused(maker, maker.device(), root_list) == UNKNOWN
    judge(maker, maker.device(), root_list, list_of(maker, "own.crl"))
    # None is needed of the authorities above, and none says anything of those that are not its own.
    judge(maker, maker.device(), maker.folder / "own.crl")


def test_r15_a_list_whose_signature_is_not_accepted_is_not_passed_over(maker):
    """Signed by somebody else: beside a good one as well, for nobody knows which one speaks."""
    good, forged = list_of(maker, "good.crl"), list_of(maker, "forged.crl", key=new_key())
    assert refused(maker, maker.device(), forged) == UNKNOWN
    assert refused(maker, maker.device(), good, forged) == UNKNOWN


def test_r15_a_list_signed_over_sha1_is_not_passed_over(maker):
    weak = maker.folder / "sha1.crl"
    weak.write_bytes(_over_sha1(maker))
    assert x509.load_der_x509_crl(weak.read_bytes()).issuer == maker.authority.subject
    assert refused(maker, maker.device(), weak) == UNKNOWN


def _over_sha1(maker):
    """The maker's CRL whose two algorithm identifiers say ecdsa-with-SHA1, and whose signature is that."""
    maker.write_crl()
    crl = asn1_crl.CertificateList.load(maker.crl.read_bytes())
    for part in (crl["tbs_cert_list"]["signature"], crl["signature_algorithm"]):
        part["algorithm"] = "sha1_ecdsa"
    signed = crl["tbs_cert_list"].dump(force=True)
    crl["signature"] = maker.key.sign(signed, ec.ECDSA(hashes.SHA1()))
    return crl.dump(force=True)


def test_r15_a_list_of_an_authority_that_may_sign_none_is_not_passed_over(maker):
    words = "digital_signature content_commitment key_encipherment data_encipherment key_agreement crl_sign"
    no = dict.fromkeys([*words.split(), "encipher_only", "decipher_only"], False)
    usage = x509.KeyUsage(key_cert_sign=True, **no)
    maker = replace(maker, authority=authority_of(maker, "Maker Devices", maker.key, usage=usage))
    maker.write_anchors(maker.root, maker.authority)
    assert refused(maker, maker.device(), list_of(maker, "own.crl")) == UNKNOWN


def test_r15_after_a_change_of_keys_each_key_needs_its_own_list(maker):
    key = new_key()
    renewed = replace(maker, authority=authority_of(maker, "Maker Devices", key), key=key)
    maker.write_anchors(maker.root, maker.authority, renewed.authority)
    device, later = maker.device("sn-1"), renewed.device("sn-2")
    new_list = list_of(renewed, "new.crl", later)
    assert refused(maker, device, new_list) == UNKNOWN
    old_list = list_of(maker, "old.crl")
    judge(maker, device, old_list, new_list)
    assert refused(maker, later, old_list, new_list) == REVOKED


def test_r13_an_authority_that_the_root_has_revoked_vouches_for_nobody(maker):
    own = list_of(maker, "own.crl")
    root_list = list_of(maker, "root.crl", maker.authority, issuer=maker.root, key=maker.root_key)
    assert refused(maker, maker.device(), own, root_list) == REVOKED
    forged = list_of(maker, "forged.crl", issuer=maker.root, key=new_key())
    assert refused(maker, maker.device(), own, forged) == UNKNOWN


# Chains


@pytest.mark.parametrize("first", ["old", "new"])
def test_of_a_renewed_authority_the_certificate_that_is_valid_counts(maker, first):
    """The intermediate and the root were both renewed with their keys: four certificates, two of them old."""
    then = NOW - timedelta(days=4000)
    above = (maker.root.subject, maker.root_key)
    old = [
        make_authority("Maker Root", maker.root_key.public_key(), above, then, path_length=None),
        make_authority("Maker Devices", maker.key.public_key(), above, then, path_length=0),
    ]
    new = [maker.root, maker.authority]
    maker.write_anchors(*(old + new if first == "old" else new + old))
    assert judge(maker, maker.device()).name == "maker"
    maker.write_anchors(*old)
    assert refused(maker, maker.device()) == ("ACCESS-CERT-TIME",)


def test_an_anchor_that_cannot_be_read_whole_stops_the_start(maker):
    broken = x509.CertificateBuilder(
        common_name("x"), common_name("x"), maker.key.public_key(), 1, NOW, NOW + timedelta(days=1)
    ).add_extension(
        x509.UnrecognizedExtension(x509.ExtensionOID.BASIC_CONSTRAINTS, b"\x04\x00"), critical=True
    )
    maker.write_anchors(broken.sign(maker.key, hashes.SHA256()))
    with pytest.raises(CaError) as caught:
        judge(maker, maker.device())
    assert caught.value.rule_ids == ("EST-TRUST-ANCHORS",)
