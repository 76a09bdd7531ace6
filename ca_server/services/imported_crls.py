"""CRLs that a ceremony made: stored as if signed here, and what they revoke is revoked here too."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.audit.record import Actor, Event
from ca_server.core.clock import to_epoch
from ca_server.core.crl_succession import check_succession
from ca_server.core.errors import Kind, refuse
from ca_server.core.hierarchy import CheckedCRL
from ca_server.services.context import Context
from ca_server.store.authorities import find_authority, list_authorities, revoke_authority
from ca_server.store.ceremonies import list_certificates
from ca_server.store.crls import CrlIntent, read_published, settle, take_later_number
from ca_server.store.unit_of_work import UnitOfWork


def store_crl(context: Context, work: UnitOfWork, actor: Actor, checked: CheckedCRL) -> list[Event]:
    """Publish a CRL that follows the one that is out, with intent and outcome, so that every number has both.

    Raises:
        CaError: conflict; `CEREMONY-CRL-NUMBER` or `CEREMONY-CRL-LOST`, it does not follow that one;
            `BUNDLE-CRL-ONLINE`, this authority's CRLs are made by the server.
    """
    authority = find_authority(work.connection, checked.authority)
    if authority is None or authority.key_uri is not None:
        detail = f"the server itself makes the CRLs of authority '{checked.authority}'"
        raise refuse(Kind.CONFLICT, "BUNDLE-CRL-ONLINE", detail)
    published = read_published(work.connection, authority.id)
    if published is not None:
        previous = x509.load_der_x509_crl(published[1])
        check_succession(previous, checked.crl, _ends(work, authority.id))
    name, crl = authority.id, checked.crl
    der = crl.public_bytes(Encoding.DER)
    sha256, tbs_sha256 = (hashlib.sha256(each).hexdigest() for each in (der, crl.tbs_certlist_bytes))
    named = {"authority": name, "crl_number": checked.number}
    intent = context.event("crl.intent", actor, {**named, "tbs_sha256": tbs_sha256})
    done = context.event("crl.done", actor, {**named, "crl_sha256": sha256}, ref=intent.event_id)
    stored = CrlIntent(
        authority_id=name,
        crl_number=checked.number,
        this_update=to_epoch(crl.last_update_utc),
        next_update=to_epoch(checked.next_update),
        entries=len(crl),
        tbs_sha256=tbs_sha256,
        intent_event_id=intent.event_id,
    )
    if not take_later_number(work, stored):
        detail = f"authority '{name}' has had CRL {authority.last_crl_number}; {checked.number} is not later"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-NUMBER", detail)
    settle(work, name, checked.number, sha256=sha256, der=der, event_id=done.event_id)
    return [intent, done]


def revoke_listed(
    context: Context, work: UnitOfWork, actor: Actor, checked: CheckedCRL, events: list[Event]
) -> list[str]:
    """Let authorities of ours that a CRL lists sign nothing any more; their ids, and an event of each."""
    revoked = []
    for each in list_authorities(work.connection):
        listed = checked.crl.get_revoked_certificate_by_serial_number(int(each.serial_number, 16))
        if each.issuer_id == checked.authority and listed is not None and revoke_authority(work, each.id):
            data = {"authority": each.id, "serial": each.serial_number, "issuer": checked.authority}
            events.append(context.event("authority.revoked", actor, data))
            revoked.append(each.id)
    return revoked


def _ends(work: UnitOfWork, issuer_id: str) -> dict[int, datetime]:
    """When each certificate ends that this authority issued and that is known here, by serial number."""
    ders = [each.certificate_der for each in list_authorities(work.connection) if each.issuer_id == issuer_id]
    ders += [each.der for each in list_certificates(work.connection) if each.issuer_id == issuer_id]
    certificates = map(x509.load_der_x509_certificate, ders)
    return {each.serial_number: each.not_valid_after_utc for each in certificates}
