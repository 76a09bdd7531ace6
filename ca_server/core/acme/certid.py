"""How renewal information names a certificate: issuer's key and serial number (RFC 9773 §4.1).

One certificate has one name: another alphabet, padding, stray bits and a serial number in another than its
DER form are refused, so that a name is never a second name of something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from cryptography import x509

from ca_server.core.base64url import decode_base64url, encode_base64url
from ca_server.core.errors import Kind, refuse

# 20 octets each, in base64url (RFC 5280 §4.1.2.2, §4.2.1.2); key identifiers may be longer digests.
MAX_TEXT = 128
MAX_SERIAL_BYTES = 20
MAX_KEY_IDENTIFIER_BYTES = 64


@dataclass(frozen=True, slots=True)
class CertId:
    """The keyIdentifier of the certificate's authorityKeyIdentifier, and its serial number."""

    key_identifier: bytes
    serial_number: int

    def __str__(self) -> str:
        content = self.serial_number.to_bytes(self.serial_number.bit_length() // 8 + 1, "big")
        return f"{encode_base64url(self.key_identifier)}.{encode_base64url(content)}"


def parse_certid(text: str) -> CertId:
    """The certificate that a text names.

    Raises:
        CaError: malformed, `ACME-CERTID`.
    """
    key_text, _, serial_text = text[: MAX_TEXT + 1].partition(".")
    key_identifier, content = decode_base64url(key_text), decode_base64url(serial_text)
    if len(text) > MAX_TEXT or not key_identifier or not content:
        _refuse()
    if len(key_identifier) > MAX_KEY_IDENTIFIER_BYTES or len(content) > MAX_SERIAL_BYTES:
        _refuse()
    certid = CertId(key_identifier, int.from_bytes(content, "big", signed=True))
    # Positive, and in the fewest octets that DER allows (X.690 §8.3.2).
    if certid.serial_number <= 0 or str(certid) != text:
        _refuse()
    return certid


def certid_of(certificate: x509.Certificate) -> CertId | None:
    """How a certificate is named, or None where it does not say who issued it."""
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    if issuer.key_identifier is None:
        return None
    return CertId(issuer.key_identifier, certificate.serial_number)


def _refuse() -> NoReturn:
    raise refuse(
        Kind.MALFORMED,
        "ACME-CERTID",
        "a certificate is named as RFC 9773 §4.1 says: authority key identifier, dot, serial number",
    )
