"""Documents before their signature: certificates, CRLs and CSRs as the exact bytes that a token will sign.

Each is two files: `tbs/NAME.tbs`, whose digest officers approve, and `tbs/NAME.json`, which says what it is.
"""

from __future__ import annotations

from typing import Any, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import TypeAdapter

from ca_server.core.assemble import PLACEHOLDER, assemble_certificate, assemble_crl, assemble_request
from ca_server.core.document import Strict
from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import SignatureAlgorithm

DocumentKind = Literal["certificate", "crl", "csr"]

# What the library raises for bytes that are not what they should be.
BAD_DER = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)


class Document(Strict):
    """What the bytes beside it are: whose key signs them how, and where the signed product will lie.

    `issuer` is the path of the certificate whose key signs; None where it signs itself, and for a CSR.
    `identifier` is the hex of a CSR's AlgorithmIdentifier, which is not among the bytes that are signed.
    """

    kind: DocumentKind
    key: str
    algorithm: SignatureAlgorithm
    product: str
    issuer: str | None
    identifier: str | None = None

    def assemble(self, tbs: bytes, signature: bytes) -> bytes:
        """The signed DER."""
        if self.kind == "certificate":
            return assemble_certificate(tbs, signature)
        if self.kind == "crl":
            return assemble_crl(tbs, signature)
        return assemble_request(tbs, bytes.fromhex(self.identifier or ""), signature)


def document_path(name: str) -> str:
    """Where the bytes of a document lie in the folder and the bundle."""
    return f"tbs/{name}.tbs"


def description_path(name: str) -> str:
    """Where the words about a document lie."""
    return f"tbs/{name}.json"


def read_document(data: bytes) -> Document:
    """The description that `describe_document` made."""
    return TypeAdapter(Document).validate_json(data, strict=False)


def describe_document(document: Document) -> dict[str, Any]:
    """The description as a JSON value."""
    return document.model_dump(mode="json")


def unsigned_twin(document: Document, tbs: bytes) -> bytes:
    """The whole with a signature that is none, for lints and for people to read."""
    return document.assemble(tbs, PLACEHOLDER)


def read_certificate(data: bytes, name: str) -> x509.Certificate:
    """A certificate in DER or PEM, every part of it decoded.

    Raises:
        CaError: malformed, `CEREMONY-CERTIFICATE`.
    """
    pem = data.startswith(b"-----BEGIN CERTIFICATE-----")
    try:
        certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except BAD_DER as error:
        raise refuse(
            Kind.MALFORMED, "CEREMONY-CERTIFICATE", f"{name} is not a certificate in DER or PEM"
        ) from error
    return certificate
