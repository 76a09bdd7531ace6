"""Takes over what a ceremony made: its authorities and first CRL, all of it in one transaction or nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.audit.record import Event
from ca_server.core.bundle import Bundle, Manifest, read_bundle
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.hierarchy import CheckedAuthority, Hierarchy, check_hierarchy
from ca_server.services.context import Context, process_actor
from ca_server.store.authorities import (
    StoredAuthority,
    find_authority,
    find_authority_of_key,
    insert_authority,
)
from ca_server.store.crls import CrlIntent, settle, take_number
from ca_server.store.unit_of_work import BrokenRule, UnitOfWork

_ACTOR = process_actor("import")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was taken over; certificates are named by the hex SHA-256 of their DER."""

    bundle_sha256: str
    manifest: Manifest
    certificates: dict[str, str]


def import_bundle(
    context: Context, path: Path, *, rehearsal: bool, sha256: str | None = None
) -> ImportReport:
    """Import a bundle; `rehearsal` says that one is wanted, `sha256` is the digest that the ceremony showed.

    Raises:
        CaError: malformed, one `BUNDLE-…` rule; conflict, `BUNDLE-IMPORTED` or `BUNDLE-DIGEST`;
            policy_refused, `BUNDLE-REHEARSAL`; unavailable. Nothing was changed then.
    """
    bundle = read_bundle(_read(path))
    if sha256 is not None and sha256.lower() != bundle.sha256:
        detail = f"the bundle's SHA-256 is {bundle.sha256}, not {sha256}"
        raise refuse(Kind.CONFLICT, "BUNDLE-DIGEST", detail)
    hierarchy = check_hierarchy(bundle)
    if bundle.manifest.mode == "rehearsal" and not rehearsal:
        raise refuse(
            Kind.POLICY_REFUSED,
            "BUNDLE-REHEARSAL",
            "this bundle comes from a rehearsal, and this server is configured for production",
        )
    try:
        _import(context, bundle, hierarchy)
    except BrokenRule as error:
        detail = "its authorities were imported while this import ran; nothing was changed"
        raise refuse(Kind.CONFLICT, "BUNDLE-IMPORTED", detail) from error
    digests = {each.entry.id: _sha256(each.certificate) for each in hierarchy.authorities}
    return ImportReport(bundle.sha256, bundle.manifest, digests)


def _import(context: Context, bundle: Bundle, hierarchy: Hierarchy) -> None:
    """All rows and all events in one transaction."""
    with context.database.write() as work:
        for authority in hierarchy.authorities:
            _require_new(work, authority)
        events = [_ceremony_event(context, bundle)]
        for authority in hierarchy.authorities:
            events += _store(context, work, authority)
        work.commit(*events)


def _read(path: Path) -> bytes:
    """At most one byte more than a bundle may have, so that its reader refuses what is larger."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error


def _require_new(work: UnitOfWork, authority: CheckedAuthority) -> None:
    known = find_authority(work.connection, authority.entry.id) or find_authority_of_key(
        work.connection, authority.spki_sha256
    )
    if known is not None:
        same = known.spki_sha256 == authority.spki_sha256
        detail = f"authority '{known.id}' was imported already" if same else f"another '{known.id}' is there"
        raise refuse(Kind.CONFLICT, "BUNDLE-IMPORTED", f"{detail}; nothing was changed")


def _ceremony_event(context: Context, bundle: Bundle) -> Event:
    manifest = bundle.manifest
    data = {
        "bundle_sha256": bundle.sha256,
        "ceremony": manifest.ceremony,
        "log_vkey": manifest.log.vkey,
        "mode": manifest.mode,
        "script_sha256": manifest.script_sha256,
    }
    return context.event("ceremony.imported", _ACTOR, data)


def _store(context: Context, work: UnitOfWork, authority: CheckedAuthority) -> list[Event]:
    entry, certificate = authority.entry, authority.certificate
    imported = context.event(
        "authority.imported",
        _ACTOR,
        {
            "authority": entry.id,
            "cert_sha256": _sha256(certificate),
            "role": entry.role,
            "spki_sha256": authority.spki_sha256,
        },
    )
    is_root = entry.role == "root"
    insert_authority(
        work,
        StoredAuthority(
            id=entry.id,
            issuer_id=None if is_root else entry.issuer,
            role=entry.role,
            state="offline" if is_root else "active",
            certificate_der=certificate.public_bytes(Encoding.DER),
            serial_number=f"{certificate.serial_number:040x}",
            spki_sha256=authority.spki_sha256,
            key_uri=entry.key_uri,
            signature_algorithm=entry.signature_algorithm,
            last_crl_number=0,
            created_at=to_epoch(context.clock.now()),
            event_id=imported.event_id,
        ),
    )
    return [imported, *_store_crl(context, work, authority)]


def _store_crl(context: Context, work: UnitOfWork, authority: CheckedAuthority) -> list[Event]:
    """The ceremony's CRL as if signed here: intent and outcome, so that every number has both."""
    first = authority.crl
    if first is None:
        return []
    name, crl = authority.entry.id, first.crl
    der = crl.public_bytes(Encoding.DER)
    sha256, tbs_sha256 = (hashlib.sha256(each).hexdigest() for each in (der, crl.tbs_certlist_bytes))
    named = {"authority": name, "crl_number": first.number}
    intent = context.event("crl.intent", _ACTOR, {**named, "tbs_sha256": tbs_sha256})
    done = context.event("crl.done", _ACTOR, {**named, "crl_sha256": sha256}, ref=intent.event_id)
    stored = CrlIntent(
        authority_id=name,
        crl_number=first.number,
        this_update=to_epoch(crl.last_update_utc),
        next_update=to_epoch(first.next_update),
        entries=len(crl),
        tbs_sha256=tbs_sha256,
        intent_event_id=intent.event_id,
    )
    taken = take_number(work, stored)
    if not (taken and settle(work, name, first.number, sha256=sha256, der=der, event_id=done.event_id)):
        raise RuntimeError("the first CRL of a new authority was not taken")
    return [intent, done]


def _sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
