"""What a certificate is about: whose name and key, for how long, and what that key may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from ca_server.core.csr import Csr, parse_csr
from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import PublicKey
from ceremony.extensions import (
    Extension,
    authority_extensions,
    copied_extensions,
    publication_extensions,
    responder_extensions,
    root_extensions,
)
from ceremony.issuers import certificate_of, is_authority, path_length
from ceremony.places import request_place
from ceremony.validity import Period, period_of

if TYPE_CHECKING:
    from ceremony.profiles import Profile
    from ceremony.room import Room
    from ceremony.tables import Publication


@dataclass(frozen=True, slots=True)
class Certified:
    """The subject's side of a certificate; the issuer adds its name, key identifier and serial number."""

    subject: x509.Name
    public_key: PublicKey
    key_identifier: x509.SubjectKeyIdentifier
    period: Period
    extensions: tuple[Extension, ...]


def certified(room: Room, name: str, issuer: x509.Certificate | None, moment: datetime) -> Certified:
    """What the profile `name` certifies; `issuer` is None for a root, and a lifetime starts at `moment`.

    Raises:
        CaError: bad_csr, there is no proof of possession; policy_refused, `CEREMONY-VALIDITY-ISSUER`,
            `CEREMONY-PATH-LENGTH`, or a `CEREMONY-CROSS-…` or `CEREMONY-LINK` rule.
    """
    profile = room.script.profiles[name]
    if profile.like is not None and issuer is not None:
        found = _like(room, name, issuer, moment)
    else:
        found = _anew(room, name, moment)
    if issuer is not None:
        _require_inside(name, profile, found.period, issuer)
        if profile.type != "responder":
            _require_room_below(name, found, issuer)
    return found


def _anew(room: Room, name: str, moment: datetime) -> Certified:
    profile = room.script.profiles[name]
    if profile.subject is None:
        raise refuse(Kind.MALFORMED, "CEREMONY-PROFILE", f"profile '{name}' has no subject")
    subject = profile.subject.name(room.mode)
    if profile.request is not None:
        request = _request(room, profile.request)
        if request.subject != subject:
            detail = f"request '{profile.request}' is of '{request.subject.rfc4514_string()}'"
            raise refuse(Kind.CONFLICT, "CEREMONY-REQUEST", f"{detail}, not the subject of '{name}'")
        public_key = request.public_key
    else:
        public_key = room.signer(profile.key or "").public_key
    return Certified(
        subject,
        public_key,
        x509.SubjectKeyIdentifier.from_public_key(public_key),
        period_of(profile, moment),
        _extensions(profile, room.script.publication),
    )


def _like(room: Room, name: str, issuer: x509.Certificate, moment: datetime) -> Certified:
    profile = room.script.profiles[name]
    existing = certificate_of(room, profile.like or "")
    if not is_authority(existing):
        raise refuse(Kind.CONFLICT, "CEREMONY-CROSS-SUBJECT", f"'{profile.like}' is not an authority's")
    if profile.type == "link":
        if any(each.subject != each.issuer for each in (existing, issuer)):
            raise refuse(Kind.CONFLICT, "CEREMONY-LINK", f"'{name}' does not link two roots")
        period = Period(
            existing.not_valid_before_utc,
            min(existing.not_valid_after_utc, issuer.not_valid_after_utc),
        )
    else:
        period = period_of(profile, moment)
        _require_proof(room, profile, existing)
        _require_same_organization(name, profile, existing, issuer)
        if period.not_before < existing.not_valid_before_utc:
            detail = f"'{name}' would begin before the certificate that it is like"
            raise refuse(Kind.POLICY_REFUSED, "CEREMONY-CROSS-VALIDITY", detail)
    public_key: Any = existing.public_key()
    identifier, extensions = copied_extensions(existing)
    publication = _publication(room.script.publication)
    return Certified(
        existing.subject,
        public_key,
        identifier,
        period,
        (*extensions, *publication_extensions(profile.issuer or "", publication)),
    )


def _require_proof(room: Room, profile: Profile, existing: x509.Certificate) -> None:
    """The holder of the key asks for the very name that the key has already, byte for byte."""
    request = _request(room, profile.request or "")
    if request.public_key != existing.public_key():
        detail = f"request '{profile.request}' is of another key than certificate '{profile.like}'"
        raise refuse(Kind.CONFLICT, "CEREMONY-CROSS-KEY", detail)
    if request.subject.public_bytes() != existing.subject.public_bytes():
        detail = f"request '{profile.request}' has other subject bytes than certificate '{profile.like}'"
        raise refuse(Kind.CONFLICT, "CEREMONY-CROSS-SUBJECT", detail)


def _require_same_organization(
    name: str, profile: Profile, existing: x509.Certificate, issuer: x509.Certificate
) -> None:
    ours, theirs = (
        [each.value for each in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        for certificate in (issuer, existing)
    )
    if not profile.other_organization and (not ours or ours != theirs):
        detail = f"'{name}' would certify another organization; say other_organization = true if it shall"
        raise refuse(Kind.POLICY_REFUSED, "CEREMONY-CROSS-ORGANIZATION", detail)


def _request(room: Room, name: str) -> Csr:
    """A CSR whose signature proves that its sender has the key (RFC 2986 §3)."""
    return parse_csr(room.read(request_place(room.script, name)))


def _extensions(profile: Profile, publication: Publication | None) -> tuple[Extension, ...]:
    if profile.issuer is None:
        return root_extensions(profile)
    if profile.type == "responder":
        return responder_extensions(profile.issuer, _publication(publication))
    return authority_extensions(profile, profile.issuer, _publication(publication))


def _publication(publication: Publication | None) -> Publication:
    if publication is None:
        detail = "a certificate with an issuer needs [publication]"
        raise refuse(Kind.MALFORMED, "CEREMONY-PUBLICATION", detail)
    return publication


def _require_inside(name: str, profile: Profile, period: Period, issuer: x509.Certificate) -> None:
    """A link certificate of an old key tells of times before its issuer's (RFC 4210 §4.4)."""
    whole = Period(issuer.not_valid_before_utc, issuer.not_valid_after_utc)
    ends_inside = profile.type == "link" and period.not_before < period.not_after <= whole.not_after
    if not (ends_inside or whole.holds(period)):
        detail = f"the validity of '{name}', {period}, is not inside its issuer's, {whole}"
        raise refuse(Kind.POLICY_REFUSED, "CEREMONY-VALIDITY-ISSUER", detail)


def _require_room_below(name: str, found: Certified, issuer: x509.Certificate) -> None:
    """What the issuer allows below it must hold this authority, and those that it may have itself."""
    limit = path_length(issuer)
    own = next(value for value, _ in found.extensions if isinstance(value, x509.BasicConstraints))
    if limit is None or (own.path_length is not None and own.path_length < limit):
        return
    detail = f"the issuer of '{name}' allows a path length below {limit}, not {own.path_length}"
    raise refuse(Kind.POLICY_REFUSED, "CEREMONY-PATH-LENGTH", detail)
