"""Whether the certificates, CRLs and keys of a ceremony's bundle fit together, down to every signature.

`core.bundle` has checked structure and digests before; here the words of the manifest meet the certificates.
A later ceremony brings a part only: what stands above it is already known to whoever checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_server.core.audit.note import parse_verifier_key
from ca_server.core.bundle import (
    AuthorityEntry,
    Bundle,
    CertificateEntry,
    CRLEntry,
    ResponderEntry,
    bad_bundle,
)
from ca_server.core.errors import CaError
from ca_server.core.signatures import PublicKey, default_algorithm, key_type_of, spki_sha256

FIRST_HIERARCHY = "first-hierarchy"

_BAD_CONTENT = (
    ValueError,
    TypeError,
    KeyError,
    RecursionError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
)


@dataclass(frozen=True, slots=True)
class CheckedCRL:
    """A CRL of an authority: whole, numbered, and with an end."""

    authority: str
    crl: x509.CertificateRevocationList
    number: int
    next_update: datetime


@dataclass(frozen=True, slots=True)
class CheckedAuthority:
    """An authority whose certificate has been verified by its issuer's."""

    entry: AuthorityEntry
    certificate: x509.Certificate
    spki_sha256: str


@dataclass(frozen=True, slots=True)
class CheckedCertificate:
    """A cross, link or other certificate; the names of ours in its entry are borne out by its keys."""

    entry: CertificateEntry
    certificate: x509.Certificate
    spki_sha256: str


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What a bundle's certificates make; authorities stand after their issuers."""

    authorities: tuple[CheckedAuthority, ...]
    certificates: tuple[CheckedCertificate, ...]
    crls: tuple[CheckedCRL, ...]
    responders: tuple[tuple[ResponderEntry, x509.Certificate], ...]
    api_server_csr: x509.CertificateSigningRequest | None


@dataclass(slots=True)
class _Known:
    """The authorities that certificates of a bundle may be of: its own, and those known before."""

    bundle: Bundle
    certificates: dict[str, x509.Certificate]
    own: dict[str, CheckedAuthority] = field(default_factory=dict)

    def find(self, authority: str) -> x509.Certificate:
        found = self.certificates.get(authority)
        if found is None:
            raise ValueError(f"authority {authority} is not known")
        return found


def check_hierarchy(bundle: Bundle, known: Mapping[str, x509.Certificate] | None = None) -> Hierarchy:
    """What a bundle brings, every signature verified; `known` are the authorities there before, by id.

    An outsider has none of them and passes None: certificates that were brought into the room then stand for
    those above the bundle's. They show that it holds together, not that it belongs to anybody.

    Raises:
        CaError: malformed, one `BUNDLE-…` rule.
    """
    manifest = bundle.manifest
    certificates = _brought(bundle) if known is None else dict(known)
    above = _Known(bundle, certificates)
    for entry in manifest.authorities:
        with _refusing("BUNDLE-CHAIN", f"the certificate of authority {entry.id}"):
            _require(entry.id not in above.own)
            above.own[entry.id] = _check_authority(above, entry)
            above.certificates[entry.id] = above.own[entry.id].certificate
    extra = tuple(_check_certificate(above, entry) for entry in manifest.certificates)
    crls = tuple(_check_crl(above, entry) for entry in manifest.crls)
    if len({each.authority for each in crls}) != len(crls):
        raise bad_bundle("BUNDLE-CRL", "two CRLs of one authority are in it")
    responders = tuple(_check_responder(above, entry) for entry in manifest.responders)
    if manifest.kind == FIRST_HIERARCHY:
        _require_whole(above, responders)
    csr = _check_csr(bundle) if manifest.api_server else None
    _check_log(bundle)
    _check_all_keys_used(bundle, (*above.own.values(), *extra), responders)
    return Hierarchy(tuple(above.own.values()), extra, crls, responders, csr)


