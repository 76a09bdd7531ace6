"""Keys in tokens sign what `cryptography`'s builders build: certificate, CRL, CSR, OCSP response, PKCS#7."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from ca_server.core.signatures import KeyType, SignatureAlgorithm, default_algorithm, verify_signature
from ca_server.hsm.keys import private_key
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.software import SoftwareKeyStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test")])
TYPES = [KeyType.EC_P256, KeyType.EC_P384, KeyType.EC_P521, KeyType.RSA_2048, KeyType.ED25519]


@pytest.fixture(scope="module")
def store(softhsm_session):
    opened = open_token(softhsm_session.create_token("builders"))
    for number, key_type in enumerate(TYPES, 1):
        opened.generate(key_type, label=key_type.value, key_id=bytes([number]))
    yield opened
    opened.close()


@pytest.fixture
def ml_dsa():
    store = SoftwareKeyStore("builders", unprotected_keys=True)
    store.generate(KeyType.ML_DSA_65, label="ml-dsa-65", key_id=b"\x01")
    yield store.signer(label="ml-dsa-65")
    store.close()


@pytest.fixture(params=[*TYPES, KeyType.ML_DSA_65])
def signer(request, softhsm_session):
    if request.param is KeyType.ML_DSA_65:
        return request.getfixturevalue("ml_dsa")
    softhsm_session.activate()
    return request.getfixturevalue("store").signer(label=request.param.value)


def certificate(signer, **options):
    builder = x509.CertificateBuilder(NAME, NAME, signer.public_key, 1, NOW, NOW + timedelta(1))
    return builder.sign(private_key(signer), default_algorithm(signer.key_type).hash, **options)


pytestmark = pytest.mark.hsm


def test_certificate(signer):
    made = certificate(signer)
    made.verify_directly_issued_by(made)


def test_crl(signer):
    builder = x509.CertificateRevocationListBuilder(NAME, NOW, NOW + timedelta(1))
    made = builder.sign(private_key(signer), default_algorithm(signer.key_type).hash)
    assert made.is_signature_valid(signer.public_key)


def test_csr(signer):
    builder = x509.CertificateSigningRequestBuilder(NAME)
    made = builder.sign(private_key(signer), default_algorithm(signer.key_type).hash)
    assert made.is_signature_valid


def test_ocsp_response(signer):
    algorithm = default_algorithm(signer.key_type)
    issuer = certificate(signer)
    made = (
        ocsp.OCSPResponseBuilder()
        .add_response(issuer, issuer, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, NOW, None, None, None)
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer)
        .sign(private_key(signer), algorithm.hash)
    )
    verify_signature(signer.public_key, made.signature, made.tbs_response_bytes, algorithm)


def test_pkcs7(signer, tmp_path):
    builder = PKCS7SignatureBuilder().set_data(b"data")
    key, digest = private_key(signer), default_algorithm(signer.key_type).hash or hashes.SHA512()
    if signer.key_type in {KeyType.ED25519, KeyType.ML_DSA_65}:
        with pytest.raises(TypeError, match="RSA & EC"):
            builder.add_signer(certificate(signer), key, digest)
        return
    made = builder.add_signer(certificate(signer), key, digest).sign(Encoding.DER, [PKCS7Options.Binary])
    assert made.startswith(b"\x30\x82")


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("salt", ["digest", "constant"])
def test_rsa_pss_certificate_crl_and_csr(store, softhsm_session, digest, salt):
    softhsm_session.activate()
    signer = store.signer(label="rsa-2048")
    length = digest.digest_size if salt == "digest" else padding.PSS.DIGEST_LENGTH
    options = {"rsa_padding": padding.PSS(padding.MGF1(digest), length)}
    builder = x509.CertificateBuilder(NAME, NAME, signer.public_key, 1, NOW, NOW + timedelta(1))
    made = builder.sign(private_key(signer), digest, **options)
    made.verify_directly_issued_by(made)
    crl = x509.CertificateRevocationListBuilder(NAME, NOW, NOW + timedelta(1))
    assert crl.sign(private_key(signer), digest, **options).is_signature_valid(signer.public_key)
    csr = x509.CertificateSigningRequestBuilder(NAME)
    assert csr.sign(private_key(signer), digest, **options).is_signature_valid
    verify_signature(
        signer.public_key,
        made.signature,
        made.tbs_certificate_bytes,
        SignatureAlgorithm(f"rsa-pss-{digest.name}"),
    )
