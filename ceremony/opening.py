"""The beginning: what is brought into the room is compared with the script, copied, and written down."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rfc8785

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.ceremony.demands import check_roles
from ca_server.core.ceremony.grammar import check_order
from ca_server.core.ceremony.roster import Roster, allowed_signers, parse_roster
from ca_server.core.ceremony.script_facts import parse_script_facts
from ca_server.core.ceremony.transcript import FORMAT, Event
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ceremony.approvals import approved_so_far
from ceremony.folder import read_file
from ceremony.host import Host
from ceremony.plan import Plan
from ceremony.room import Room
from ceremony.state import digests
from ceremony.tool import tool_sha256, tool_version

SCRIPT, ROSTER, ALLOWED_SIGNERS = "script.toml", "roster.json", "allowed-signers"


def check_papers(plan: Plan, host: Host, roster_data: bytes) -> Roster:
    """The roster, once it is the one that the script names and can fill its roles.

    Raises:
        CaError: the script names another roster, or none in production; an input is missing or another one.
    """
    script = plan.script
    digest = hashlib.sha256(roster_data).hexdigest()
    if script.roster is None and host.mode == "production":
        detail = (
            "production needs [roster] sha256 in the script: whose signatures count must be approved with it"
        )
        raise refuse(Kind.POLICY_REFUSED, "CEREMONY-ROSTER-UNPINNED", detail)
    if script.roster is not None and script.roster.sha256 != digest:
        detail = f"the script names roster {script.roster.sha256}, and this one is {digest}"
        raise refuse(Kind.CONFLICT, "CEREMONY-ROSTER", detail)
    roster = parse_roster(roster_data)
    check_roles(script.roles, roster)
    return roster


def read_inputs(plan: Plan, host: Host) -> dict[str, bytes]:
    """Every input of the script, by name, with the digest that the script gives.

    Raises:
        CaError: all inputs that are missing, unpinned in production, or others than the script says.
    """
    found: dict[str, bytes] = {}
    violations = []
    for index, each in enumerate(plan.script.inputs):
        pointer = f"/inputs/{index}"
        path = host.inputs.get(each.name)
        if path is None:
            detail = f"the host file does not say where input '{each.name}' is"
            violations.append(Violation("CEREMONY-INPUT", detail, pointer))
            continue
        found[each.name] = data = _bounded(path)
        if each.sha256 is None and host.mode == "production":
            detail = f"production needs the sha256 of input '{each.name}' in the script"
            violations.append(Violation("CEREMONY-INPUT-UNPINNED", detail, pointer))
        if each.sha256 not in {None, hashlib.sha256(data).hexdigest()}:
            detail = f"{path} is not the input '{each.name}' that the script names"
            violations.append(Violation("CEREMONY-INPUT", detail, pointer))
    if violations:
        raise CaError(Kind.CONFLICT, "the inputs are not those of the script", violations=tuple(violations))
    return found


def open_transcript(
    room: Room, roster_data: bytes, inputs: Mapping[str, bytes], rehearsal: str | None
) -> None:
    """Copy the papers into the folder and write line 0; does nothing where it is written already.

    `rehearsal` is the SHA-256 of the closing statement of the rehearsal that the script demands.
    """
    if room.lines:
        return
    room.folder.write(SCRIPT, room.source)
    room.folder.write(ROSTER, roster_data)
    room.folder.write(ALLOWED_SIGNERS, allowed_signers(room.roster, room.mode))
    for name, content in inputs.items():
        room.folder.write(f"inputs/{name}", content)
    digests_of_inputs = {name: hashlib.sha256(each).hexdigest() for name, each in inputs.items()}
    data = {
        **_facts(room),
        "inputs": digests_of_inputs,
        "rehearsal_sha256": rehearsal,
        "tool": {"version": tool_version(), "sha256": tool_sha256()},
    }
    room.journal.add(Event.OPENED, data)


def _facts(room: Room) -> dict[str, Any]:
    """What every process that goes on with a ceremony must find as the first one did."""
    script, host = room.script, room.host.facts
    return {
        "format": FORMAT,
        "ceremony": script.id,
        "kind": script.kind,
        "mode": room.mode,
        "script_sha256": room.script_sha256,
        "roster_sha256": room.roster_sha256,
        "roles": {role: {"group": each.group, "quorum": each.quorum} for role, each in script.roles.items()},
        "host": {
            "allow_software_token": host["allow_software_token"],
            "tokens": {alias: each["label"] for alias, each in host["tokens"].items()},
        },
        "host_sha256": hashlib.sha256(rfc8785.dumps(host)).hexdigest(),
    }


def check_unchanged(room: Room) -> None:
    """Pass a folder in which every file is as the transcript has it, on the host that it was opened on.

    Raises:
        CaError: conflict, `CEREMONY-SCRIPT-CHANGED`, `CEREMONY-HOST-CHANGED` or `CEREMONY-FILE-CHANGED`;
            malformed, `CEREMONY-GRAMMAR`, line 0 says something else of the script than it does.
    """
    opened = room.lines[0].data
    facts = _facts(room)
    if room.script_sha256 != opened["script_sha256"] or room.roster_sha256 != opened["roster_sha256"]:
        detail = "script or roster are not those that this ceremony was opened with"
        raise refuse(Kind.CONFLICT, "CEREMONY-SCRIPT-CHANGED", detail)
    if opened.get("host_sha256") != facts["host_sha256"]:
        detail = "the host file has another mode or other tokens than this ceremony was opened with"
        raise refuse(Kind.CONFLICT, "CEREMONY-HOST-CHANGED", detail)
    if differing := [name for name, value in facts.items() if opened.get(name) != value]:
        detail = f"line 0 of the transcript has another {differing[0]} than script and host file say"
        raise refuse(Kind.CONFLICT, "CEREMONY-GRAMMAR", detail)
    for name, digest in digests(room.lines).items():
        if hashlib.sha256(room.folder.read(name)).hexdigest() != digest:
            raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", f"{name} was changed since it was written")


def check_so_far(room: Room) -> None:
    """Pass a transcript that whoever verifies the bundle later would pass as far as it has come.

    Raises:
        CaError: a line is not in its place, or a statement, a signature or a quorum is not as it must be.
    """
    check_order(room.lines, parse_script_facts(room.source))
    approved_so_far(room)


def _bounded(path: Path) -> bytes:
    data = read_file(path, MAX_ARCHIVE_BYTES)
    if len(data) > MAX_ARCHIVE_BYTES:
        raise refuse(Kind.MALFORMED, "CEREMONY-INPUT", f"{path} is too large")
    return data
