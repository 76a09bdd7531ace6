"""One ceremony in this process: the room is made of what lies in its folder, and left in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.ceremony.people import check_statement
from ca_server.core.ceremony.roster import Roster
from ca_server.core.ceremony.transcript import Outcome
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import Kind, refuse
from ca_server.hsm.ceremony_token import open_for_ceremony
from ceremony.clock import RoomClock, SystemClock
from ceremony.close import pack_bundle
from ceremony.display import Display
from ceremony.dry_run import try_in_memory
from ceremony.engine import abort_ceremony, run_ceremony
from ceremony.folder import TRANSCRIPT, Folder, place, read_file
from ceremony.host import Host, check_host, parse_host
from ceremony.journal import Journal
from ceremony.keyboard import Keyboard
from ceremony.opening import SCRIPT, check_papers, open_transcript, read_inputs
from ceremony.people import People
from ceremony.plan import Plan, make_plan
from ceremony.practice import PracticeOfficers
from ceremony.prompts import AtTerminal
from ceremony.rehearsal import enter
from ceremony.rehearsed import check_rehearsed
from ceremony.room import Room
from ceremony.share_prompts import SharePrompts
from ceremony.signing_prompts import SigningPrompts
from ceremony.validity_rules import check_validities

HOST = "host.toml"
RECORDING = "recording.log"


@dataclass(frozen=True, slots=True)
class Held:
    """A ceremony that has ended: where its bundle is, and how it ended."""

    bundle: Path
    outcome: Outcome


def begin(plan: Plan, host: Host, *, host_file: bytes | None = None, by_hand: bool = False) -> Held:
    """Hold a ceremony from its opening to its close; `host_file` is kept in its folder for going on.

    Raises:
        CaError: it was refused before it began, or stopped; the words say how to go on.
        Paused: the people want to go on later.
    """
    check_before(plan, host)
    if host_file is not None:
        place(host.output_directory / HOST, host_file)
    with _room(plan, host, by_hand=by_hand) as room:
        return _finish(room, run_ceremony)


def check_before(plan: Plan, host: Host | None) -> None:
    """What can be told of a ceremony before it begins: no output of it is there, and none of it fails.

    Raises:
        CaError: conflict, `CEREMONY-OUTPUT-EXISTS`; validities do not fit, or a step would fail.
    """
    if host is not None:
        folder = Folder(host.output_directory)
        if folder.has(TRANSCRIPT) or folder.bundle.exists():
            detail = f"a ceremony was held in {folder.root}; resume it, or use another folder"
            raise refuse(Kind.CONFLICT, "CEREMONY-OUTPUT-EXISTS", detail)
        if host.api_server_key is not None and host.api_server_key.exists():
            detail = f"{host.api_server_key} is there already, and is not overwritten"
            raise refuse(Kind.CONFLICT, "CEREMONY-OUTPUT-EXISTS", detail)
    check_validities(plan.script, SystemClock().now())
    try_in_memory(plan, host.mode if host else "rehearsal", SystemClock())


def go_on(directory: Path, *, by_hand: bool = False) -> Held:
    """Go on with a ceremony where its transcript ends; one that has ended is packed again.

    Raises:
        CaError: there is none, what lies in its folder was changed, or it stopped again.
        Paused: the people want to go on later.
    """
    with _room(*_papers(directory), by_hand=by_hand) as room:
        return _finish(room, run_ceremony)


def end(directory: Path, reason: str, *, by_hand: bool = False) -> Held:
    """End a ceremony where it is, with a signed close.

    Raises:
        CaError: it has ended already, or could not be closed.
    """
    with _room(*_papers(directory), by_hand=by_hand) as room:
        return _finish(room, lambda each: abort_ceremony(each, reason))


def _papers(directory: Path) -> tuple[Plan, Host]:
    folder = Folder(directory.absolute())
    if not folder.has(TRANSCRIPT):
        raise refuse(Kind.NOT_FOUND, "CEREMONY-DIRECTORY", f"no ceremony was begun in {directory}")
    plan = make_plan(folder.read(SCRIPT))
    host = parse_host(read_file(folder.root / HOST, MAX_DOCUMENT_BYTES))
    check_host(plan.script, host)
    return plan, host


@contextmanager
def _room(plan: Plan, host: Host, *, by_hand: bool) -> Iterator[Room]:
    enter(host)
    roster_data = read_file(host.roster, MAX_ARCHIVE_BYTES)
    roster = check_papers(plan, host, roster_data)
    folder, clock, display = Folder(host.output_directory), SystemClock(), Display()
    inputs = read_inputs(plan, host)
    rehearsal = check_rehearsed(plan, host, clock.now())
    with Journal(folder.path(TRANSCRIPT), clock) as journal:
        room = Room(
            source=plan.source,
            script=plan.script,
            roster=roster,
            host=host,
            folder=folder,
            journal=journal,
            people=_people(host, roster, folder, display, clock, by_hand=by_hand),
            display=display,
            clock=clock,
            open_token=open_for_ceremony,
        )
        try:
            display.show_plan(plan, host.mode)
            open_transcript(room, roster_data, inputs, rehearsal)
            display.keep_in(folder.root / RECORDING)
            yield room
        finally:
            room.close()


def _people(
    host: Host, roster: Roster, folder: Folder, display: Display, clock: RoomClock, *, by_hand: bool
) -> People:
    practice = host.practice if host.mode == "rehearsal" else None
    is_theirs = practice is not None and host.roster.parent == practice
    if practice is not None and is_theirs and not by_hand:
        return PracticeOfficers(practice)

    def check(person: str, text: bytes, signature: bytes) -> None:
        signed = check_statement(text, signature, (roster, folder.read), host.mode, clock.now())
        if signed.person != person:
            raise refuse(Kind.FORBIDDEN, "CEREMONY-SIGNATURE", f"this is not {person}'s signature")

    keys = (
        {each.stem: each.with_suffix("") for each in practice.glob("*.pub")} if practice and is_theirs else {}
    )
    keyboard = Keyboard(display, f"sealkeeper ceremony resume {host.output_directory}")
    signing = SigningPrompts(display, keyboard, {**keys, **host.officers}, check)
    return AtTerminal(display, keyboard, signing, SharePrompts(display, keyboard, _is_word))


def _is_word(word: str) -> bool:
    from ceremony.shares import is_word  # noqa: PLC0415 - an extra that few ceremonies need

    return is_word(word)


def _finish(room: Room, hold: Callable[[Room], Outcome]) -> Held:
    outcome = hold(room)
    digest = pack_bundle(room)
    room.display.show_outcome(outcome, room.deviations, room.folder.bundle, digest)
    return Held(room.folder.bundle, outcome)
