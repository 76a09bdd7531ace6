"""A document as a script wants it: its description and its bytes, the same each time that they are made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asn1crypto.csr import CertificationRequest

from ca_server.core.assemble import record_unsigned
from ca_server.core.signatures import default_algorithm
from ceremony.documents import Document, DocumentKind, describe_document, description_path, document_path

if TYPE_CHECKING:
    from ceremony.room import Room


@dataclass(frozen=True, slots=True)
class Given:
    """What no script says of a document: when it begins, and the serial number that was drawn for it."""

    moment: datetime
    serial_number: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A document and the bytes that its key shall sign."""

    document: Document
    tbs: bytes

    def write(self, room: Room, name: str) -> str:
        """Put both into the folder; returns the SHA-256 of the bytes."""
        digest = room.write(document_path(name), self.tbs)
        room.write_json(description_path(name), describe_document(self.document))
        return digest


@dataclass(frozen=True, slots=True)
class Use:
    """What a document is, whose key signs it, and where the product and its issuer's certificate lie."""

    kind: DocumentKind
    key: str
    product: str
    issuer: str | None = None


def draft(room: Room, use: Use, builder: Any) -> Draft:
    """What a builder of the library would have a key in an open token sign; the token is not asked to.

    Raises:
        CaError: the token is not open, or has no such key.
        ValueError: the builder has values that cannot be encoded.
    """
    signer = room.signer(use.key)
    algorithm = default_algorithm(signer.key_type)
    unsigned = record_unsigned(lambda key: builder.sign(key, algorithm.hash), signer.public_key, algorithm)
    identifier = None
    if use.kind == "csr":
        identifier = CertificationRequest.load(unsigned.twin)["signature_algorithm"].dump().hex()
    document = Document(
        kind=use.kind,
        key=use.key,
        algorithm=algorithm,
        product=use.product,
        issuer=use.issuer,
        identifier=identifier,
    )
    return Draft(document, unsigned.tbs)
