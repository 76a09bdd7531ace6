"""Whether the certificates, CRLs and keys of a ceremony's bundle fit together, down to every signature.

`core.bundle` has checked structure and digests before; here the words of the manifest meet the certificates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_server.core.audit.note import parse_verifier_key
from ca_server.core.bundle import AuthorityEntry, Bundle, ResponderEntry, bad_bundle, crl_path
from ca_server.core.errors import CaError
from ca_server.core.signatures import PublicKey, default_algorithm, key_type_of, spki_sha256

_BAD_CONTENT = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
)


@dataclass(frozen=True, slots=True)
class CheckedCRL:
    """An authority's first CRL: number 1, empty, and with an end."""

    crl: x509.CertificateRevocationList
    number: int
    next_update: datetime


@dataclass(frozen=True, slots=True)
class CheckedAuthority:
    """An authority whose certificate and CRL have been verified up to its root."""

    entry: AuthorityEntry
    certificate: x509.Certificate
    spki_sha256: str
    crl: CheckedCRL | None


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What a bundle's certificates make; authorities stand after their issuers, the root first."""

    authorities: tuple[CheckedAuthority, ...]
    responders: tuple[tuple[ResponderEntry, x509.Certificate], ...]
    api_server_csr: x509.CertificateSigningRequest


def check_hierarchy(bundle: Bundle) -> Hierarchy:
    """The hierarchy of a bundle, every signature verified.

    Raises:
        CaError: malformed, one `BUNDLE-…` rule.
    """
    checked: dict[str, CheckedAuthority] = {}
    for entry in bundle.manifest.authorities:
        with _refusing("BUNDLE-CHAIN", f"the certificate of authority {entry.id}"):
            checked[entry.id] = _check_authority(bundle, entry, checked)
    if [each.entry.role for each in checked.values()].count("root") != 1:
        raise bad_bundle("BUNDLE-CHAIN", "it does not have exactly one root")
    if len(checked) != len(bundle.manifest.authorities):
        raise bad_bundle("BUNDLE-CHAIN", "an authority stands in it twice")
    responders = tuple(_check_responder(bundle, entry, checked) for entry in bundle.manifest.responders)
    if sorted(each.authority for each, _ in responders) != sorted(checked.keys() - _roots(checked)):
        raise bad_bundle("BUNDLE-RESPONDER", "it does not have one responder for each issuing authority")
    with _refusing("BUNDLE-CSR", "the CSR of the API server"):
        csr = x509.load_der_x509_csr(bundle.files[bundle.manifest.api_server.csr])
        _require(csr.is_signature_valid)
    _check_log(bundle)
    _check_all_keys_used(bundle, checked, responders)
    return Hierarchy(tuple(checked.values()), responders, csr)


def _roots(checked: dict[str, CheckedAuthority]) -> set[str]:
    return {name for name, each in checked.items() if each.entry.role == "root"}


def _check_authority(
    bundle: Bundle, entry: AuthorityEntry, checked: dict[str, CheckedAuthority]
) -> CheckedAuthority:
    certificate = x509.load_der_x509_certificate(bundle.files[entry.certificate])
    is_root = entry.role == "root"
    _require((entry.issuer == entry.id) is is_root, (entry.key_uri is None) is is_root)
    issuer = (
        certificate if is_root else checked[entry.issuer].certificate if entry.issuer in checked else None
    )
    if issuer is None:
        raise ValueError("its issuer does not stand before it")
    _check_issued(certificate, issuer)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    _require(constraints.critical, constraints.value.ca, usage.key_cert_sign, usage.crl_sign)
    key_type = key_type_of(certificate.public_key())
    _require(key_type is not None and default_algorithm(key_type) is entry.signature_algorithm)
    spki = _key_of(certificate)
    if entry.key_uri is not None:
        _require(entry.key_uri == _uri_of(bundle, spki))
    crl = _check_crl(bundle, entry, certificate) if entry.crl else None
    return CheckedAuthority(entry, certificate, spki, crl)


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    certificate.verify_directly_issued_by(issuer)
    _require(
        issuer.not_valid_before_utc <= certificate.not_valid_before_utc,
        certificate.not_valid_before_utc < certificate.not_valid_after_utc,
        certificate.not_valid_after_utc <= issuer.not_valid_after_utc,
    )


