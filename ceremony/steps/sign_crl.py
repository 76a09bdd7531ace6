"""Build a first CRL, lint it, have exactly those bytes signed, and check what came back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509

from ca_server.core.assemble import assemble_crl, record_unsigned
from ca_server.core.lints.pkix import lint_crl
from ca_server.core.signatures import default_algorithm
from ceremony.room import Room
from ceremony.steps.sign_bytes import require_clean, sign_exactly
from ceremony.validity import Period


@dataclass(frozen=True, slots=True)
class SignCRL:
    """Signs an empty CRL number 1 of an authority that certifies authorities only.

    The issuing distribution point says so and names no URL: a root has no CDP of its own, and a CRL bound to
    one would not speak for the root itself when a whole chain is checked (RFC 5280 §5.2.5, §6.3.3).
    """

    id: str
    path: str
    issuer: str
    issuer_key: str
    period: Period

    def describe(self) -> str:
        """What will happen."""
        return f"sign the first CRL with key '{self.issuer_key}', {self.period}"

    def perform(self, room: Room) -> str:
        """Build, lint, sign, verify, keep.

        Raises:
            CaError: policy_refused, `CEREMONY-LINT`; or the token could not sign.
        """
        signing = room.keys[self.issuer_key]
        algorithm = default_algorithm(signing.signer.key_type)
        builder = self._builder(room.certificates[self.issuer])
        unsigned = record_unsigned(
            lambda key: builder.sign(key, algorithm.hash), signing.public_key, algorithm
        )
        require_clean(self.path, lint_crl(unsigned.twin))
        data = assemble_crl(unsigned.tbs, sign_exactly(signing.signer, unsigned))
        room.files[self.path] = data
        return f"CRL SHA-256 {hashlib.sha256(data).hexdigest()}"

    def _builder(self, issuer: x509.Certificate) -> x509.CertificateRevocationListBuilder:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(self.period.not_before)
            .next_update(self.period.not_after)
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
