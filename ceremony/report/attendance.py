"""Who was there: each person with roles, keys, and every statement that they signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ca_server.core.ceremony.transcript import Event, Line
from ca_server.core.strict_json import parse_json


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature at a gate: what was signed, with which key, and what a FIDO token said of its holder."""

    seq: int
    utc: datetime
    gate: str
    step: str
    role: str
    statement: str
    statement_sha256: str
    subject: str
    subject_sha256: str
    key_sha256: str
    flags: str


@dataclass(frozen=True, slots=True)
class KeyOfPerson:
    """A public key of the roster."""

    public_key: str
    kept_in: str
    use: str
    valid_until: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the roster who took part."""

    id: str
    name: str
    roles: tuple[str, ...]
    keys: tuple[KeyOfPerson, ...]
    signed: tuple[Signed, ...]


def people_of(lines: Sequence[Line], files: Mapping[str, bytes]) -> tuple[Person, ...]:
    """Everyone of the roster who signed anything, in the roster's order."""
    signed: dict[str, list[Signed]] = {}
    for line in lines:
        if line.event is Event.GATE:
            signed.setdefault(str(line.data["person"]), []).append(_signed(line, files))
    roster = parse_json(files["roster.json"])
    return tuple(
        Person(
            id=each["id"],
            name=each["name"],
            roles=tuple(sorted({one.role for one in signed[each["id"]]})),
            keys=tuple(
                KeyOfPerson(key["public_key"], key["kept_in"], key["use"], key["valid_until"])
                for key in each["keys"]
            ),
            signed=tuple(signed[each["id"]]),
        )
        for each in roster["persons"]
        if each["id"] in signed
    )


def _signed(line: Line, files: Mapping[str, bytes]) -> Signed:
    fields = _fields(files[str(line.data["statement"])])
    return Signed(
        seq=line.seq,
        utc=line.utc,
        gate=str(line.data["gate"]),
        step=line.step,
        role=str(line.data["role"]),
        statement=str(line.data["statement"]),
        statement_sha256=str(line.data["statement_sha256"]),
        subject=fields.get("subject", "-"),
        subject_sha256=fields.get("subject-sha256", "-"),
        key_sha256=str(line.data["key_sha256"]),
        flags="",
    )


def _fields(statement: bytes) -> dict[str, str]:
    """The `key: value` lines of a statement that was verified before."""
    pairs = (line.partition(": ") for line in statement.decode().splitlines())
    return {name: value for name, colon, value in pairs if colon}
