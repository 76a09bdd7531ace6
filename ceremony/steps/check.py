"""Checking what came back from a token, as its receivers will."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind, Violation
from ceremony.drafts import Draft
from ceremony.failure import Failure, Stopped
from ceremony.fields import Slug
from ceremony.steps.crls import require_succession
from ceremony.steps.lint import lint_document, require_clean
from ceremony.steps.scripted import scripted
from ceremony.steps.verb import Category, Done, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class Check(Verb):
    """Verify a product: its TBS was approved, its signature is the issuer's, and lints are clean still."""

    do: Literal["document.check"]
    subject: Slug

    def reads(self) -> Iterator[Name]:
        """The product."""
        yield Name(Category.CERTIFICATE, self.subject, "subject")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"check the signed '{self.subject}'"

    def perform(self, room: Room) -> Done:
        """Check it.

        Raises:
            CaError: conflict, `CEREMONY-TBS-SCRIPT`.
            Stopped: F2, the product is wrong and must never be used.
        """
        draft = scripted(room, self.subject)
        document = draft.document
        der = room.read(document.product)
        try:
            self._check(room, draft, der)
            require_clean(document.product, lint_document(document, der))
            require_succession(room, self.subject, document, der)
        except (InvalidSignature, ValueError, TypeError) as error:
            violation = Violation("CEREMONY-PRODUCT", f"{document.product} does not verify: {error}")
            detail = f"{document.product} is not what was approved"
            wrong = CaError(Kind.INTERNAL, detail, violations=(violation,))
            raise Stopped(Failure.WRONG_PRODUCT, wrong) from error
        except CaError as error:
            raise Stopped(Failure.WRONG_PRODUCT, error) from error
        return Done(f"{document.product} verifies", {"product": document.product})

    def _check(self, room: Room, draft: Draft, der: bytes) -> None:
        document, tbs = draft.document, draft.tbs
        if document.kind == "certificate":
            certificate = x509.load_der_x509_certificate(der)
            same = certificate.tbs_certificate_bytes == tbs
            certificate.verify_directly_issued_by(
                room.certificate(document.issuer) if document.issuer else certificate
            )
        elif document.kind == "crl":
            crl = x509.load_der_x509_crl(der)
            same = crl.tbs_certlist_bytes == tbs and crl.is_signature_valid(
                room.certificate(document.issuer or "").public_key()  # type: ignore[arg-type]
            )
        else:
            csr = x509.load_der_x509_csr(parse_csr(der).der)
            same = csr.tbs_certrequest_bytes == tbs
        if not same:
            raise ValueError("other bytes than the approved ones, or another key's signature")
