"""Takes over what a ceremony made: in one transaction or not at all, once the whole bundle verifies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.audit.record import Event
from ca_server.core.bundle import CLOSING, Bundle, Manifest, ResponderEntry
from ca_server.core.ceremony.verify import VerifiedBundle, verify_bundle
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.hierarchy import CheckedAuthority, CheckedCertificate, Hierarchy
from ca_server.core.signatures import PublicKey, spki_sha256
from ca_server.services.context import Context, process_actor
from ca_server.services.imported_crls import revoke_listed, store_crl
from ca_server.store.authorities import (
    StoredAuthority,
    find_authority,
    find_authority_of_key,
    insert_authority,
    list_authorities,
)
from ca_server.store.ceremonies import (
    StoredCeremony,
    StoredCertificate,
    find_ceremony,
    find_certificate,
    find_key_uri,
    insert_ceremony,
    insert_certificate,
)
from ca_server.store.crls import read_published
from ca_server.store.unit_of_work import BrokenRule, UnitOfWork

LOG_EPOCH = "log-epoch"

_ACTOR = process_actor("import")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an operator knows of a bundle before it is read; a None is not asked for.

    `rehearsal` says that a rehearsal's is wanted, `sha256` is the digest that the ceremony showed, and the
    other two pin who may hold ceremonies.
    """

    rehearsal: bool = False
    sha256: str | None = None
    roster_sha256: str | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedResponder:
    """An OCSP signer for the responder's configuration; no URI where no imported ceremony made its key."""

    authority: str
    certificate_der: bytes
    key_uri: str | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was taken over; certificates are named by the hex SHA-256 of their DER, CRLs by their number.

    `keys` are those that the ceremony made, label -> URI; `revoked` are authorities that sign no more.
    """

    bundle_sha256: str
    closing_sha256: str
    outcome: str
    manifest: Manifest
    keys: Mapping[str, str]
    key_uris: Mapping[str, str | None]
    certificates: Mapping[str, str]
    crls: Mapping[str, int]
    responders: tuple[ImportedResponder, ...]
    revoked: tuple[str, ...]

    @property
    def authorities_changed(self) -> bool:
        """Whether processes that run know other authorities, or ways up from them, than there are now."""
        return bool(self.certificates or self.revoked)


def import_bundle(context: Context, path: Path, expected: Expected) -> ImportReport:
    """Verify a bundle and import what it brings.

    Raises:
        CaError: malformed or forbidden, one `BUNDLE-…` or `CEREMONY-…` rule; conflict, `BUNDLE-IMPORTED`,
            `BUNDLE-DIGEST`, `BUNDLE-KEY-UNKNOWN` or a CRL that does not follow; policy_refused,
            `BUNDLE-REHEARSAL`, `BUNDLE-OUTCOME`, `BUNDLE-REVOKED`, `BUNDLE-ROSTER-PIN` or
            `BUNDLE-LOG-EPOCH`; unavailable.
            Nothing was changed then.
    """
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    if expected.sha256 is not None and expected.sha256.lower() != digest:
        detail = f"the bundle's SHA-256 is {digest}, not {expected.sha256}"
        raise refuse(Kind.CONFLICT, "BUNDLE-DIGEST", detail)
    with context.database.read() as connection:
        stored = list_authorities(connection)
    known = {each.id: x509.load_der_x509_certificate(each.certificate_der) for each in stored}
    verified = verify_bundle(data, known)
    hierarchy = _require_wanted(verified, expected)
    try:
        return _import(context, verified, hierarchy)
    except BrokenRule as error:
        detail = "something of it was imported while this import ran; nothing was changed"
        raise refuse(Kind.CONFLICT, "BUNDLE-IMPORTED", detail) from error


def _read(path: Path) -> bytes:
    """At most one byte more than a bundle may have, so that its reader refuses what is larger."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error


