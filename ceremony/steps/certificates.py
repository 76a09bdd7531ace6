"""Building the certificates that a script's profiles ask for; signing them is another step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509

from ca_server.core.assemble import record_unsigned
from ca_server.core.bundle import certificate_path, responder_path
from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import default_algorithm
from ca_server.hsm.port import KeyStore
from ceremony.documents import Document, describe_document, description_path, document_path
from ceremony.extensions import Extension, authority_extensions, responder_extensions, root_extensions
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb
from ceremony.validity import Period, period_of

if TYPE_CHECKING:
    from ceremony.profiles import Profile
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
            CaError: the validity is not inside the issuer's (`CEREMONY-VALIDITY-ISSUER`).
        """
        profile = room.script.profiles[self.profile]
        signer = room.signer(profile.issuer_key)
        algorithm = default_algorithm(signer.key_type)
        issuer = room.certificate(issuer_path(room.script, profile)) if profile.issuer else None
        builder = _builder(room, self.profile, profile, issuer)
        unsigned = record_unsigned(
            lambda key: builder.sign(key, algorithm.hash), signer.public_key, algorithm
        )
        document = Document(
            kind="certificate",
            key=profile.issuer_key,
            algorithm=algorithm,
            product=product_path(self.profile, profile),
            issuer=issuer_path(room.script, profile) if profile.issuer else None,
        )
        digest = room.write(document_path(self.profile), unsigned.tbs)
        room.write_json(description_path(self.profile), describe_document(document))
        return Done(f"TBS SHA-256 {digest}", {"document": self.profile, "tbs_sha256": digest})


def product_path(name: str, profile: Profile) -> str:
    """Where the signed certificate lies in the bundle."""
    if profile.type == "responder" and profile.issuer:
        return responder_path(profile.issuer)
    return f"certificates/{name}.cer" if profile.type == "cross" else certificate_path(name)


def issuer_path(script: Script, profile: Profile) -> str:
    """Where the certificate of a profile's issuer lies: made here, or brought in."""
    if profile.issuer in script.profiles:
        return product_path(profile.issuer, script.profiles[profile.issuer])
    return f"inputs/{profile.issuer}"


def _builder(
    room: Room, name: str, profile: Profile, issuer: x509.Certificate | None
) -> x509.CertificateBuilder:
    if profile.subject is None or profile.key is None:
        raise refuse(
            Kind.MALFORMED, "CEREMONY-PROFILE", f"profile '{name}' has no subject and key of its own"
        )
    public_key: Any = room.signer(profile.key).public_key
    subject = profile.subject.name(room.mode)
    period = period_of(profile, room.clock.now())
    if issuer is not None:
        _require_inside(name, period, issuer)
    builder = x509.CertificateBuilder(
        issuer_name=issuer.subject if issuer else subject,
        subject_name=subject,
        public_key=public_key,
        serial_number=random_serial_number(room.token(room.script.keys[profile.issuer_key].hsm).store),
        not_valid_before=period.not_before,
        not_valid_after=period.not_after,
    )
    for value, critical in _extensions(room.script, profile):
        builder = builder.add_extension(value, critical)
    own = x509.SubjectKeyIdentifier.from_public_key(public_key)
    above = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value if issuer else own
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above)
    return builder.add_extension(own, critical=False).add_extension(authority, critical=False)


def _extensions(script: Script, profile: Profile) -> tuple[Extension, ...]:
    if profile.type == "root":
        return root_extensions(profile)
    if script.publication is None or profile.issuer is None:
        raise refuse(
            Kind.MALFORMED, "CEREMONY-PUBLICATION", "a certificate with an issuer needs [publication]"
        )
    if profile.type == "responder":
        return responder_extensions(profile.issuer, script.publication)
    return authority_extensions(profile, profile.issuer, script.publication)


def _require_inside(name: str, period: Period, issuer: x509.Certificate) -> None:
    whole = Period(issuer.not_valid_before_utc, issuer.not_valid_after_utc)
    if not whole.holds(period):
        detail = f"the validity of '{name}', {period}, is not inside its issuer's, {whole}"
        raise refuse(Kind.POLICY_REFUSED, "CEREMONY-VALIDITY-ISSUER", detail)


def random_serial_number(store: KeyStore) -> int:
    """159 bits from the token's generator, so at most 20 octets and positive (RFC 5280 §4.1.2.2, R12).

    Zero is as likely as guessing the number, and the certificate's builder would refuse it.
    """
    return int.from_bytes(store.random(20)) >> 1
