"""The close: one statement lists all that was made, everyone present signs it, and the bundle is packed."""

from __future__ import annotations

import hashlib

from ca_server.core.archive import pack
from ca_server.core.bundle import CLOSING, KEYS, MANIFEST, encode_manifest
from ca_server.core.ceremony.closing import Closing, Present, is_listed, make_closing, parse_closing
from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import Event, Outcome
from ca_server.core.errors import Kind, refuse
from ceremony.attendance import attendance
from ceremony.folder import place
from ceremony.gates import Subject, hold_gate
from ceremony.manifest import make_manifest
from ceremony.room import Room
from ceremony.state import begun
from ceremony.steps.verb import Effect

RECORDING = "recording.txt"


def close_ceremony(room: Room, outcome: Outcome) -> None:
    """Close with this outcome; a close that was interrupted is gone on with, its statement as it was.

    Raises:
        CaError: somebody did not sign; `CEREMONY-OUTPUT`, a required output is missing;
            `CEREMONY-FILE-CHANGED`, the statement is not true any more.
    """
    step = room.script.steps[-1]
    if not is_closing(room):
        if outcome in {Outcome.COMPLETED, Outcome.COMPLETED_WITH_DEVIATIONS}:
            _require_outputs(room)
        room.folder.write(MANIFEST, encode_manifest(make_manifest(room)))
        room.folder.write(KEYS, room.key_list())
        room.folder.write(RECORDING, room.display.recording().encode())
        data = {"effect": Effect.IDEMPOTENT, "attempt": 1 + len(begun(room.lines, step.id))}
        room.journal.add(Event.BEGIN, {**data, **room.announced({"outcome": outcome})}, step=step.id)
        room.folder.remove(CLOSING)
    if room.folder.has(CLOSING):
        _require_same_files(room)
    else:
        room.folder.write(CLOSING, make_closing(_closing(room, outcome)))
    digest = hashlib.sha256(room.folder.read(CLOSING)).hexdigest()
    room.display.say(room.folder.read(CLOSING).decode())
    room.display.show_digest(CLOSING, digest)
    present = dict.fromkeys(role for _, role in attendance(room.lines))
    # Where nobody had come yet, nothing was done, and the witness alone says so.
    roles = tuple(present) or (RoleName.INTERNAL_WITNESS,)
    hold_gate(room, step.id, Gate.CLOSE, roles, Subject(CLOSING, digest))
    room.journal.add(Event.END, {"outcome": outcome}, step=step.id)


def pack_bundle(room: Room) -> str:
    """Pack the folder of a ceremony that has ended; the same bytes whenever it is done. Its SHA-256."""
    data = pack(room.folder.everything())
    place(room.folder.bundle, data, mode=0o444)
    return hashlib.sha256(data).hexdigest()


def is_closing(room: Room) -> bool:
    """True once the close has begun, and nothing but signatures came after."""
    step = room.script.steps[-1].id
    for line in reversed(room.lines):
        if line.event is Event.BEGIN and line.step == step:
            return True
        if line.event is not Event.GATE or line.data["gate"] != Gate.CLOSE:
            return False
    return False


def _closing(room: Room, outcome: Outcome) -> Closing:
    return Closing(
        ceremony=room.script.id,
        kind=room.script.kind,
        mode=room.mode,
        outcome=outcome,
        script_sha256=room.script_sha256,
        roster_sha256=room.roster_sha256,
        head_sequence=room.journal.head.seq,
        head_sha256=room.journal.head.digest,
        time=room.clock.now(),
        deviations=room.deviations,
        present=tuple(
            Present(role, person, room.roster.person(person).name) for person, role in attendance(room.lines)
        ),
        files=_listed(room),
    )


def _listed(room: Room) -> dict[str, str]:
    everything = room.folder.everything()
    return {name: hashlib.sha256(data).hexdigest() for name, data in everything.items() if is_listed(name)}


def _require_same_files(room: Room) -> None:
    """A statement that some have signed already is signed by the others only as long as it is true."""
    if parse_closing(room.folder.read(CLOSING)).files != _listed(room):
        detail = f"files were changed since {CLOSING} was written"
        raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", detail)


def _require_outputs(room: Room) -> None:
    missing = [each.path for each in room.script.outputs if each.required and not room.folder.has(each.path)]
    if missing:
        detail = f"the script promises {', '.join(missing)}, and nothing has made it"
        raise refuse(Kind.CONFLICT, "CEREMONY-OUTPUT", detail)
