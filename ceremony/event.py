"""One ceremony in this process: the room is made of what lies in its folder, and left again whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.ceremony.transcript import Outcome
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import Kind, refuse
from ca_server.hsm.pkcs11 import open_token
from ceremony.clock import SystemClock
from ceremony.close import pack_bundle
from ceremony.display import Display
from ceremony.engine import abort_ceremony, run_ceremony
from ceremony.folder import TRANSCRIPT, Folder, read_file
from ceremony.host import Host, check_host, parse_host
from ceremony.journal import Journal
from ceremony.opening import SCRIPT, check_papers, open_transcript, read_inputs
from ceremony.people import People
from ceremony.plan import Plan, make_plan
from ceremony.practice import PracticeOfficers
from ceremony.prompts import AtTerminal
from ceremony.rehearsal import enter
from ceremony.room import Room

HOST = "host.toml"


def begin(plan: Plan, host: Host, *, by_hand: bool = False) -> Path:
    """Hold a ceremony from its opening to its close. Where its bundle is.

    Raises:
        CaError: it was refused before it began, or stopped; the words say how to go on.
        Paused, Aborted: the people said so.
    """
    folder = Folder(host.output_directory)
    if folder.has(TRANSCRIPT) or folder.bundle.exists():
        detail = f"a ceremony was held in {folder.root}; resume it, or use another folder"
        raise refuse(Kind.CONFLICT, "CEREMONY-OUTPUT-EXISTS", detail)
    with _room(plan, host, by_hand=by_hand) as room:
        return _finish(room, run_ceremony)


def go_on(directory: Path, *, by_hand: bool = False) -> Path:
    """Go on with a ceremony where its transcript ends; one that has ended is packed again. Where its bundle is.

    Raises:
        CaError: there is none, what lies in its folder was changed, or it stopped again.
        Paused, Aborted: the people said so.
    """
    with _room(*_papers(directory), by_hand=by_hand) as room:
        return _finish(room, run_ceremony)


def end(directory: Path, reason: str, *, by_hand: bool = False) -> Path:
    """End a ceremony where it is, with a signed close. Where its bundle is.

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
    with Journal(folder.path(TRANSCRIPT), clock) as journal:
        room = Room(
            source=plan.source,
            script=plan.script,
            roster=roster,
            host=host,
            folder=folder,
            journal=journal,
            people=_people(host, display, by_hand=by_hand),
            display=display,
            clock=clock,
            open_token=open_token,
        )
        try:
            display.show_plan(plan, host.mode)
            open_transcript(room, roster_data, inputs)
            yield room
        finally:
            room.close()


def _people(host: Host, display: Display, *, by_hand: bool) -> People:
    if host.mode == "rehearsal" and host.practice is not None and not by_hand:
        return PracticeOfficers(host.practice)
    return AtTerminal(display, host.officers)


def _finish(room: Room, hold: Callable[[Room], Outcome]) -> Path:
    outcome = hold(room)
    digest = pack_bundle(room)
    room.display.show_outcome(outcome, room.deviations, room.folder.bundle, digest)
    return room.folder.bundle
