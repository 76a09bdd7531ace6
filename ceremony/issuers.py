"""Whose key signs: the certificate of the issuer, and the key in a token that must be its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from ca_server.core.errors import Kind, refuse
from ceremony.places import certificate_place
from ceremony.profiles import REHEARSAL_MARK

if TYPE_CHECKING:
    from ca_server.hsm.port import Signer
    from ceremony.room import Room

Value = TypeVar("Value", bound=x509.ExtensionType)


def issuer_of(room: Room, name: str, key: str) -> x509.Certificate:
    """An issuer's certificate, once it is a CA's and `key` is the key that it certifies.

    Raises:
        CaError: conflict, `CEREMONY-ISSUER` or `CEREMONY-ISSUER-KEY`; `CEREMONY-MODE`.
    """
    certificate = certificate_of(room, name)
    if not is_authority(certificate):
        raise refuse(Kind.CONFLICT, "CEREMONY-ISSUER", f"'{name}' is not the certificate of an authority")
    require_key(room.signer(key), certificate, key, name)
    return certificate


def certificate_of(room: Room, name: str) -> x509.Certificate:
    """A certificate of the script by its name, made here or brought in; a rehearsal's in a rehearsal only.

    Raises:
        CaError: malformed, `CEREMONY-CERTIFICATE`; forbidden, `CEREMONY-MODE`.
    """
    certificate = room.certificate(certificate_place(room.script, name))
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    rehearsed = any(str(each.value).startswith(REHEARSAL_MARK) for each in names)
    if rehearsed != (room.mode == "rehearsal"):
        raise refuse(
            Kind.FORBIDDEN, "CEREMONY-MODE", f"certificate '{name}' is not one to use in a {room.mode}"
        )
    return certificate


def require_key(signer: Signer, certificate: x509.Certificate, key: str, name: str) -> None:
    """Pass a key that is the one in a certificate.

    Raises:
        CaError: conflict, `CEREMONY-ISSUER-KEY`.
    """
    if signer.public_key != certificate.public_key():
        detail = f"key '{key}' in the token is not the key of certificate '{name}'"
        raise refuse(Kind.CONFLICT, "CEREMONY-ISSUER-KEY", detail)


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate lets its key sign certificates (RFC 5280 §4.2.1.9)."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def path_length(certificate: x509.Certificate) -> int | None:
    """How many authorities may stand below, where the certificate says so."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints.path_length if constraints else None


def key_identifier(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """The key identifier that certificates below it name (RFC 5280 §4.2.1.2)."""
    found = extension(certificate, x509.SubjectKeyIdentifier)
    return found or x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())


def extension(certificate: x509.Certificate, kind: type[Value]) -> Value | None:
    """The value of an extension, where the certificate has it."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
