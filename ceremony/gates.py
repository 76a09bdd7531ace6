"""Gates: the people read a statement, sign it with their own keys, and only then does the ceremony go on."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ca_server.core.ceremony.demands import RoleName, check_persons
from ca_server.core.ceremony.people import Signed, check_signature
from ca_server.core.ceremony.statement import NO_SUBJECT, Gate, Statement, parse_statement
from ca_server.core.ceremony.transcript import Event
from ca_server.core.errors import Kind, refuse
from ceremony.attendance import ever_present
from ceremony.folder import read_file
from ceremony.people import Deviated
from ceremony.room import Room

MAX_SIGNATURE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """What a gate is about: a file of the bundle, by path and digest."""

    path: str = NO_SUBJECT
    sha256: str = NO_SUBJECT


@dataclass(frozen=True, slots=True)
class Occasion:
    """Which gate of which step, and what it is about."""

    step: str
    gate: Gate
    subject: Subject


def hold_gate(room: Room, step: str, gate: Gate, roles: Sequence[RoleName], subject: Subject) -> None:
    """Collect the signatures of a gate: as many persons of each role as the script demands.

    Whoever is present closes, even where a ceremony is aborted because the others never came.

    Signatures that the transcript has of this very gate count; a gate can so be gone on with.

    Raises:
        CaError: a signature or a person is not as script and roster demand; `CEREMONY-QUORUM`, persons lack.
        Paused, Aborted: the people said so.
    """
    occasion = Occasion(step, gate, subject)
    signed = list(_signed(room, occasion))
    for role in roles:
        wanted = room.wanted(role, gate)
        while len(done := [person for person, as_role in signed if as_role == role]) < wanted:
            candidates = [each for each in room.candidates(role, gate) if each not in done]
            if not candidates:
                detail = f"{step}: {len(done)} of {wanted} persons signed as {role}, and nobody else can"
                raise refuse(Kind.FORBIDDEN, "CEREMONY-QUORUM", detail)
            person = _sign(room, occasion, role, candidates, done)
            signed.append((person, role))
            room.display.gate(gate, role, [*done, person], wanted)


def _signed(room: Room, occasion: Occasion) -> Iterator[tuple[str, RoleName]]:
    """Since the last beginning: an earlier try was about something else."""
    begun = max((each.seq for each in room.lines if each.event in {Event.BEGIN, Event.RESUME}), default=0)
    for line in room.lines[begun:]:
        if line.event is Event.GATE and (line.step, line.data["gate"]) == (occasion.step, occasion.gate):
            statement = parse_statement(room.read(line.data["statement"]))
            if statement.subject_sha256 == occasion.subject.sha256:
                yield line.data["person"], RoleName(line.data["role"])


def _sign(
    room: Room, occasion: Occasion, role: RoleName, candidates: Sequence[str], done: Sequence[str]
) -> str:
    def check(text: bytes, signature: bytes) -> Signed:
        facts = check_signature(text, signature, room.roster, room.mode, room.clock.now())
        check_persons([*ever_present(room.lines), (facts.person, role)], room.script.roles, room.roster)
        return facts

    while True:
        try:
            person = room.people.choose(role, candidates, done)
            take_signature(room, occasion, (person, role), check)
        except Deviated as deviation:
            room.deviate(occasion.step, deviation)
            continue
        return person


def take_signature(
    room: Room, occasion: Occasion, signer: tuple[str, RoleName], check: Callable[[bytes, bytes], Signed]
) -> None:
    """Have a person sign as what they are here, and write it down once `check` takes text and signature.

    Raises:
        CaError: the statement was changed meanwhile, or what `check` raises.
        Paused, Aborted, Deviated: the person said so.
    """
    person, role = signer
    statement = _statement(room, occasion, role, person)
    path = room.folder.path(statement.path())
    text = statement.text()
    room.folder.write(statement.path(), text)
    room.people.sign(person, path, room.roster.namespace(room.mode))
    signature = read_file(path.with_name(path.name + ".sig"), MAX_SIGNATURE_BYTES)
    if room.folder.read(statement.path()) != text:
        raise refuse(
            Kind.CONFLICT, "CEREMONY-FILE-CHANGED", f"{statement.path()} was changed while it was signed"
        )
    facts = check(text, signature)
    name = statement.path() + ".sig"
    data = {
        "gate": occasion.gate,
        "person": person,
        "role": role,
        "statement": statement.path(),
        "statement_sha256": hashlib.sha256(text).hexdigest(),
        "signature": name,
        "signature_sha256": room.folder.write(name, signature),
        "key_sha256": facts.key_sha256,
    }
    room.journal.add(Event.GATE, data, step=occasion.step, actor=person)


def _statement(room: Room, occasion: Occasion, role: RoleName, person: str) -> Statement:
    head = room.journal.head
    statement = Statement(
        ceremony=room.script.id,
        kind=room.script.kind,
        mode=room.mode,
        gate=occasion.gate,
        step=occasion.step,
        script_sha256=room.script_sha256,
        roster_sha256=room.roster_sha256,
        subject=occasion.subject.path,
        subject_sha256=occasion.subject.sha256,
        transcript_sequence=head.seq,
        transcript_sha256=head.digest,
        person=person,
        role=role,
        nonce=secrets.token_hex(16),
        time=room.clock.now(),
    )
    parse_statement(statement.text())
    return statement
