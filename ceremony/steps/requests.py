"""Building the CSRs that a script asks for; signing them is another step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from asn1crypto.csr import CertificationRequest
from cryptography import x509

from ca_server.core.assemble import record_unsigned
from ca_server.core.signatures import default_algorithm
from ceremony.documents import Document, describe_document, description_path, document_path
from ceremony.fields import Slug
from ceremony.issuers import certificate_of, require_key
from ceremony.places import request_path
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.profiles import Request
    from ceremony.room import Room
    from ceremony.script import Script


class BuildRequest(Verb):
    """Build the bytes of a CSR; its document is named after its table."""

    effect = Effect.IDEMPOTENT
    do: Literal["csr.build"]
    request: Slug

    def reads(self) -> Iterator[Name]:
        """The table."""
        yield Name(Category.REQUEST, self.request, "request")

    def makes(self) -> Iterator[Name]:
        """The document."""
        yield Name(Category.DOCUMENT, self.request, "request")

    def describe(self, script: Script) -> str:
        """What will happen."""
        return f"build the CSR '{self.request}' for key '{script.requests[self.request].key}' to sign"

    def perform(self, room: Room) -> Done:
        """Build it.

        Raises:
            CaError: the key in the token is not that of the certificate whose subject is taken over.
        """
        wanted = room.script.requests[self.request]
        signer = room.signer(wanted.key)
        algorithm = default_algorithm(signer.key_type)
        builder = x509.CertificateSigningRequestBuilder(subject_name=_subject(room, wanted))
        unsigned = record_unsigned(
            lambda key: builder.sign(key, algorithm.hash), signer.public_key, algorithm
        )
        document = Document(
            kind="csr",
            key=wanted.key,
            algorithm=algorithm,
            product=request_path(self.request),
            issuer=None,
            identifier=CertificationRequest.load(unsigned.twin)["signature_algorithm"].dump().hex(),
        )
        digest = room.write(document_path(self.request), unsigned.tbs)
        room.write_json(description_path(self.request), describe_document(document))
        return Done(f"TBS SHA-256 {digest}", {"document": self.request, "tbs_sha256": digest})


def _subject(room: Room, wanted: Request) -> x509.Name:
    if wanted.subject is not None:
        return wanted.subject.name(room.mode)
    name = wanted.like or ""
    existing = certificate_of(room, name)
    require_key(room.signer(wanted.key), existing, wanted.key, name)
    return existing.subject
