"""What a house rule looks at: the certificate as its bytes say it, beside what was granted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

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
    _extensions: dict[type, x509.Extension[Any]] = field(init=False)

    def __post_init__(self) -> None:
        # Nine rules ask; the certificate itself would be searched from its first extension each time.
        found = {type(each.value): each for each in self.certificate.extensions}
        object.__setattr__(self, "_extensions", found)

    def extension(self, kind: type[Value]) -> x509.Extension[Value] | None:
        """The extension of that kind, or None."""
        return self._extensions.get(kind)
