"""Enrolment secrets: made by officers, each for one profile and some names, and used so many times.

A secret is shown once and its digest kept. It is 256 random bits, so a plain hash hides it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from ca_server.core.authorization import Principal
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.est.resources import PROTOCOL, EnrolmentSecret
from ca_server.core.roles import Action
from ca_server.policy_store import PolicyStore
from ca_server.services.access import require_permission
from ca_server.services.context import Context, actor_of, new_id
from ca_server.services.credentials import (
    MAX_VALID,
    SECRET_PREFIX,
    is_name,
    pattern_violations,
    require_held,
)
from ca_server.store import enrolment_secrets

MAX_USES = 1_000_000
MAX_ID_LENGTH, MAX_SECRET_LENGTH = 36, 128


@dataclass(frozen=True, slots=True)
class NewEnrolmentSecret:
    """What a new secret is to allow: certificates of one profile for names like these, so many of them."""

    owner: str
    profile: str
    names: tuple[str, ...]
    valid: timedelta
    max_uses: int = 1


def create_enrolment_secret(
    context: Context, policies: PolicyStore, grantor: Principal, new: NewEnrolmentSecret
) -> tuple[EnrolmentSecret, str]:
    """A new secret and its text, which is not kept: whoever loses it is given another secret.

    Raises:
        CaError: forbidden, `ACCESS-ROLE` or `ACCESS-GRANTOR`; not_found, `PROFILE-UNKNOWN`; malformed,
            `ACCESS-NEW-...` or `EST-SECRET-NEW`.
    """
    require_permission(grantor, Action.CREATE_ENROLMENT_SECRET)
    _require_well_formed(policies, new)
    # A profile's name is no pattern, so that it can lie within one.
    holds = any(fnmatchcase(new.profile, each) for each in grantor.profiles)
    require_held(grantor, () if holds else (new.profile,), new.names)
    now = context.clock.now()
    text = SECRET_PREFIX + secrets.token_urlsafe(32)
    secret = EnrolmentSecret(
        id=new_id(now),
        digest=_digest(text),
        owner=new.owner,
        profile=new.profile,
        names=new.names,
        max_uses=new.max_uses,
        uses=0,
        created_at=to_epoch(now),
        not_after=to_epoch(now + new.valid),
    )
    data = {
        "secret": secret.id,
        "owner": secret.owner,
        "profile": secret.profile,
        "names": list(secret.names),
        "max_uses": secret.max_uses,
        "not_after": secret.not_after,
    }
    event = context.event("secret.created", actor_of(grantor), data)
    with context.database.write() as unit:
        enrolment_secrets.insert_secret(unit, secret, event.event_id)
        unit.commit(event)
    return secret, text


def list_enrolment_secrets(
    context: Context, reader: Principal, *, before: str | None, limit: int
) -> list[EnrolmentSecret]:
    """One page, newest first, ended ones too.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; unavailable.
    """
    require_permission(reader, Action.READ_ENROLMENT_SECRET)
    with context.database.read() as connection:
        return enrolment_secrets.list_secrets(connection, before=before, limit=limit)


def revoke_enrolment_secret(context: Context, principal: Principal, secret_id: str) -> None:
    """End a secret for ever; what was issued with it stays.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; not_found, `EST-SECRET-UNKNOWN`, also when it was revoked before.
    """
    require_permission(principal, Action.REVOKE_ENROLMENT_SECRET)
    with context.database.write() as unit:
        if not enrolment_secrets.revoke_secret(unit, secret_id, to_epoch(context.clock.now())):
            raise refuse(
                Kind.NOT_FOUND,
                "EST-SECRET-UNKNOWN",
                "there is no such enrolment secret that is not revoked",
            )
        unit.commit(context.event("secret.revoked", actor_of(principal), {"secret": secret_id}))


def verify_secret(context: Context, secret_id: str, text: str) -> EnrolmentSecret:
    """The secret that somebody has proven to know; one that is used up is known as well.

    Whether there is no such secret, or it was revoked or has ended, cannot be told from a wrong one, by the
    answer or by the work that goes into it.

    Raises:
        CaError: unauthenticated, `EST-SECRET`; unavailable.
    """
    found = None
    if len(secret_id) <= MAX_ID_LENGTH and secret_id.isascii() and secret_id.isprintable():
        with context.database.read() as connection:
            found = enrolment_secrets.find_secret(connection, secret_id)
    given = _digest(text[: MAX_SECRET_LENGTH + 1])
    is_known = hmac.compare_digest(found.digest if found else _digest(""), given)
    is_live = found is not None and found.is_live(to_epoch(context.clock.now()))
    if found is None or not (is_known and is_live):
        raise refuse(
            Kind.UNAUTHENTICATED,
            "EST-SECRET",
            "user name and password are not those of an enrolment secret in force",
        )
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _require_well_formed(policies: PolicyStore, new: NewEnrolmentSecret) -> None:
    profile = policies.profile(new.profile)
    violations = []
    if PROTOCOL not in profile.requesters.protocols or profile.est.authentication == "certificate":
        violations.append(
            Violation(
                "EST-SECRET-NEW", f"the profile {new.profile} is not given to secrets over EST", "/profile"
            )
        )
    if not is_name(new.owner):
        violations.append(
            Violation("ACCESS-NEW-NAME", "an owner is 1 to 128 printable ASCII characters", "/owner")
        )
    if not timedelta(0) < new.valid <= MAX_VALID:
        violations.append(
            Violation("ACCESS-NEW-VALIDITY", f"a secret ends within {MAX_VALID.days} days", "/valid_days")
        )
    if not 1 <= new.max_uses <= MAX_USES:
        violations.append(Violation("EST-SECRET-NEW", f"a secret is used 1 to {MAX_USES} times", "/max_uses"))
    if not new.names:
        violations.append(Violation("EST-SECRET-NEW", "without a pattern it would allow nothing", "/names"))
    violations += pattern_violations((), new.names)
    if violations:
        detail = "this enrolment secret cannot be made"
        raise CaError(Kind.MALFORMED, detail, violations=tuple(violations))
