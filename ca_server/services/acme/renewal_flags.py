"""Officers say what is to be renewed now although it is good: one certificate, an authority's, a profile's.

Clients that ask for renewal information are told so, with a page that says why (RFC 9773 §4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from ca_server.core.authorization import Principal
from ca_server.core.clock import to_epoch
from ca_server.core.errors import Kind, refuse
from ca_server.core.roles import Action
from ca_server.policy_store import PolicyStore
from ca_server.services.access import require_permission
from ca_server.services.context import Context, actor_of, new_id
from ca_server.store import authorities, inventory, renewal_flags
from ca_server.store.renewal_flags import FlagScope, RenewalFlag
from ca_server.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewFlag:
    """What is to be renewed, and a URL of a page that says why."""

    scope: FlagScope
    subject: str
    explanation_url: str | None = None


def create_flag(context: Context, principal: Principal, policies: PolicyStore, new: NewFlag) -> RenewalFlag:
    """Have everything that the flag names, and that was issued until now, be renewed as soon as clients ask.

    Raises:
        CaError: not_found, `ACME-FLAG-SUBJECT`, there is no such certificate, authority or profile;
            forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.CREATE_RENEWAL_FLAG)
    now = context.clock.now()
    flag_id = new_id(now)
    data = {"flag": flag_id, "scope": new.scope.value, "subject": new.subject}
    if new.explanation_url is not None:
        data["explanation_url"] = new.explanation_url
    event = context.event("renewal.flagged", actor_of(principal), data)
    flag = RenewalFlag(
        id=flag_id,
        scope=new.scope.value,
        subject=new.subject,
        explanation_url=new.explanation_url,
        created_at=to_epoch(now),
        ended_at=None,
        event_id=event.event_id,
    )
    with context.database.write() as unit:
        if not _exists(unit, policies, new):
            raise refuse(
                Kind.NOT_FOUND, "ACME-FLAG-SUBJECT", f"there is no such {new.scope}", pointer="/subject"
            )
        renewal_flags.insert_flag(unit, flag)
        unit.commit(event)
    return flag


def list_flags(context: Context, principal: Principal, *, after: str | None, limit: int) -> list[RenewalFlag]:
    """One page of flags, newest first, ended ones too.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.READ_RENEWAL_FLAG)
    with context.database.read() as connection:
        return renewal_flags.list_flags(connection, after=after, limit=limit)


def end_flag(context: Context, principal: Principal, flag_id: str) -> None:
    """Take a flag back: what it named is renewed in its own time again.

    Raises:
        CaError: not_found, `ACME-FLAG-UNKNOWN`; forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(principal, Action.END_RENEWAL_FLAG)
    with context.database.write() as unit:
        if not renewal_flags.end_flag(unit, flag_id, to_epoch(context.clock.now())):
            raise refuse(Kind.NOT_FOUND, "ACME-FLAG-UNKNOWN", "there is no such flag in force")
        unit.commit(context.event("renewal.unflagged", actor_of(principal), {"flag": flag_id}))


def _exists(unit: UnitOfWork, policies: PolicyStore, new: NewFlag) -> bool:
    connection = unit.connection
    match new.scope:
        case FlagScope.CERTIFICATE:
            return inventory.find_certificate(connection, new.subject) is not None
        case FlagScope.AUTHORITY:
            return authorities.find_authority(connection, new.subject) is not None
        case FlagScope.PROFILE:
            # One that was taken out of the policies may have left certificates behind.
            return new.subject in policies.names or inventory.has_profile(connection, new.subject)
