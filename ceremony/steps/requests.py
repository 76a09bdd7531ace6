"""Building the CSRs that a script asks for; signing them is another step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from cryptography import x509

from ceremony.drafts import Draft, Use, draft
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
        digest = draft_request(room, self.request).write(room, self.request)
        return Done(f"TBS SHA-256 {digest}", {"document": self.request, "tbs_sha256": digest})


def draft_request(room: Room, name: str) -> Draft:
    """The CSR that the table `name` wants, and no other.

    Raises:
        CaError: as `BuildRequest.perform`.
    """
    wanted = room.script.requests[name]
    builder = x509.CertificateSigningRequestBuilder(subject_name=_subject(room, wanted))
    return draft(room, Use(kind="csr", key=wanted.key, product=request_path(name)), builder)


def _subject(room: Room, wanted: Request) -> x509.Name:
    if wanted.subject is not None:
        return wanted.subject.name(room.mode)
    name = wanted.like or ""
    existing = certificate_of(room, name)
    require_key(room.signer(wanted.key), existing, wanted.key, name)
    return existing.subject
