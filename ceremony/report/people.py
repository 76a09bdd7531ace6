"""Who was there: each person with roles, keys, and every statement that they signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ca_server.core.ceremony.people import check_statement
from ca_server.core.ceremony.roster import Mode, Roster, RosterKey
from ca_server.core.ceremony.sshsig import SignatureFlags
from ca_server.core.ceremony.statement import Statement
from ca_server.core.ceremony.transcript import Event, Line


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature at a gate: what was signed, where that lies, with which key, what a FIDO token said."""

    seq: int
    utc: datetime
    path: str
    statement: Statement
    key_sha256: str
    flags: SignatureFlags


@dataclass(frozen=True, slots=True)
class Attendant:
    """Somebody of the roster who took part; `keys` are all that the roster has of them."""

    id: str
    name: str
    roles: tuple[str, ...]
    keys: tuple[RosterKey, ...]
    signatures: tuple[Signature, ...]


def attendants(
    lines: Sequence[Line], files: Mapping[str, bytes], roster: Roster, mode: Mode
) -> tuple[Attendant, ...]:
    """Everyone of the roster who signed anything, in the roster's order.

    Raises:
        CaError: a signature does not hold, which verification would have found.
    """
    signatures: dict[str, list[Signature]] = {}
    for line in lines:
        if line.event is Event.GATE:
            path = str(line.data["statement"])
            rosters = roster, lambda name: files[name]
            signed = check_statement(files[path], files[str(line.data["signature"])], rosters, mode, line.utc)
            signature = Signature(line.seq, line.utc, path, signed.statement, signed.key_sha256, signed.flags)
            signatures.setdefault(signed.person, []).append(signature)
    return tuple(
        Attendant(
            id=person.id,
            name=person.name,
            roles=tuple(sorted({each.statement.role for each in signatures[person.id]})),
            keys=person.keys,
            signatures=tuple(signatures[person.id]),
        )
        for person in roster.persons.values()
        if person.id in signatures
    )