def _require_wanted(verified: VerifiedBundle, expected: Expected) -> Hierarchy:
    """A bundle that holds may still be none for this server."""
    closing, roster = verified.bundle.closing, verified.roster
    if closing.mode == "rehearsal" and not expected.rehearsal:
        detail = "this bundle comes from a rehearsal, and this server is configured for production"
        raise refuse(Kind.POLICY_REFUSED, "BUNDLE-REHEARSAL", detail)
    if closing.mode == "production" and not (expected.roster_sha256 or expected.sha256):
        # Whoever has keys can hold a ceremony of his own: a bundle's own roster proves nothing about itself.
        detail = (
            "nothing says whose ceremonies count here: set ceremony.roster_sha256, or give the digest that "
            "the ceremony showed with --sha256"
        )
        raise refuse(Kind.POLICY_REFUSED, "BUNDLE-ROSTER-PIN", detail)
    if expected.roster_sha256 not in {None, roster.sha256} or expected.domain not in {None, roster.domain}:
        detail = (
            f"its people are of roster {roster.sha256} of {roster.domain}, which [ceremony] does not name"
        )
        raise refuse(Kind.POLICY_REFUSED, "BUNDLE-ROSTER-PIN", detail)
    if verified.hierarchy is None:
        detail = f"its ceremony ended as {closing.outcome}: nothing of it may be used"
        raise refuse(Kind.POLICY_REFUSED, "BUNDLE-OUTCOME", detail)
    if closing.kind == LOG_EPOCH:
        detail = (
            "a new epoch of the log is not opened by an import: this server goes on with the log that it has"
        )
        raise refuse(Kind.POLICY_REFUSED, "BUNDLE-LOG-EPOCH", detail)
    return verified.hierarchy


def _import(context: Context, verified: VerifiedBundle, hierarchy: Hierarchy) -> ImportReport:
    """All rows and all events in one transaction."""
    bundle = verified.bundle
    closing_sha256 = hashlib.sha256(bundle.files[CLOSING]).hexdigest()
    with context.database.write() as work:
        if find_ceremony(work.connection, closing_sha256) is not None:
            detail = f"ceremony '{bundle.manifest.ceremony}' was imported already; nothing was changed"
            raise refuse(Kind.CONFLICT, "BUNDLE-IMPORTED", detail)
        for key in bundle.keys:
            if find_key_uri(work.connection, key.spki_sha256) is not None:
                detail = f"key '{key.label}' came with another ceremony; nothing was changed"
                raise refuse(Kind.CONFLICT, "BUNDLE-IMPORTED", detail)
        events = [_store_ceremony(context, work, verified, closing_sha256)]
        for authority in hierarchy.authorities:
            events += _store_authority(context, work, authority)
        for certificate in hierarchy.certificates:
            events += _store_certificate(context, work, certificate, bundle)
        revoked: list[str] = []
        for crl in hierarchy.crls:
            events += store_crl(context, work, _ACTOR, crl)
            revoked += revoke_listed(context, work, _ACTOR, crl, events)
        responders = tuple(_responder(work, entry, each) for entry, each in hierarchy.responders)
        events += [_responder_event(context, each) for each in responders]
        found = {
            each.entry.id: find_authority(work.connection, each.entry.id) for each in hierarchy.authorities
        }
        work.commit(*events)
    return ImportReport(
        bundle_sha256=bundle.sha256,
        closing_sha256=closing_sha256,
        outcome=bundle.closing.outcome,
        manifest=bundle.manifest,
        keys={key.label: key.uri for key in bundle.keys},
        key_uris={name: each.key_uri if each else None for name, each in found.items()},
        certificates={
            **{each.entry.id: _sha256(each.certificate) for each in hierarchy.authorities},
            **{each.entry.name: _sha256(each.certificate) for each in hierarchy.certificates},
        },
        crls={each.authority: each.number for each in hierarchy.crls},
        responders=responders,
        revoked=tuple(revoked),
    )


def _store_ceremony(
    context: Context, work: UnitOfWork, verified: VerifiedBundle, closing_sha256: str
) -> Event:
    bundle = verified.bundle
    manifest = bundle.manifest
    data = {
        "bundle_sha256": bundle.sha256,
        "ceremony": manifest.ceremony,
        "closing_sha256": closing_sha256,
        "kind": manifest.kind,
        "mode": manifest.mode,
        "outcome": str(bundle.closing.outcome),
        "roster_sha256": verified.roster.sha256,
        "script_sha256": manifest.script_sha256,
        "transcript_sha256": verified.head_sha256,
        **({"log_vkey": manifest.log.vkey} if manifest.log else {}),
    }
    event = context.event("ceremony.imported", _ACTOR, data)
    stored = StoredCeremony(
        bundle_sha256=bundle.sha256,
        id=manifest.ceremony,
        kind=manifest.kind,
        mode=manifest.mode,
        closing_sha256=closing_sha256,
        imported_at=to_epoch(context.clock.now()),
        event_id=event.event_id,
    )
    insert_ceremony(work, stored, {key.spki_sha256: key.uri for key in bundle.keys})
    return event


