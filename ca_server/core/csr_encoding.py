"""A PKCS#10 request read in DER, its attributes in any order.

Attributes are a SET (RFC 2986 §4.1), which DER sorts by its elements' bytes (X.690 §11.6); strongSwan, for
one, writes them as they come to mind. Order is all that is forgiven: what is read is the request with its
attributes sorted, by a parser that knows DER alone, and the signature is checked over the bytes that came.
"""

from __future__ import annotations

from asn1crypto import pem
from asn1crypto.csr import CertificationRequest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from ca_server.core.signatures import PublicKey, SignatureAlgorithm, verify_signature

_LONG_LENGTH = 0x80
# RSA is not among them: its paddings have parameters.
_ALGORITHMS = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: SignatureAlgorithm.ECDSA_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: SignatureAlgorithm.ECDSA_SHA384,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: SignatureAlgorithm.ECDSA_SHA512,
    SignatureAlgorithmOID.ED25519: SignatureAlgorithm.ED25519,
    SignatureAlgorithmOID.ML_DSA_44: SignatureAlgorithm.ML_DSA_44,
    SignatureAlgorithmOID.ML_DSA_65: SignatureAlgorithm.ML_DSA_65,
    SignatureAlgorithmOID.ML_DSA_87: SignatureAlgorithm.ML_DSA_87,
}


def load_request(der: bytes) -> x509.CertificateSigningRequest:
    """What a request says; its `is_signature_valid` says nothing, ask `is_signed` instead.

    Raises:
        ValueError: as cryptography's parser does, and whatever else parsers raise at hostile bytes.
    """
    try:
        return x509.load_der_x509_csr(der)
    except ValueError:
        in_order = _in_order(der)
        if in_order == der:
            raise
        return x509.load_der_x509_csr(in_order)


def is_signed(der: bytes, request: x509.CertificateSigningRequest, public_key: PublicKey) -> bool:
    """Whether the bytes that `request` was read from are signed by this key, its own (RFC 2986 §4.2)."""
    # Sorting changes no length, so that what is signed has its place where it came.
    begin = 2 + (der[1] - _LONG_LENGTH if der[1] >= _LONG_LENGTH else 0)
    signed = der[begin : begin + len(request.tbs_certrequest_bytes)]
    if signed == request.tbs_certrequest_bytes:
        return request.is_signature_valid
    try:
        _verify(request, public_key, signed)
    except InvalidSignature:
        return False
    return True


def to_pem(der: bytes) -> str:
    """A request's bytes as they are, in the textual encoding of RFC 7468."""
    armored: bytes = pem.armor("CERTIFICATE REQUEST", der)
    return armored.decode("ascii")


def _in_order(der: bytes) -> bytes:
    """The same bytes but for the order of attributes; what is no request comes out as anything."""
    request = CertificationRequest.load(der)
    attributes = request["certification_request_info"]["attributes"]
    # They end what is signed, and the algorithm and the signature stand behind that.
    end = len(der) - len(request["signature_algorithm"].dump()) - len(request["signature"].dump())
    ordered = b"".join(sorted(each.dump() for each in attributes))
    return der[: end - len(ordered)] + ordered + der[end:]


def _verify(request: x509.CertificateSigningRequest, public_key: PublicKey, signed: bytes) -> None:
    how, digest = request.signature_algorithm_parameters, request.signature_hash_algorithm
    if isinstance(public_key, rsa.RSAPublicKey):
        if digest is None or not isinstance(how, padding.PKCS1v15 | padding.PSS):
            raise InvalidSignature
        public_key.verify(request.signature, signed, how, digest)
    elif request.signature_algorithm_oid not in _ALGORITHMS:
        raise InvalidSignature
    else:
        algorithm = _ALGORITHMS[request.signature_algorithm_oid]
        verify_signature(public_key, request.signature, signed, algorithm)
