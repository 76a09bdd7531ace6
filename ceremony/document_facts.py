"""A document in words, a fact a line, that officers compare with the script before they approve it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca_server.core.clock import to_text
from ca_server.core.crl import parse_crl
from ca_server.core.signatures import key_type_of, spki_sha256
from ceremony.documents import unsigned_twin
from ceremony.drafts import Draft
from ceremony.issuers import extension
from ceremony.places import input_path

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

# A CRL's older entries are counted, not shown, once it has more than this.
MAX_ENTRIES_SHOWN = 20

_USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}


def describe_draft(room: Room, name: str, draft: Draft) -> str:
    """All that a document says: of a certificate every limit and URL, of a CRL its entries."""
    twin = unsigned_twin(draft.document, draft.tbs)
    if draft.document.kind == "certificate":
        lines = _certificate(x509.load_der_x509_certificate(twin), _whose(room.script, name))
    elif draft.document.kind == "crl":
        lines = _crl(x509.load_der_x509_crl(twin), _listed(room, name))
    else:
        lines = _request(x509.load_der_x509_csr(twin), _whose(room.script, name))
    return "\n".join(lines)


def _certificate(certificate: x509.Certificate, whose: str) -> Iterator[str]:
    yield f"certificate of '{certificate.subject.rfc4514_string()}'"
    yield f"issuer: '{certificate.issuer.rfc4514_string()}'"
    yield f"serial number: {certificate.serial_number:x}"
    validity = f"{to_text(certificate.not_valid_before_utc)} to {to_text(certificate.not_valid_after_utc)}"
    yield f"valid: {validity}"
    yield from _key(certificate.public_key(), whose)
    yield _authority(certificate)
    yield f"key usage: {_list(_usages(extension(certificate, x509.KeyUsage)))}"
    extended = extension(certificate, x509.ExtendedKeyUsage) or ()
    yield f"extended key usage: {_list(_named(each) for each in extended)}"
    yield from _name_constraints(extension(certificate, x509.NameConstraints))
    points = extension(certificate, x509.CRLDistributionPoints) or ()
    yield f"CRL at: {_list(_general(each) for point in points for each in point.full_name or ())}"
    for access in extension(certificate, x509.AuthorityInformationAccess) or ():
        is_issuer = access.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        what = "issuer's certificate" if is_issuer else _named(access.access_method)
        yield f"{what} at: {_general(access.access_location)}"
    marks = [f"{_named(each.oid)}{' (critical)' if each.critical else ''}" for each in certificate.extensions]
    yield f"extensions: {_list(marks)}"


def _authority(certificate: x509.Certificate) -> str:
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "certificate authority: no"
    limit = constraints.path_length
    return f"certificate authority: yes, path length {'without a limit' if limit is None else limit}"


def _usages(usage: x509.KeyUsage | None) -> list[str]:
    if usage is None:
        return []
    named = [name for field, name in _USAGES.items() if getattr(usage, field)]
    # The library refuses to say these two of a key that agrees on none (RFC 5280 §4.2.1.3).
    if usage.key_agreement and usage.encipher_only:
        named.append("encipherOnly")
    if usage.key_agreement and usage.decipher_only:
        named.append("decipherOnly")
    return named


def _name_constraints(constraints: x509.NameConstraints | None) -> Iterator[str]:
    if constraints is None:
        yield "name constraints: none"
        return
    yield f"names permitted: {_list(_general(each) for each in constraints.permitted_subtrees or ())}"
    yield f"names excluded: {_list(_general(each) for each in constraints.excluded_subtrees or ())}"


def _request(request: x509.CertificateSigningRequest, whose: str) -> Iterator[str]:
    yield f"request for a certificate of '{request.subject.rfc4514_string()}'"
    yield from _key(request.public_key(), whose)


def _crl(crl: x509.CertificateRevocationList, listed: frozenset[int]) -> Iterator[str]:
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    yield f"CRL {number} of '{crl.issuer.rfc4514_string()}'"
    following = to_text(crl.next_update_utc) if crl.next_update_utc else "none"
    yield f"thisUpdate: {to_text(crl.last_update_utc)}"
    yield f"nextUpdate: {following}"
    new = [each for each in crl if each.serial_number not in listed]
    yield f"entries: {len(crl)}, {len(new)} of them new"
    for each in crl if len(crl) <= MAX_ENTRIES_SHOWN else new:
        since = "" if each.serial_number in listed else ", new"
        date = to_text(each.revocation_date_utc)
        yield f"revoked: {each.serial_number:x}, {_reason(each)}, {date}{since}"


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        return "unspecified"


def _key(public_key: object, whose: str) -> Iterator[str]:
    yield f"public key: {key_type_of(public_key) or 'of another type'}, of {whose}, SHA-256 of its SPKI:"
    yield f"  {spki_sha256(public_key)}"  # type: ignore[arg-type]


def _whose(script: Script, name: str) -> str:
    """Where the script says that the key to be certified comes from."""
    table = script.profiles.get(name) or script.requests[name]
    request = getattr(table, "request", None)
    if table.key is not None:
        return f"key '{table.key}' in device '{script.keys[table.key].hsm}'"
    return f"CSR '{request}'" if request is not None else f"certificate '{table.like}'"


def _listed(room: Room, name: str) -> frozenset[int]:
    """The serial numbers that the CRL before had already."""
    previous = room.script.crls[name].previous
    if previous is None:
        return frozenset()
    return frozenset(each.serial_number for each in parse_crl(room.read(input_path(previous))))


def _general(name: x509.GeneralName) -> str:
    if isinstance(name, x509.UniformResourceIdentifier):
        return name.value
    value = name.value.rfc4514_string() if isinstance(name.value, x509.Name) else name.value
    return f"{type(name).__name__} {value}"


def _named(oid: x509.ObjectIdentifier) -> str:
    """The library's name of an OID; the OID itself where it has none."""
    known = oid._name  # noqa: SLF001 - the library has no other table
    return oid.dotted_string if known == "Unknown OID" else known


def _list(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"
