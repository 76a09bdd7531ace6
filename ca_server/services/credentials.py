"""Makes, lists and ends what may log in: API tokens and grants to public keys.

Nobody grants more than they hold (R29), nothing is granted without an end, and a token's secret is shown
once and never stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ca_server.core.audit.record import Event
from ca_server.core.authorization import Principal, Role
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.name_patterns import parse_pattern
from ca_server.core.roles import Action
from ca_server.services.access import require_permission
from ca_server.services.context import Context, actor_of, new_id
from ca_server.store import access
from ca_server.store.access import Credential, CredentialType

# Every secret starts so, that scanners of code and logs find leaked ones.
SECRET_PREFIX = "sk_"  # noqa: S105 - a prefix, no secret
MAX_VALID = timedelta(days=400)
# Together: whatever is granted has to fit into the event that tells of it.
MAX_PATTERNS, MAX_PATTERN_CHARACTERS = 100, 5000

# Whoever may read the server's configuration file is its master; tokens are first made this way.
OPERATOR = Principal("process:cli", Role.ADMINISTRATOR, "process", ("*",), ("*",))

_PROFILE_PATTERN = re.compile(r"[a-z0-9*-]{1,64}", re.ASCII)
_SPKI_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[ -~]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new credential is to allow, and for how long."""

    name: str
    role: Role
    profiles: tuple[str, ...]
    names: tuple[str, ...]
    valid: timedelta


def create_token(context: Context, grantor: Principal, grant: Grant) -> tuple[Credential, str]:
    """A new API token and its secret, which is not kept: whoever loses it makes another token.

    Raises:
        CaError: forbidden, `ACCESS-ROLE` or `ACCESS-GRANTOR`; malformed, `ACCESS-NEW-...`.
    """
    require_permission(grantor, Action.CREATE_TOKEN)
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return _create(context, grantor, grant, CredentialType.TOKEN, digest), secret


def create_grant(context: Context, grantor: Principal, grant: Grant, spki_sha256: str) -> Credential:
    """A role for whoever holds the private key of this public key.

    Raises:
        CaError: as `create_token`; malformed, `ACCESS-NEW-KEY`; conflict, `ACCESS-TAKEN`.
    """
    require_permission(grantor, Action.CREATE_GRANT)
    if not _SPKI_SHA256.fullmatch(spki_sha256):
        raise refuse(
            Kind.MALFORMED,
            "ACCESS-NEW-KEY",
            "spki_sha256 is 64 lower-case hex digits",
            pointer="/spki_sha256",
        )
    return _create(context, grantor, grant, CredentialType.GRANT, spki_sha256)


def list_credentials(
    context: Context, reader: Principal, credential_type: CredentialType, *, after: str | None, limit: int
) -> list[Credential]:
    """One page, newest first, ended ones too.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`.
    """
    tokens = credential_type is CredentialType.TOKEN
    require_permission(reader, Action.READ_TOKEN if tokens else Action.READ_GRANT)
    with context.database.read() as connection:
        return access.list_credentials(connection, credential_type, after=after, limit=limit)


def revoke_credential(
    context: Context, principal: Principal, credential_type: CredentialType, credential_id: str
) -> None:
    """End a token or grant for ever, from the next request on.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`; not_found, `ACCESS-UNKNOWN`, also when it was ended before.
    """
    tokens = credential_type is CredentialType.TOKEN
    require_permission(principal, Action.REVOKE_TOKEN if tokens else Action.REVOKE_GRANT)
    with context.database.write() as unit:
        if not access.revoke_credential(unit.connection, credential_type, credential_id, context.clock.now()):
            raise refuse(Kind.NOT_FOUND, "ACCESS-UNKNOWN", f"there is no such {credential_type} in force")
        data = {str(credential_type): credential_id}
        unit.commit(context.event(f"{credential_type}.revoked", actor_of(principal), data))


def is_name(text: str) -> bool:
    """Whether a text can say whose something is."""
    return _NAME.fullmatch(text) is not None


