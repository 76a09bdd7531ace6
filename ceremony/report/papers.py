"""Certificates and CRLs of a bundle, as a reader wants to see them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from ca_server.core.signatures import PublicKey, key_type_of, spki_sha256

_PEM = b"-----BEGIN CERTIFICATE-----"
_MADE = ("authorities/", "certificates/", "responders/")
_NAMES = {
    oid: name.lower().replace("_", "-")
    for known in (ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID)
    for name, oid in vars(known).items()
    if isinstance(oid, x509.ObjectIdentifier)
}


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself; `brought` tells one that came into the room from one made there."""

    path: str
    brought: bool
    name: str
    subject: str
    issuer: str
    serial_number: str
    not_before: datetime
    not_after: datetime
    key: str
    spki_sha256: str
    signature: str
    extensions: tuple[tuple[str, str], ...]
    sha256: str
    key_id: str
    issuer_key_id: str

    @property
    def self_issued(self) -> bool:
        """True of one whose issuer is its own name and key."""
        return self.subject == self.issuer and self.issuer_key_id in {"", self.key_id}


@dataclass(frozen=True, slots=True)
class RevokedFacts:
    """One entry of a CRL."""

    serial_number: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class CRLFacts:
    """What a CRL says; `number` is None where it has none."""

    path: str
    issuer: str
    number: int | None
    this_update: datetime
    next_update: datetime | None
    entries: tuple[RevokedFacts, ...]
    sha256: str


def certificates_in(files: Mapping[str, bytes]) -> Iterator[CertificateFacts]:
    """Every certificate that the ceremony made, then those that it was given."""
    for path in sorted(name for name in files if name.startswith(_MADE)):
        yield _certificate(path, x509.load_der_x509_certificate(files[path]), brought=False)
    for path in sorted(name for name in files if name.startswith("inputs/")):
        load = x509.load_pem_x509_certificate if _PEM in files[path] else x509.load_der_x509_certificate
        try:
            facts = _certificate(path, load(files[path]), brought=True)
        except (UnsupportedAlgorithm, ValueError):
            continue  # another kind of input; it is listed with its digest like every file
        yield facts


def crls_in(files: Mapping[str, bytes]) -> Iterator[CRLFacts]:
    """Every CRL that the ceremony made."""
    for path in sorted(name for name in files if name.startswith("crls/")):
        yield _crl(path, files[path])


def _certificate(path: str, certificate: x509.Certificate, *, brought: bool) -> CertificateFacts:
    # A key of a type that is not offered here is said to be so, not refused: it may be a stranger's input.
    public_key: PublicKey = certificate.public_key()  # type: ignore[assignment]
    return CertificateFacts(
        path=path,
        brought=brought,
        name=_common_name(certificate.subject),
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        serial_number=f"{certificate.serial_number:040x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=str(key_type_of(public_key) or "of another type"),
        spki_sha256=spki_sha256(public_key),
        signature=_name(certificate.signature_algorithm_oid),
        extensions=tuple(_extensions(certificate.extensions)),
        sha256=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        key_id=_key_id(certificate.extensions, x509.SubjectKeyIdentifier),
        issuer_key_id=_key_id(certificate.extensions, x509.AuthorityKeyIdentifier),
    )


def _common_name(subject: x509.Name) -> str:
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[-1].value) if names else subject.rfc4514_string()


def _key_id(
    extensions: x509.Extensions, kind: type[x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier]
) -> str:
    try:
        value = extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return ""
    digest = value.key_identifier if isinstance(value, x509.AuthorityKeyIdentifier) else value.digest
    return (digest or b"").hex()


def _extensions(extensions: x509.Extensions) -> Iterator[tuple[str, str]]:
    """The extensions that say what a certificate is good for, in words."""
    for extension in extensions:
        words = _extension(extension.value)
        if words:
            yield words[0] + (" (critical)" if extension.critical else ""), words[1]


def _extension(value: x509.ExtensionType) -> tuple[str, str] | None:
    match value:
        case x509.BasicConstraints():
            depth = "" if value.path_length is None else f", path length {value.path_length}"
            return "basic constraints", f"CA{depth}" if value.ca else "not a CA"
        case x509.KeyUsage():
            return "key usage", ", ".join(_usages(value))
        case x509.ExtendedKeyUsage():
            return "extended key usage", ", ".join(map(_name, value))
        case x509.NameConstraints():
            permitted = [f"permitted {each.value}" for each in value.permitted_subtrees or ()]
            excluded = [f"excluded {each.value}" for each in value.excluded_subtrees or ()]
            return "name constraints", ", ".join([*permitted, *excluded])
        case x509.CRLDistributionPoints():
            names = [name for point in value for name in point.full_name or ()]
            return "CRL", ", ".join(str(name.value) for name in names)
        case x509.AuthorityInformationAccess():
            return "issuer at", ", ".join(str(each.access_location.value) for each in value)
        case _:
            return None


def _name(oid: x509.ObjectIdentifier) -> str:
    return _NAMES.get(oid, oid.dotted_string)


def _usages(value: x509.KeyUsage) -> Iterator[str]:
    for name in ("digital_signature", "key_cert_sign", "crl_sign", "key_agreement", "key_encipherment"):
        if getattr(value, name):
            yield name.replace("_", " ")


def _crl(path: str, data: bytes) -> CRLFacts:
    crl = x509.load_der_x509_crl(data)
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = None
    return CRLFacts(
        path=path,
        issuer=crl.issuer.rfc4514_string(),
        number=number,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        entries=tuple(_revoked(each) for each in crl),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _revoked(entry: x509.RevokedCertificate) -> RevokedFacts:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        reason = "none given"
    return RevokedFacts(f"{entry.serial_number:040x}", entry.revocation_date_utc, reason)
