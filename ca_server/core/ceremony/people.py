"""Whether a signed statement is what it says: of this person, by a key of theirs that may be used now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.roster import Mode, Person, Roster, RosterKey, parse_roster
from ca_server.core.ceremony.sshsig import SignatureFlags, SSHSignature, parse_sshsig, verify_sshsig
from ca_server.core.ceremony.statement import Gate, Statement, parse_statement
from ca_server.core.errors import CaError, Kind, refuse


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement whose signature holds; `key_sha256` is the hex SHA-256 of the key's OpenSSH blob."""

    statement: Statement
    person: str
    role: RoleName
    key_sha256: str
    flags: SignatureFlags


def check_signature(text: bytes, armoured: bytes, roster: Roster, mode: Mode, moment: datetime) -> Signed:
    """The statement and who signed it, once both agree with the roster and the mode.

    Whether its script, transcript, gate and role are those of the moment is for the caller to say, who knows
    them. `moment` is when it was signed: now in the room, the transcript's time for an outsider.

    Raises:
        CaError: `CEREMONY-STATEMENT`, `CEREMONY-MODE`, `CEREMONY-PERSON`, `CEREMONY-SIGNATURE`,
            `CEREMONY-PUBLIC-KEY`, `CEREMONY-KEY-USE`, `CEREMONY-KEY-EXPIRED`, `CEREMONY-NAMESPACE` or
            `CEREMONY-SK-FLAGS`.
    """
    statement = parse_statement(text)
    if statement.roster_sha256 != roster.sha256 or statement.gate is Gate.CANDIDATE:
        raise _forbid("CEREMONY-STATEMENT", "a statement is of another roster, or of somebody not in it yet")
    return _check(statement, text, armoured, (roster, roster.namespace(mode)), mode, moment)


def _check(
    statement: Statement,
    text: bytes,
    armoured: bytes,
    where: tuple[Roster, str],
    mode: Mode,
    moment: datetime,
) -> Signed:
    roster, namespace = where
    if statement.mode != mode:
        raise _forbid("CEREMONY-MODE", f"a statement of a {statement.mode} proves nothing in a {mode}")
    person = roster.person(statement.person)
    key = _key_of(person, parse_sshsig(armoured))
    flags = check_key_signature(text, armoured, key, namespace)
    if not key.fits(mode):
        raise _forbid("CEREMONY-KEY-USE", f"{person.id} signed with a key that is for rehearsals only")
    if key.is_expired(moment):
        raise _forbid("CEREMONY-KEY-EXPIRED", f"{person.id} signed with a key whose time is over")
    return Signed(statement, person.id, statement.role, key.public_key.sha256, flags)


def check_statement(
    text: bytes,
    armoured: bytes,
    rosters: tuple[Roster, Callable[[str], bytes]],
    mode: Mode,
    moment: datetime,
) -> Signed:
    """The same for every gate: a candidate's statement is held against the new roster, which is its subject.

    `rosters` are the one in force, and what reads another one by its path in the bundle. A candidate's
    statement proves possession of a key and nothing else.

    Raises:
        CaError: as `check_signature`; a candidate's, of the new roster's persons and keys.
    """
    old, read = rosters
    statement = parse_statement(text)
    if statement.gate is not Gate.CANDIDATE:
        return check_signature(text, armoured, old, mode, moment)
    new = parse_roster(read(statement.subject))
    if statement.roster_sha256 != old.sha256 or statement.subject_sha256 != new.sha256:
        raise _forbid("CEREMONY-STATEMENT", "a candidate's statement is of other rosters")
    return _check(statement, text, armoured, (new, old.namespace(mode)), mode, moment)


def check_key_signature(message: bytes, armoured: bytes, key: RosterKey, namespace: str) -> SignatureFlags:
    """Prove that this key signed a message, and that a FIDO token saw touch and PIN for it.

    Raises:
        CaError: `CEREMONY-SIGNATURE`, `CEREMONY-PUBLIC-KEY`, `CEREMONY-NAMESPACE` or `CEREMONY-SK-FLAGS`.
    """
    flags = verify_sshsig(armoured, message, namespace, key.public_key)
    if flags.is_sk and not (flags.touch and flags.pin):
        detail = "a FIDO token signed without touch or without PIN; make its key with -O verify-required"
        raise _forbid("CEREMONY-SK-FLAGS", detail)
    return flags


def _key_of(person: Person, signature: SSHSignature) -> RosterKey:
    for key in person.keys:
        if key.public_key.blob == signature.key.blob:
            return key
    raise _forbid("CEREMONY-SIGNATURE", f"a statement of {person.id} is signed by a key that is not theirs")


def _forbid(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.FORBIDDEN, rule_id, detail)
