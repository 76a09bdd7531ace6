"""Building the certificates that a script's profiles ask for; signing them is another step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509

from ca_server.hsm.port import KeyStore
from ceremony.certified import Certified, certified
from ceremony.drafts import Draft, Given, Use, draft
from ceremony.fields import Slug
from ceremony.issuers import issuer_of, key_identifier
from ceremony.places import certificate_place, product_path
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class BuildCertificate(Verb):
    """Build the bytes of a certificate; its document is named after its profile."""

    effect = Effect.IDEMPOTENT
    do: Literal["certificate.build"]
    profile: Slug

    def reads(self) -> Iterator[Name]:
        """The profile; what that names is checked with the profiles."""
        yield Name(Category.PROFILE, self.profile, "profile")

    def makes(self) -> Iterator[Name]:
        """The document."""
        yield Name(Category.DOCUMENT, self.profile, "profile")

    def describe(self, script: Script) -> str:
        """What will happen."""
        profile = script.profiles[self.profile]
        return f"build the {profile.type} certificate '{self.profile}' for key '{profile.issuer_key}' to sign"

    def perform(self, room: Room) -> Done:
        """Build it, once: a document that the officers may have seen already is never built anew.

        Raises:
            CaError: issuer, subject and validity do not fit (`ceremony.certified`), or the key in the token
                is not the issuer's.
        """
        store = room.token(room.script.keys[room.script.profiles[self.profile].issuer_key].hsm).store
        given = Given(room.clock.now(), random_serial_number(store))
        digest = draft_certificate(room, self.profile, given).write(room, self.profile)
        return Done(f"TBS SHA-256 {digest}", {"document": self.profile, "tbs_sha256": digest})


def draft_certificate(room: Room, name: str, given: Given) -> Draft:
    """The certificate that the profile `name` wants, and no other.

    Raises:
        CaError: as `BuildCertificate.perform`.
        ValueError: the serial number is none.
    """
    profile = room.script.profiles[name]
    issuer = issuer_of(room, profile.issuer, profile.issuer_key) if profile.issuer else None
    subject = certified(room, name, issuer, given.moment)
    use = Use(
        kind="certificate",
        key=profile.issuer_key,
        product=product_path(name, profile),
        issuer=certificate_place(room.script, profile.issuer) if profile.issuer else None,
    )
    return draft(room, use, _builder(subject, issuer, given.serial_number))


def _builder(
    subject: Certified, issuer: x509.Certificate | None, serial_number: int
) -> x509.CertificateBuilder:
    public_key: Any = subject.public_key
    builder = x509.CertificateBuilder(
        issuer_name=issuer.subject if issuer else subject.subject,
        subject_name=subject.subject,
        public_key=public_key,
        serial_number=serial_number,
        not_valid_before=subject.period.not_before,
        not_valid_after=subject.period.not_after,
    )
    for value, critical in subject.extensions:
        builder = builder.add_extension(value, critical)
    above = key_identifier(issuer) if issuer else subject.key_identifier
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above)
    return builder.add_extension(subject.key_identifier, critical=False).add_extension(
        authority, critical=False
    )


def random_serial_number(store: KeyStore) -> int:
    """159 bits from the token's generator, so at most 20 octets and positive (RFC 5280 §4.1.2.2, R12).

    Zero is as likely as guessing the number, and the certificate's builder would refuse it.
    """
    return int.from_bytes(store.random(20)) >> 1