def _brought(bundle: Bundle) -> dict[str, x509.Certificate]:
    """The certificates among the inputs, by the input's name, which is the id of the authority it is of."""
    found: dict[str, x509.Certificate] = {}
    for path, data in bundle.files.items():
        pem = data.startswith(b"-----BEGIN CERTIFICATE-----")
        load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
        if path.startswith("inputs/"):
            # Inputs are of many kinds: one that is no certificate is nobody's issuer.
            with suppress(*_BAD_CONTENT):
                found[path.removeprefix("inputs/")] = load(data)
    return found


def _check_authority(above: _Known, entry: AuthorityEntry) -> CheckedAuthority:
    certificate = x509.load_der_x509_certificate(above.bundle.files[entry.certificate])
    is_root = entry.role == "root"
    _require((entry.issuer == entry.id) is is_root, not (is_root and entry.key_uri is not None))
    _check_issued(certificate, certificate if is_root else above.find(entry.issuer))
    _require_authority(certificate)
    key_type = key_type_of(certificate.public_key())
    _require(key_type is not None and default_algorithm(key_type) is entry.signature_algorithm)
    spki = _key_of(certificate)
    if not is_root:
        _require_uri(above.bundle, entry.key_uri, spki)
    return CheckedAuthority(entry, certificate, spki)


def _require_authority(certificate: x509.Certificate) -> None:
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    _require(constraints.critical, constraints.value.ca, usage.key_cert_sign, usage.crl_sign)


def _require_uri(bundle: Bundle, uri: str | None, spki: str) -> None:
    """A key that was made here is named as its token has it; of another one nobody here can tell."""
    made = bundle.uri_of(spki)
    if made is not None:
        _require(uri == made)
    elif uri is not None:
        _require(all(key.uri != uri for key in bundle.keys), bundle.manifest.kind != FIRST_HIERARCHY)


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    certificate.verify_directly_issued_by(issuer)
    _require(
        issuer.not_valid_before_utc <= certificate.not_valid_before_utc,
        certificate.not_valid_before_utc < certificate.not_valid_after_utc,
        certificate.not_valid_after_utc <= issuer.not_valid_after_utc,
    )


def _check_certificate(above: _Known, entry: CertificateEntry) -> CheckedCertificate:
    """A link certificate may begin before its issuer: OldWithNew tells of an older key (RFC 4210 §4.4)."""
    with _refusing("BUNDLE-CHAIN", f"certificate {entry.name}"):
        certificate = x509.load_der_x509_certificate(above.bundle.files[entry.path])
        if entry.issuer is not None:
            issuer = above.find(entry.issuer)
            certificate.verify_directly_issued_by(issuer)
            _require(certificate.not_valid_after_utc <= issuer.not_valid_after_utc)
        if entry.subject is not None:
            subject = above.find(entry.subject)
            _require(subject.subject == certificate.subject, _key_of(subject) == _key_of(certificate))
        if entry.role in {"cross", "link"}:
            _require_authority(certificate)
            _require(entry.issuer is not None or entry.subject is not None)
        if entry.role == "link":
            _require(entry.issuer is not None and entry.subject is not None, entry.issuer != entry.subject)
        return CheckedCertificate(entry, certificate, _key_of(certificate))


def _check_crl(above: _Known, entry: CRLEntry) -> CheckedCRL:
    with _refusing("BUNDLE-CRL", f"the CRL of authority {entry.authority}"):
        issuer = above.find(entry.authority)
        crl = x509.load_der_x509_crl(above.bundle.files[entry.path])
        public_key: Any = issuer.public_key()
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        next_update = crl.next_update_utc
        if next_update is None or next_update <= crl.last_update_utc:
            raise ValueError("it has no end, or one before its beginning")
        _require(crl.is_signature_valid(public_key), crl.issuer == issuer.subject)
        _require(1 <= number < 2**63, not _is_delta(crl))
        _require(len({each.serial_number for each in crl}) == len(crl))
        return CheckedCRL(entry.authority, crl, number, next_update)


def _is_delta(crl: x509.CertificateRevocationList) -> bool:
    return any(isinstance(each.value, x509.DeltaCRLIndicator) for each in crl.extensions)


