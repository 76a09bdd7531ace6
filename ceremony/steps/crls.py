"""Building the CRLs of an authority that certifies authorities only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from cryptography import x509

from ca_server.core.assemble import record_unsigned
from ca_server.core.bundle import crl_path
from ca_server.core.signatures import default_algorithm
from ceremony.documents import Document, describe_document, description_path, document_path
from ceremony.fields import Slug
from ceremony.steps.certificates import product_path
from ceremony.steps.verb import Category, Done, Effect, Name, Verb
from ceremony.validity import Period

if TYPE_CHECKING:
    from ceremony.profiles import CRLProfile
    from ceremony.room import Room
    from ceremony.script import Script


class BuildCRL(Verb):
    """Build the bytes of a CRL; its document is named after its table."""

    effect = Effect.IDEMPOTENT
    do: Literal["crl.build"]
    crl: Slug

    def reads(self) -> Iterator[Name]:
        """The table."""
        yield Name(Category.CRL, self.crl, "crl")

    def makes(self) -> Iterator[Name]:
        """The document."""
        yield Name(Category.DOCUMENT, self.crl, "crl")

    def describe(self, script: Script) -> str:
        """What will happen."""
        return f"build the CRL of '{script.crls[self.crl].issuer}'"

    def perform(self, room: Room) -> Done:
        """Build it."""
        profile = room.script.crls[self.crl]
        signer = room.signer(profile.issuer_key)
        algorithm = default_algorithm(signer.key_type)
        issuer_profile = room.script.profiles.get(profile.issuer)
        issuer = (
            product_path(profile.issuer, issuer_profile) if issuer_profile else f"inputs/{profile.issuer}"
        )
        builder = _builder(room, profile, room.certificate(issuer))
        unsigned = record_unsigned(
            lambda key: builder.sign(key, algorithm.hash), signer.public_key, algorithm
        )
        document = Document(
            kind="crl",
            key=profile.issuer_key,
            algorithm=algorithm,
            product=crl_path(profile.issuer),
            issuer=issuer,
        )
        digest = room.write(document_path(self.crl), unsigned.tbs)
        room.write_json(description_path(self.crl), describe_document(document))
        return Done(f"TBS SHA-256 {digest}", {"document": self.crl, "tbs_sha256": digest})


def _builder(
    room: Room, profile: CRLProfile, issuer: x509.Certificate
) -> x509.CertificateRevocationListBuilder:
    """The issuing distribution point names no URL: a root has no CDP of its own (RFC 5280 §5.2.5, §6.3.3)."""
    now = room.clock.now()
    period = Period(now, now + profile.lifetime)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(period.not_before)
        .next_update(period.not_after)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .add_extension(
            x509.IssuingDistributionPoint(
                full_name=None,
                relative_name=None,
                only_contains_user_certs=False,
                only_contains_ca_certs=True,
                only_some_reasons=None,
                indirect_crl=False,
                only_contains_attribute_certs=False,
            ),
            critical=True,
        )
    )