def _store_authority(context: Context, work: UnitOfWork, authority: CheckedAuthority) -> list[Event]:
    """Nothing for an authority that is there already, as a later ceremony may show it again."""
    entry, certificate = authority.entry, authority.certificate
    der = certificate.public_bytes(Encoding.DER)
    known = find_authority(work.connection, entry.id)
    if known is not None and known.certificate_der == der:
        return []
    _require_free(work, entry.id, authority.spki_sha256)
    _require_not_revoked(work, entry.issuer, certificate)
    is_root = entry.role == "root"
    key_uri = entry.key_uri or find_key_uri(work.connection, authority.spki_sha256)
    if key_uri is None and not is_root:
        detail = (
            f"no imported ceremony made the key of authority '{entry.id}': import the one that made it first"
        )
        raise refuse(Kind.CONFLICT, "BUNDLE-KEY-UNKNOWN", detail)
    data = {
        "authority": entry.id,
        "cert_sha256": hashlib.sha256(der).hexdigest(),
        "role": entry.role,
        "spki_sha256": authority.spki_sha256,
    }
    imported = context.event("authority.imported", _ACTOR, data)
    stored = StoredAuthority(
        id=entry.id,
        issuer_id=None if is_root else entry.issuer,
        role=entry.role,
        state="offline" if is_root else "active",
        certificate_der=der,
        serial_number=f"{certificate.serial_number:040x}",
        spki_sha256=authority.spki_sha256,
        key_uri=None if is_root else key_uri,
        signature_algorithm=entry.signature_algorithm,
        last_crl_number=0,
        created_at=to_epoch(context.clock.now()),
        event_id=imported.event_id,
    )
    insert_authority(work, stored)
    return [imported]


def _require_not_revoked(work: UnitOfWork, issuer: str, certificate: x509.Certificate) -> None:
    published = read_published(work.connection, issuer)
    listed = published and x509.load_der_x509_crl(published[1]).get_revoked_certificate_by_serial_number(
        certificate.serial_number
    )
    if listed is not None:
        detail = f"authority '{issuer}' has revoked a certificate of this bundle"
        raise refuse(Kind.POLICY_REFUSED, "BUNDLE-REVOKED", detail)


def _require_free(work: UnitOfWork, name: str, spki: str | None = None) -> None:
    """One name is one thing, and one key one authority: what AIA leads to never changes."""
    known = find_authority(work.connection, name)
    if known is None and spki is not None:
        known = find_authority_of_key(work.connection, spki)
    if known is not None or find_certificate(work.connection, name) is not None:
        detail = f"another '{known.id if known else name}' is there; nothing was changed"
        raise refuse(Kind.CONFLICT, "BUNDLE-IMPORTED", detail)


def _store_certificate(
    context: Context, work: UnitOfWork, checked: CheckedCertificate, bundle: Bundle
) -> list[Event]:
    """A cross or link certificate; of others the ceremony's digest is kept, and nothing else."""
    entry = checked.entry
    if entry.role == "other":
        return []
    der = checked.certificate.public_bytes(Encoding.DER)
    known = find_certificate(work.connection, entry.name)
    if known is not None and known.der == der:
        return []
    _require_free(work, entry.name)
    data = {
        "cert_sha256": hashlib.sha256(der).hexdigest(),
        "issuer": entry.issuer or "",
        "name": entry.name,
        "role": entry.role,
        "subject": entry.subject or "",
    }
    imported = context.event("certificate.imported", _ACTOR, data)
    stored = StoredCertificate(
        name=entry.name,
        role=entry.role,
        subject_id=entry.subject,
        issuer_id=entry.issuer,
        sha256=data["cert_sha256"],
        der=der,
        bundle_sha256=bundle.sha256,
        event_id=imported.event_id,
    )
    insert_certificate(work, stored)
    return [imported]


def _responder(work: UnitOfWork, entry: ResponderEntry, certificate: x509.Certificate) -> ImportedResponder:
    # `core.hierarchy` accepts no other keys.
    public_key: PublicKey = certificate.public_key()  # type: ignore[assignment]
    uri = entry.key_uri or find_key_uri(work.connection, spki_sha256(public_key))
    return ImportedResponder(entry.authority, certificate.public_bytes(Encoding.DER), uri)


def _responder_event(context: Context, responder: ImportedResponder) -> Event:
    data = {
        "authority": responder.authority,
        "cert_sha256": hashlib.sha256(responder.certificate_der).hexdigest(),
    }
    return context.event("responder.imported", _ACTOR, data)


def _sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
