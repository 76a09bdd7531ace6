"""The close: one statement lists all that was made, everyone present signs it, and the bundle is packed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ca_server.core.archive import pack
from ca_server.core.bundle import CLOSING, KEYS, MANIFEST, encode_manifest
from ca_server.core.ceremony.closing import Closing, Present, is_listed, make_closing, parse_closing
from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.grammar import COMPLETED
from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import Event, Outcome, make_line
from ca_server.core.ceremony.verify import verify_bundle
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.attendance import attendance
from ceremony.failure import Failure, Stopped
from ceremony.folder import TRANSCRIPT, place
from ceremony.gates import Subject, hold_gate
from ceremony.journal import ENGINE
from ceremony.manifest import make_manifest
from ceremony.room import Room
from ceremony.state import begun, digests
from ceremony.steps.verb import Effect

RECORDING = "recording.txt"


def close_ceremony(room: Room, outcome: Outcome) -> None:
    """Close with this outcome; a close that was interrupted is gone on with, its statement as it was.

    Raises:
        CaError: somebody did not sign; `CEREMONY-OUTPUT`, a required output is missing;
            `CEREMONY-FILE-CHANGED`, the statement is not true any more.
        Stopped: F3, with the rule for which whoever verifies the bundle would refuse it.
    """
    step = room.script.steps[-1]
    _remove_unsigned(room)
    if not is_closing(room):
        if outcome in COMPLETED:
            _require_outputs(room)
        for name, data in _made_now(room).items():
            room.folder.write(name, data)
        room.folder.write(RECORDING, room.display.recording().encode())
        _begin(room, step.id, outcome)
        room.folder.remove(CLOSING)
    _require_same_files(room, outcome)
    if not room.folder.has(CLOSING):
        room.folder.write(CLOSING, make_closing(_closing(room, outcome)))
    digest = hashlib.sha256(room.folder.read(CLOSING)).hexdigest()
    room.display.say(room.folder.read(CLOSING).decode())
    room.display.show_digest(CLOSING, digest)
    present = dict.fromkeys(role for _, role in attendance(room.lines))
    # Where nobody had come yet, nothing was done, and the witness alone says so.
    roles = tuple(present) or (RoleName.INTERNAL_WITNESS,)
    hold_gate(room, step.id, Gate.CLOSE, roles, Subject(CLOSING, digest))
    if outcome in COMPLETED:
        _require_verified(room, outcome)
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


def _begin(room: Room, step: str, outcome: Outcome) -> None:
    """The line also has the digest of what no step has made, so that it is compared from here on."""
    files = {
        name: hashlib.sha256(room.folder.read(name)).hexdigest() for name in (*_made_now(room), RECORDING)
    }
    data = {"effect": Effect.IDEMPOTENT, "attempt": 1 + len(begun(room.lines, step))}
    intent = {"outcome": outcome, "files": files}
    room.journal.add(Event.BEGIN, {**data, **room.announced(intent)}, step=step)


def _made_now(room: Room) -> dict[str, bytes]:
    """What is read off the script and the transcript alone, whoever has written to the folder meanwhile."""
    return {MANIFEST: encode_manifest(make_manifest(room)), KEYS: room.key_list()}


def _remove_unsigned(room: Room) -> None:
    """A statement that a process ended over was signed by nobody: no list and no line has it."""
    known = digests(room.lines)
    for name in list(room.folder.names()):
        if name.startswith("gates/") and name not in known:
            room.folder.remove(name)


def _closing(room: Room, outcome: Outcome) -> Closing:
    head = begun(room.lines, room.script.steps[-1].id)[-1]
    return Closing(
        ceremony=room.script.id,
        kind=room.script.kind,
        mode=room.mode,
        outcome=outcome,
        script_sha256=room.script_sha256,
        roster_sha256=room.roster_sha256,
        head_sequence=head.seq,
        head_sha256=head.digest,
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


def _require_same_files(room: Room, outcome: Outcome) -> None:
    """A statement that some have signed already is signed by the others only as long as it is true."""
    begin = begun(room.lines, room.script.steps[-1].id)[-1].data
    recorded = begin.get("intent", {}).get("files", {})
    now = _made_now(room) | {RECORDING: room.folder.read(RECORDING)}
    same = {name: hashlib.sha256(data).hexdigest() for name, data in now.items()} == recorded
    if room.folder.has(CLOSING):
        there = parse_closing(room.folder.read(CLOSING))
        same &= make_closing(replace(_closing(room, outcome), time=there.time)) == make_closing(there)
    if not same or any(_listed(room)[name] != digest for name, digest in recorded.items()):
        detail = "what is to be signed was changed since the close began"
        raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", detail)


def _require_verified(room: Room, outcome: Outcome) -> None:
    """Nothing is said to be completed whose bundle a receiver would refuse: the end can still be another."""
    head = room.journal.head
    end = make_line(
        seq=head.seq + 1,
        prev=head.digest,
        utc=head.utc,
        mono_ms=head.mono_ms,
        step=room.script.steps[-1].id,
        event=Event.END,
        actor=ENGINE,
        data={"outcome": outcome},
    )
    files = room.folder.everything()
    try:
        verify_bundle(pack(files | {TRANSCRIPT: files[TRANSCRIPT] + end}))
    except CaError as error:
        raise Stopped(Failure.INTEGRITY, error) from error


def _require_outputs(room: Room) -> None:
    missing = [each.path for each in room.script.outputs if each.required and not room.folder.has(each.path)]
    if missing:
        detail = f"the script promises {', '.join(missing)}, and nothing has made it"
        raise refuse(Kind.CONFLICT, "CEREMONY-OUTPUT", detail)
