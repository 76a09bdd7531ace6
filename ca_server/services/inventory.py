"""Shows what was issued, asked for and logged, to whom may see it.

A requester sees its own; another's is not found, so that nobody learns what exists by asking.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ca_server.core.authorization import Principal, Role
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.roles import Action
from ca_server.services.access import require_permission
from ca_server.services.context import Context
from ca_server.store import authorities, inventory
from ca_server.store.audit import EventFilter, StoredEvent, list_events
from ca_server.store.authorities import StoredAuthority
from ca_server.store.inventory import (
    CertificateFilter,
    CertificateRecord,
    RequestRecord,
    Sort,
)

MAX_PAGE = 200


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted; `after` is the sort value and number of the last row seen."""

    limit: int
    sort: Sort = Sort.NEWEST
    after: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_PAGE + 1:
            raise ValueError("a page has 1 to 200 rows, and one to see whether more follow")


def list_certificates(
    context: Context, principal: Principal, wanted: CertificateFilter, page: Page
) -> list[CertificateRecord]:
    """One page of the certificates that the principal may see.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_CERTIFICATE)
    if principal.role is Role.REQUESTER:
        wanted = replace(wanted, principal_id=principal.id)
    with context.database.read() as connection:
        return inventory.list_certificates(
            connection,
            wanted,
            sort=page.sort,
            after=page.after,
            limit=page.limit,
            now=context.clock.now(),
        )


def find_certificate(context: Context, principal: Principal, certificate_id: str) -> CertificateRecord:
    """One certificate that the principal may see.

    Raises:
        CaError: not_found, `INVENTORY-UNKNOWN`; forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_CERTIFICATE)
    with context.database.read() as connection:
        found = inventory.find_certificate(connection, certificate_id)
    if found is None or not _may_see(principal, found.principal_id):
        raise _unknown("certificate")
    return found


def list_requests(
    context: Context, principal: Principal, *, status: str | None, after: str | None, limit: int
) -> list[RequestRecord]:
    """One page of the requests that the principal may see, newest first.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_REQUEST)
    owner = principal.id if principal.role is Role.REQUESTER else None
    with context.database.read() as connection:
        return inventory.list_requests(
            connection, principal_id=owner, status=status, after=after, limit=limit
        )


def find_request(context: Context, principal: Principal, request_id: str) -> RequestRecord:
    """One request that the principal may see.

    Raises:
        CaError: not_found, `INVENTORY-UNKNOWN`; forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_REQUEST)
    with context.database.read() as connection:
        found = inventory.find_request(connection, request_id)
    if found is None or not _may_see(principal, found.principal_id):
        raise _unknown("certificate request")
    return found


def list_authorities(context: Context, principal: Principal) -> list[StoredAuthority]:
    """Every authority, by id.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_AUTHORITY)
    with context.database.read() as connection:
        return authorities.list_authorities(connection)


def find_authority(context: Context, principal: Principal, authority_id: str) -> StoredAuthority:
    """One authority.

    Raises:
        CaError: not_found, `INVENTORY-UNKNOWN`; forbidden, `ACCESS-ROLE`; unavailable.
    """
    for each in list_authorities(context, principal):
        if each.id == authority_id:
            return each
    raise _unknown("authority")


def list_audit_events(
    context: Context, principal: Principal, wanted: EventFilter, *, before: int | None, limit: int
) -> list[StoredEvent]:
    """One page of the audit log, newest first.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_AUDIT_EVENT)
    with context.database.read() as connection:
        return list_events(connection, wanted, before=before, limit=limit)


def _may_see(principal: Principal, owner: str) -> bool:
    return principal.role is not Role.REQUESTER or principal.id == owner


def _unknown(what: str) -> CaError:
    return refuse(Kind.NOT_FOUND, "INVENTORY-UNKNOWN", f"there is no such {what}")
