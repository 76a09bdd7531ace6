"""Building the CRLs of an authority that certifies authorities only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from ca_server.core.bundle import crl_path
from ca_server.core.crl import parse_crl
from ca_server.core.crl_succession import check_succession, crl_number
from ca_server.core.errors import Kind, refuse
from ceremony.documents import Document
from ceremony.drafts import Draft, Given, Use, draft
from ceremony.fields import Slug
from ceremony.issuers import certificate_of, is_authority, issuer_of, key_identifier
from ceremony.places import certificate_place, input_path
from ceremony.steps.verb import Category, Done, Effect, Name, Verb
from ceremony.validity import Period

if TYPE_CHECKING:
    from ceremony.profiles import CRLProfile, Revocation
    from ceremony.room import Room
    from ceremony.script import Script


class BuildCRL(Verb):
    """Build the bytes of a CRL; its document is named after its table."""

    effect = Effect.IDEMPOTENT
    do: Literal["crl.build"]
    crl: Slug

    def reads(self) -> Iterator[Name]:
        """The table."""
        yield Name(Category.CRL, self.crl, "crl")

    def makes(self) -> Iterator[Name]:
        """The document."""
        yield Name(Category.DOCUMENT, self.crl, "crl")

    def describe(self, script: Script) -> str:
        """What will happen."""
        profile = script.crls[self.crl]
        what = "in an emergency, build" if profile.emergency else "build"
        revoked = "".join(f", which revokes '{each.certificate}' ({each.reason})" for each in profile.revoke)
        return f"{what} the {'first' if profile.first else 'next'} CRL of '{profile.issuer}'{revoked}"

    def perform(self, room: Room) -> Done:
        """Build it.

        Raises:
            CaError: it does not follow the previous CRL (`CEREMONY-CRL-…`), outlives its issuer, or the key
                in the token is not the issuer's.
        """
        digest = draft_crl(room, self.crl, Given(room.clock.now())).write(room, self.crl)
        emergency = room.script.crls[self.crl].emergency
        result = {"document": self.crl, "tbs_sha256": digest, "emergency": emergency}
        return Done(f"TBS SHA-256 {digest}", result)


def draft_crl(room: Room, name: str, given: Given) -> Draft:
    """The CRL that the table `name` wants, and no other.

    Raises:
        CaError: as `BuildCRL.perform`.
    """
    profile = room.script.crls[name]
    issuer = issuer_of(room, profile.issuer, profile.issuer_key)
    use = Use(
        kind="crl",
        key=profile.issuer_key,
        product=crl_path(profile.issuer),
        issuer=certificate_place(room.script, profile.issuer),
    )
    return draft(room, use, _builder(room, profile, issuer, given.moment))


def require_succession(room: Room, name: str, document: Document, der: bytes) -> None:
    """Pass a CRL that comes next after the previous one and has lost none of its entries; anything else, too.

    Raises:
        CaError: conflict, `CEREMONY-CRL-NUMBER` or `CEREMONY-CRL-LOST`.
    """
    profile = room.script.crls.get(name)
    if document.kind != "crl" or profile is None:
        return
    following = parse_crl(der)
    if profile.previous is not None:
        # Entries are never taken off a CRL this short, so that no certificate's end has to be known.
        check_succession(parse_crl(room.read(input_path(profile.previous))), following, {})
    elif crl_number(following) != 1:
        raise refuse(
            Kind.CONFLICT, "CEREMONY-CRL-NUMBER", f"the first CRL of '{profile.issuer}' has number 1"
        )


def _builder(
    room: Room, profile: CRLProfile, issuer: x509.Certificate, now: datetime
) -> x509.CertificateRevocationListBuilder:
    period = Period(now, now + profile.lifetime)
    if not Period(issuer.not_valid_before_utc, issuer.not_valid_after_utc).holds(period):
        detail = f"the CRL's time, {period}, is not inside the validity of '{profile.issuer}'"
        raise refuse(Kind.POLICY_REFUSED, "CEREMONY-CRL-LIFETIME", detail)
    previous = _previous(room, profile, issuer, now)
    number = 1 if previous is None else crl_number(previous) + 1
    if profile.number not in {None, number}:
        detail = f"the script expects CRL {profile.number}, and the next one is {number}"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-NUMBER", detail)
    # All at once: one by one, every addition would copy the list.
    return x509.CertificateRevocationListBuilder(
        issuer_name=issuer.subject,
        last_update=period.not_before,
        next_update=period.not_after,
        extensions=_extensions(issuer, number),
        revoked_certificates=_entries(room, profile, issuer, previous, now),
    )


def _previous(
    room: Room, profile: CRLProfile, issuer: x509.Certificate, now: datetime
) -> x509.CertificateRevocationList | None:
    if profile.previous is None:
        return None
    previous = parse_crl(room.read(input_path(profile.previous)))
    public_key = issuer.public_key()
    try:
        numbered = crl_number(previous) >= 1
    except x509.ExtensionNotFound:
        numbered = False
    delta = any(isinstance(each.value, x509.DeltaCRLIndicator) for each in previous.extensions)
    ours = previous.issuer == issuer.subject and previous.is_signature_valid(public_key)  # type: ignore[arg-type]
    if not ours or not numbered or delta:
        detail = f"'{profile.previous}' is not a whole, numbered CRL signed by '{profile.issuer}'"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-PREVIOUS", detail)
    if previous.last_update_utc >= now:
        detail = f"'{profile.previous}' is of {previous.last_update_utc}, and it is {now} only"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-PREVIOUS", detail)
    return previous


def _entries(
    room: Room,
    profile: CRLProfile,
    issuer: x509.Certificate,
    previous: x509.CertificateRevocationList | None,
    now: datetime,
) -> list[x509.RevokedCertificate]:
    """Those of the previous CRL, and the new ones; nothing is taken off."""
    entries = [] if previous is None else list(previous)
    for each in profile.revoke:
        entry = _entry(room, each, profile, issuer, now)
        if any(entry.serial_number == known.serial_number for known in entries):
            detail = f"'{each.certificate}' is on the CRL already"
            raise refuse(Kind.CONFLICT, "CEREMONY-CRL-ENTRY", detail)
        entries.append(entry)
    return entries


def _entry(
    room: Room, revocation: Revocation, profile: CRLProfile, issuer: x509.Certificate, now: datetime
) -> x509.RevokedCertificate:
    """An entry is a CA certificate that this very issuer signed, as the distribution point promises."""
    certificate = certificate_of(room, revocation.certificate)
    date = revocation.date or now
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        detail = f"'{revocation.certificate}' was not issued by '{profile.issuer}'"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-ENTRY", detail) from error
    if not is_authority(certificate):
        detail = f"'{revocation.certificate}' is not an authority's certificate"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-ENTRY", detail)
    if not certificate.not_valid_before_utc <= date <= now:
        detail = f"'{revocation.certificate}' cannot be revoked as of {date}"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-ENTRY", detail)
    return (
        x509.RevokedCertificateBuilder(certificate.serial_number, date)
        .add_extension(x509.CRLReason(x509.ReasonFlags(revocation.reason)), critical=False)
        .build()
    )


def _extensions(issuer: x509.Certificate, number: int) -> list[x509.Extension[x509.ExtensionType]]:
    """The issuing distribution point names no URL: a root has no CDP of its own (RFC 5280 §5.2.5, §6.3.3)."""
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier(issuer))
    point = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=True,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    return [
        x509.Extension(x509.CRLNumber.oid, False, x509.CRLNumber(number)),
        x509.Extension(authority.oid, False, authority),
        x509.Extension(point.oid, True, point),
    ]
