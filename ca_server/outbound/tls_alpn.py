"""Asks a host for its tls-alpn-01 certificate and reads it (RFC 8737 §3, RFC 8738 §6)."""

from __future__ import annotations

import hmac
import ssl

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from ca_server.core.acme.challenges import ValidationFailed, server_name
from ca_server.core.acme.evidence import Evidence, printable
from ca_server.core.errors import CaError
from ca_server.core.identifiers import Identifier, identifier_of
from ca_server.outbound.deadline import Deadline
from ca_server.outbound.dialer import Bounds, Dialer, wrap_in_tls

PROTOCOL = "acme-tls/1"
TOTAL_SECONDS = 10.0
# Only a handshake is made; nothing is read after it.
MAX_RECEIVED = 0

_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTETS_32 = b"\x04\x20"
# What the library raises for certificates that are none.
_UNREADABLE = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)


class TlsAlpn:
    """Makes the one handshake of tls-alpn-01."""

    def __init__(self, dialer: Dialer, port: int) -> None:
        self._dialer = dialer
        self._port = port

    def check(self, identifier: Identifier, digest: bytes, evidence: Evidence) -> None:
        """Pass only if the host shows the certificate that this challenge asks for.

        Raises:
            ValidationFailed: dns, connection, tls; incorrectResponse, it is another certificate.
        """
        der = self._handshake(identifier, evidence)
        try:
            reason = _why_wrong(x509.load_der_x509_certificate(der), identifier, digest)
        except _UNREADABLE:
            reason = "the certificate cannot be read"
        evidence.note("certificate", bytes=len(der), error=reason)
        if reason is not None:
            raise ValidationFailed("incorrectResponse", f"{identifier.value} over {PROTOCOL}: {reason}")

    def _handshake(self, identifier: Identifier, evidence: Evidence) -> bytes:
        """The host's certificate as DER, from a connection that agreed on the protocol."""
        bounds = Bounds(Deadline(TOTAL_SECONDS), MAX_RECEIVED)
        place = f"{identifier.value} at port {self._port}"
        sock = self._dialer.connect(identifier.value, self._port, evidence, bounds)
        try:
            with wrap_in_tls(sock, _context(), server_name(identifier), bounds) as connection:
                agreed = connection.selected_alpn_protocol()
                der = connection.getpeercert(binary_form=True)
        except ssl.SSLError as error:
            reason = printable(error.reason or "closed")
            evidence.note("tls", error=reason)
            raise ValidationFailed("tls", f"{place}: the TLS handshake failed ({reason})") from error
        except TimeoutError as error:
            raise ValidationFailed("connection", f"{place} did not finish the handshake in time") from error
        except OSError as error:
            raise ValidationFailed("connection", f"{place} closed the connection") from error
        evidence.note("tls", server_name=server_name(identifier), protocol=agreed or "none")
        if agreed != PROTOCOL or der is None:
            raise ValidationFailed("tls", f"{place} did not agree on the protocol {PROTOCOL}")
        return der


def _context() -> ssl.SSLContext:
    """The certificate is judged here, by the rules of the challenge; no authority vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([PROTOCOL])
    return context


def _why_wrong(certificate: x509.Certificate, identifier: Identifier, digest: bytes) -> str | None:
    """Why a certificate is not the one that RFC 8737 §3 describes, or None where it is."""
    names = _names(certificate)
    if names != [identifier]:
        shown = ", ".join(printable(str(each)) for each in names[:3]) or "none"
        return f"its only name must be {identifier.value}; it has {shown}"
    try:
        extension = certificate.extensions.get_extension_for_oid(_ACME_IDENTIFIER)
    except x509.ExtensionNotFound:
        return "it lacks the acmeIdentifier extension"
    if not extension.critical:
        return "its acmeIdentifier extension is not critical"
    assert isinstance(extension.value, x509.UnrecognizedExtension)
    if not hmac.compare_digest(extension.value.value, _OCTETS_32 + digest):
        return "its acmeIdentifier is not that of this challenge and account"
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, ValueError):
        return "it is not signed by its own key"
    return None


def _names(certificate: x509.Certificate) -> list[Identifier]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [identifier_of(each) for each in found]
    except (x509.ExtensionNotFound, CaError):
        return []
