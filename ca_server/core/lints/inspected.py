"""What a house rule looks at: the certificate as its bytes say it, beside what was granted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509

from ca_server.core.policy import CertificateFields, IssuerFacts
from ca_server.core.signatures import SignatureAlgorithm

Value = TypeVar("Value", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Inspected:
    """A certificate parsed from the very bytes to be signed (R8); `fields` is what the policy granted."""

    certificate: x509.Certificate
    algorithm: SignatureAlgorithm
    fields: CertificateFields
    issuer: IssuerFacts

    def extension(self, kind: type[Value]) -> x509.Extension[Value] | None:
        """The extension of that kind, or None."""
        try:
            return self.certificate.extensions.get_extension_for_class(kind)
        except x509.ExtensionNotFound:
            return None