def _check_crl(bundle: Bundle, entry: AuthorityEntry, certificate: x509.Certificate) -> CheckedCRL:
    with _refusing("BUNDLE-CRL", f"the first CRL of authority {entry.id}"):
        crl = x509.load_der_x509_crl(bundle.files[crl_path(entry.id)])
        public_key: Any = certificate.public_key()
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        next_update = crl.next_update_utc
        if next_update is None or next_update <= crl.last_update_utc:
            raise ValueError("it has no end, or one before its beginning")
        _require(crl.is_signature_valid(public_key), crl.issuer == certificate.subject)
        _require(number == 1, len(crl) == 0)
        return CheckedCRL(crl, number, next_update)


def _check_responder(
    bundle: Bundle, entry: ResponderEntry, checked: dict[str, CheckedAuthority]
) -> tuple[ResponderEntry, x509.Certificate]:
    with _refusing("BUNDLE-RESPONDER", f"the OCSP signer of authority {entry.authority}"):
        certificate = x509.load_der_x509_certificate(bundle.files[entry.certificate])
        _require(entry.authority in checked)
        _check_issued(certificate, checked[entry.authority].certificate)
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        _require(list(purposes) == [ExtendedKeyUsageOID.OCSP_SIGNING])
        certificate.extensions.get_extension_for_class(x509.OCSPNoCheck)
        _require(entry.key_uri == _uri_of(bundle, _key_of(certificate)))
        return entry, certificate


def _check_log(bundle: Bundle) -> None:
    log = bundle.manifest.log
    try:
        vkey = parse_verifier_key(log.vkey)
    except CaError as error:
        raise bad_bundle("BUNDLE-LOG", "the log has no verifier key") from error
    if vkey.name != log.origin or _uri_of(bundle, spki_sha256(vkey.public_key)) != log.key_uri:
        raise bad_bundle("BUNDLE-LOG", "the verifier key is not that of the log's name and key")


def _check_all_keys_used(
    bundle: Bundle,
    checked: dict[str, CheckedAuthority],
    responders: tuple[tuple[ResponderEntry, x509.Certificate], ...],
) -> None:
    """Each key is the key of one certificate or of the log: a key that nobody named would be unexplained."""
    used = [each.spki_sha256 for each in checked.values()]
    used += [_key_of(certificate) for _, certificate in responders]
    used += [key.spki_sha256 for key in bundle.keys if key.uri == bundle.manifest.log.key_uri]
    if sorted(used) != sorted(key.spki_sha256 for key in bundle.keys):
        raise bad_bundle("BUNDLE-KEYS", "keys, certificates and log do not match one to one")


def _uri_of(bundle: Bundle, spki: str) -> str | None:
    return next((key.uri for key in bundle.keys if key.spki_sha256 == spki), None)


def _key_of(certificate: x509.Certificate) -> str:
    public_key = certificate.public_key()
    if key_type_of(public_key) is None:
        raise ValueError("its key is of a type that Sealkeeper does not make")
    # key_type_of knows exactly the classes of PublicKey.
    known: PublicKey = public_key  # type: ignore[assignment]
    return spki_sha256(known)


def _require(*conditions: bool) -> None:
    if not all(conditions):
        raise ValueError("it does not say what the manifest says of it, or may not do what it must")


@contextmanager
def _refusing(rule_id: str, what: str) -> Iterator[None]:
    try:
        yield
    except _BAD_CONTENT as error:
        raise bad_bundle(rule_id, f"{what} does not hold") from error