def _check_responder(above: _Known, entry: ResponderEntry) -> tuple[ResponderEntry, x509.Certificate]:
    with _refusing("BUNDLE-RESPONDER", f"the OCSP signer of authority {entry.authority}"):
        certificate = x509.load_der_x509_certificate(above.bundle.files[entry.certificate])
        _check_issued(certificate, above.find(entry.authority))
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        _require(list(purposes) == [ExtendedKeyUsageOID.OCSP_SIGNING])
        certificate.extensions.get_extension_for_class(x509.OCSPNoCheck)
        _require_uri(above.bundle, entry.key_uri, _key_of(certificate))
        return entry, certificate


def _require_whole(above: _Known, responders: tuple[tuple[ResponderEntry, x509.Certificate], ...]) -> None:
    """A first hierarchy lacks nothing: one root, keys and responders for all below it, log and TLS key."""
    manifest = above.bundle.manifest
    roots = {name for name, each in above.own.items() if each.entry.role == "root"}
    issuing = above.own.keys() - roots
    made = [above.bundle.uri_of(each.spki_sha256) for each in above.own.values()]
    if len(roots) != 1 or None in made:
        raise bad_bundle("BUNDLE-CHAIN", "it does not have exactly one root, or not every authority's key")
    if sorted(each.authority for each, _ in responders) != sorted(issuing):
        raise bad_bundle("BUNDLE-RESPONDER", "it does not have one responder for each issuing authority")
    if manifest.log is None or manifest.api_server is None:
        raise bad_bundle("BUNDLE-LOG", "a first hierarchy has a log and a key for the server")
    if [each.authority for each in manifest.crls] != sorted(roots):
        raise bad_bundle("BUNDLE-CRL", "it does not have the first CRL of its root")


def _check_csr(bundle: Bundle) -> x509.CertificateSigningRequest:
    with _refusing("BUNDLE-CSR", "the CSR of the API server"):
        csr = x509.load_der_x509_csr(bundle.files["csrs/api-server.csr"])
        _require(csr.is_signature_valid)
        return csr


def _check_log(bundle: Bundle) -> None:
    log = bundle.manifest.log
    if log is None:
        return
    try:
        vkey = parse_verifier_key(log.vkey)
    except CaError as error:
        raise bad_bundle("BUNDLE-LOG", "the log has no verifier key") from error
    made = bundle.uri_of(spki_sha256(vkey.public_key))
    if vkey.name != log.origin or made != log.key_uri:
        raise bad_bundle("BUNDLE-LOG", "the verifier key is not that of the log's name and key")


def _check_all_keys_used(
    bundle: Bundle,
    certified: tuple[CheckedAuthority | CheckedCertificate, ...],
    responders: tuple[tuple[ResponderEntry, x509.Certificate], ...],
) -> None:
    """A certificate, CSR, backup or the log explains every key: none is kept a secret."""
    with _refusing("BUNDLE-KEYS", "a certificate or CSR in it"):
        used = {each.spki_sha256 for each in certified}
        used |= {_key_of(certificate) for _, certificate in responders}
        used |= {
            _key_of(x509.load_der_x509_csr(data))
            for path, data in bundle.files.items()
            if path.startswith("csrs/")
        }
    used |= set(_backed_up(bundle))
    if bundle.manifest.log is not None:
        used |= {key.spki_sha256 for key in bundle.keys if key.uri == bundle.manifest.log.key_uri}
    unused = [key.label for key in bundle.keys if key.spki_sha256 not in used]
    if unused:
        raise bad_bundle("BUNDLE-KEYS", f"nothing in it says what key {unused[0]} is for")


def _backed_up(bundle: Bundle) -> Iterator[str]:
    """The SPKI digests of keys that were made to be backed up here; a later ceremony certifies them."""
    for path, data in bundle.files.items():
        if path.startswith("backups/") and path.endswith(".json"):
            with _refusing("BUNDLE-KEYS", path):
                yield hashlib.sha256(bytes.fromhex(json.loads(data)["spki"])).hexdigest()


def _key_of(certified: x509.Certificate | x509.CertificateSigningRequest) -> str:
    public_key = certified.public_key()
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