def pattern_violations(profiles: Sequence[str], names: Sequence[str]) -> list[Violation]:
    """What is wrong with patterns of profiles and names, each at its place: `/profiles/N`, `/names/N`."""
    found = _violations(profiles, _require_profile_pattern, "/profiles")
    return found + _violations(names, parse_pattern, "/names")


def require_held(grantor: Principal, profiles: Sequence[str], names: Sequence[str]) -> None:
    """Pass only patterns that the grantor holds (R29).

    Word for word, or everything: whether one pattern lies within another is not guessed.

    Raises:
        CaError: forbidden, `ACCESS-GRANTOR` for each that they do not.
    """
    violations = [
        Violation("ACCESS-GRANTOR", "you do not hold this yourself", f"{pointer}/{index}")
        for pointer, held, wanted in (
            ("/profiles", grantor.profiles, profiles),
            ("/names", grantor.names, names),
        )
        if "*" not in held
        for index, pattern in enumerate(wanted)
        if pattern not in held
    ]
    if violations:
        detail = "nobody grants more than they hold"
        raise CaError(Kind.FORBIDDEN, detail, violations=tuple(violations))


def _create(
    context: Context, grantor: Principal, grant: Grant, credential_type: CredentialType, digest: str
) -> Credential:
    _require_well_formed(grant)
    require_held(grantor, grant.profiles, grant.names)
    now = context.clock.now()
    credential = Credential(
        id=new_id(now),
        digest=digest,
        name=grant.name,
        role=grant.role,
        profiles=grant.profiles,
        names=grant.names,
        created_at=now,
        not_after=now + grant.valid,
    )
    event = _created_event(context, grantor, credential, credential_type)
    with context.database.write() as unit:
        access.insert_credential(unit.connection, credential_type, credential, event.event_id)
        unit.commit(event)
    return credential


def _created_event(
    context: Context, grantor: Principal, credential: Credential, credential_type: CredentialType
) -> Event:
    data = {
        str(credential_type): credential.id,
        "role": credential.role.value,
        "name": credential.name,
        "profiles": list(credential.profiles),
        "names": list(credential.names),
    }
    if credential_type is CredentialType.GRANT:
        data["spki_sha256"] = credential.digest
    return context.event(f"{credential_type}.created", actor_of(grantor), data)


def _require_well_formed(grant: Grant) -> None:
    violations = []
    if not is_name(grant.name):
        violations.append(
            Violation("ACCESS-NEW-NAME", "a name is 1 to 128 printable ASCII characters", "/name")
        )
    if not timedelta(0) < grant.valid <= MAX_VALID:
        violations.append(
            Violation("ACCESS-NEW-VALIDITY", f"a credential ends within {MAX_VALID.days} days", "/valid_days")
        )
    violations += pattern_violations(grant.profiles, grant.names)
    if violations:
        detail = "this credential cannot be made"
        raise CaError(Kind.MALFORMED, detail, violations=tuple(violations))


def _violations(patterns: Sequence[str], require: Callable[[str], object], pointer: str) -> list[Violation]:
    if len(patterns) > MAX_PATTERNS or sum(map(len, patterns)) > MAX_PATTERN_CHARACTERS:
        limit = f"at most {MAX_PATTERNS} patterns of {MAX_PATTERN_CHARACTERS} characters together"
        return [Violation("ACCESS-NEW-PATTERNS", limit, pointer)]
    violations: list[Violation] = []
    for index, pattern in enumerate(patterns):
        try:
            require(pattern)
        except CaError as error:
            violations += (replace(each, pointer=f"{pointer}/{index}") for each in error.violations)
    return violations


def _require_profile_pattern(pattern: str) -> None:
    if not _PROFILE_PATTERN.fullmatch(pattern):
        raise refuse(
            Kind.MALFORMED, "ACCESS-NEW-PROFILE", "a profile pattern has only a-z, 0-9, - and * for any part"
        )
