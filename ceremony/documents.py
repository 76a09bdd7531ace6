"""Documents before their signature: certificates and CRLs as the exact bytes that a token will sign.

Each is two files: `tbs/NAME.tbs`, whose digest officers approve, and `tbs/NAME.json`, which says what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from cryptography import x509
from pydantic import TypeAdapter

from ca_server.core.assemble import PLACEHOLDER, assemble_certificate, assemble_crl
from ca_server.core.clock import to_text
from ca_server.core.document import Strict
from ca_server.core.signatures import SignatureAlgorithm

DocumentKind = Literal["certificate", "crl"]

_ASSEMBLE: dict[DocumentKind, Callable[[bytes, bytes], bytes]] = {
    "certificate": assemble_certificate,
    "crl": assemble_crl,
}


class Document(Strict):
    """What the bytes beside it are: whose key signs them how, and where the signed product will lie.

    `issuer` is the path of the certificate whose key signs; None where it signs itself, and for a CSR.
    """

    kind: DocumentKind
    key: str
    algorithm: SignatureAlgorithm
    product: str
    issuer: str | None

    def assemble(self, tbs: bytes, signature: bytes) -> bytes:
        """The signed DER."""
        return _ASSEMBLE[self.kind](tbs, signature)


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


def describe_bytes(document: Document, tbs: bytes) -> str:
    """What is to be approved, in words that an officer compares with the script."""
    twin = unsigned_twin(document, tbs)
    if document.kind == "certificate":
        certificate = x509.load_der_x509_certificate(twin)
        return (
            f"certificate of '{certificate.subject.rfc4514_string()}' by "
            f"'{certificate.issuer.rfc4514_string()}', serial number {certificate.serial_number:x}, "
            f"{to_text(certificate.not_valid_before_utc)} to {to_text(certificate.not_valid_after_utc)}"
        )
    crl = x509.load_der_x509_crl(twin)
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return f"CRL {number} of '{crl.issuer.rfc4514_string()}' with {len(crl)} entries"
