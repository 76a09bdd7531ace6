"""Build a certificate, lint it, have exactly those bytes signed, and check what came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from ca_server.core.assemble import assemble_certificate, record_unsigned
from ca_server.core.lints.pkix import lint_certificate
from ca_server.core.signatures import default_algorithm
from ca_server.hsm.port import KeyStore
from ceremony.room import Room
from ceremony.steps.sign_bytes import require_clean, sign_exactly
from ceremony.validity import Period

Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True, slots=True)
class SignCertificate:
    """Signs one certificate; `issuer` is the path of its issuer's certificate, None for a root.

    `extensions` are pairs of value and criticality; key identifiers are added from the keys themselves.
    """

    id: str
    path: str
    subject: x509.Name
    key: str
    issuer: str | None
    issuer_key: str
    issuer_token: str
    period: Period
    extensions: tuple[Extension, ...]

    def describe(self) -> str:
        """What will happen."""
        name = self.subject.rfc4514_string()
        return f"certify '{name}' with key '{self.issuer_key}', {self.period}"

    def perform(self, room: Room) -> str:
        """Build, lint, sign, verify, keep.

        Raises:
            CaError: policy_refused, `CEREMONY-LINT`; or the token could not sign.
        """
        signing = room.keys[self.issuer_key]
        algorithm = default_algorithm(signing.signer.key_type)
        builder = self._builder(room)
        unsigned = record_unsigned(
            lambda key: builder.sign(key, algorithm.hash), signing.public_key, algorithm
        )
        require_clean(self.path, lint_certificate(unsigned.twin))
        signature = sign_exactly(signing.signer, unsigned)
        certificate = x509.load_der_x509_certificate(assemble_certificate(unsigned.tbs, signature))
        room.keep_certificate(self.path, certificate)
        return f"certificate SHA-256 {certificate.fingerprint(SHA256()).hex()}"

    def _builder(self, room: Room) -> x509.CertificateBuilder:
        public_key: Any = room.keys[self.key].public_key
        issuer = room.certificates[self.issuer] if self.issuer else None
        builder = x509.CertificateBuilder(
            issuer_name=issuer.subject if issuer else self.subject,
            subject_name=self.subject,
            public_key=public_key,
            serial_number=random_serial_number(room.tokens[self.issuer_token].store),
            not_valid_before=self.period.not_before,
            not_valid_after=self.period.not_after,
        )
        for value, critical in self.extensions:
            builder = builder.add_extension(value, critical)
        own = x509.SubjectKeyIdentifier.from_public_key(public_key)
        above = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value if issuer else own
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above)
        return builder.add_extension(own, critical=False).add_extension(authority, critical=False)


def random_serial_number(store: KeyStore) -> int:
    """159 bits from the token's generator, so at most 20 octets and positive (RFC 5280 §4.1.2.2, R12).

    Zero is as likely as guessing the number, and the certificate's builder would refuse it.
    """
    return int.from_bytes(store.random(20)) >> 1
